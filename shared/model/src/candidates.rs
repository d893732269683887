//! What can be learned: each candidate is fitted on examples and answers for any trip.
//!
//! [`linear`] is the course's model of duration, solved exactly; [`tip_tree`] is one tree by linfa-trees, whose
//! rules can be read. Predicting is total: a candidate answers for every trip.

pub mod distance;
pub mod linear;
pub mod tip_tree;

use chrono::Datelike;
use serde::{Deserialize, Serialize};

use crate::outcome::{Examples, Target};
use crate::rules::Rules;
use crate::trip::TripBatch;
use linear::LinearModel;
use tip_tree::TipTree;

/// A family of models, as the command line and the configuration name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Zone-pair intercepts and a distance slope, for durations.
    Linear,
    /// One decision tree, for tips.
    Tree,
}

impl Family {
    /// The name in cards, keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Tree => "tree",
        }
    }

    /// The families that can learn `target`.
    pub fn of(target: Target) -> &'static [Self] {
        match target {
            Target::Duration => &[Self::Linear],
            Target::Tip => &[Self::Tree],
        }
    }
}

/// What is chosen before fitting; part of a model's identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitParams {
    /// Which rows were kept; decides also how the linear candidate reads distances.
    pub rules: Rules,
    /// Seeds every random choice.
    pub seed: u64,
    /// L2 penalty of the linear candidate, on every coefficient but the common intercept; 0 is least squares.
    pub ridge: f64,
    /// Depth at which the tree stops.
    pub tree_max_depth: u32,
    /// Weight (about: rows) that every leaf of the tree keeps.
    pub tree_min_leaf: u32,
    /// The tree's structure is grown on at most this many rows.
    pub tree_sample_rows: u32,
}

impl Default for FitParams {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            seed: 42,
            ridge: 0.0,
            tree_max_depth: 12,
            tree_min_leaf: 100,
            tree_sample_rows: 200_000,
        }
    }
}

/// Why nothing could be learned.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The family does not learn this target.
    #[error("the {} family does not learn {target}: expected one of {}", family.name(), names(*target))]
    Family {
        /// What was asked for.
        family: Family,
        /// What it does not learn.
        target: Target,
    },
    /// There is nothing to learn from.
    #[error("no examples of {target} to learn from: every row was refused by the training rules")]
    NoExamples {
        /// What was to be learned.
        target: Target,
    },
    /// All labels are the same.
    #[error("all {rows} examples of {target} have the same label: there is nothing to tell apart")]
    OneClass {
        /// What was to be learned.
        target: Target,
        /// How many there are.
        rows: usize,
    },
    /// linfa-trees refused the examples.
    #[error("growing the decision tree on {rows} rows")]
    Tree {
        /// How many rows it was given.
        rows: usize,
        /// Its reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn names(target: Target) -> String {
    Family::of(target).iter().map(|family| family.name()).collect::<Vec<_>>().join(", ")
}

/// A fitted model of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// Answers minutes with a 90 % interval.
    Duration(DurationModel),
    /// Answers P(tip > 0 | paid by card).
    Tip(TipTree),
}

/// A model of duration: an estimate and how far the truth strays from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DurationModel {
    /// Answers the expected minutes.
    pub estimate: LinearModel,
    /// Half the width of the 90 % interval, minutes: the 90th percentile of absolute residuals on days that the
    /// estimate they were taken from did not see.
    pub interval_half_width_min: f64,
}

/// What a duration model answers, in columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DurationAnswers {
    /// Expected minutes.
    pub minutes: Vec<f64>,
    /// Lower end of the 90 % interval, at least 0.
    pub lower_min: Vec<f64>,
    /// Upper end of the 90 % interval.
    pub upper_min: Vec<f64>,
}

/// A family with its fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What kind of model it is.
    pub family: Family,
    /// The model.
    pub model: Model,
}

impl Candidate {
    /// Learns `target` from `examples`, already chosen by `params.rules`. The same examples in the same order and
    /// the same `params` give the same model, on every machine.
    ///
    /// # Errors
    /// See [`FitError`].
    pub fn fit(
        target: Target,
        family: Family,
        examples: &Examples,
        params: &FitParams,
    ) -> Result<Self, FitError> {
        if examples.is_empty() {
            return Err(FitError::NoExamples { target });
        }
        let model = match (target, family) {
            (Target::Duration, Family::Linear) => Model::Duration(DurationModel::fit(examples, params)),
            (Target::Tip, Family::Tree) => Model::Tip(TipTree::fit(examples, params)?),
            _ => return Err(FitError::Family { family, target }),
        };
        Ok(Self { family, model })
    }
}

impl Model {
    /// What the model predicts.
    pub fn target(&self) -> Target {
        match self {
            Self::Duration(_) => Target::Duration,
            Self::Tip(_) => Target::Tip,
        }
    }
}

impl DurationModel {
    fn fit(examples: &Examples, params: &FitParams) -> Self {
        // Every fifth day is held out to see how far unseen trips stray; the estimate that serves uses all days.
        let held_out = |row: usize| match examples.trips.pickup[row] {
            Some(pickup) => pickup.num_days_from_ce() % 5 == 4,
            None => row % 5 == 4,
        };
        let seen = LinearModel::fit(&examples.filter(|row| !held_out(row)), params);
        let unseen = examples.filter(held_out);
        let mut strays: Vec<f64> = seen
            .minutes(&unseen.trips)
            .iter()
            .zip(&unseen.labels)
            .map(|(said, was)| (said - was).abs())
            .collect();
        Self {
            estimate: LinearModel::fit(examples, params),
            interval_half_width_min: quantile(&mut strays, 0.9),
        }
    }

    /// Minutes and interval of every trip.
    pub fn answer(&self, trips: &TripBatch) -> DurationAnswers {
        // A short trip of a pair that was seen once, over a long distance, would take less than no time.
        let minutes: Vec<f64> =
            self.estimate.minutes(trips).into_iter().map(|minutes| minutes.max(0.0)).collect();
        let half = self.interval_half_width_min;
        DurationAnswers {
            lower_min: minutes.iter().map(|at| (at - half).max(0.0)).collect(),
            upper_min: minutes.iter().map(|at| at + half).collect(),
            minutes,
        }
    }
}

/// The smallest value that at least a share `q` of `values` does not exceed; 0 of none.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (values.len() as f64 * q).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_reached_by_its_share() {
        let mut values: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!((quantile(&mut values, 0.9), quantile(&mut values, 0.05)), (9.0, 1.0));
        assert_eq!(quantile(&mut [], 0.9), 0.0);
    }

    #[test]
    fn a_family_refuses_what_it_does_not_learn() {
        let examples = Examples { trips: [crate::Trip::default()].into_iter().collect(), labels: vec![1.0] };
        let refused =
            Candidate::fit(Target::Tip, Family::Linear, &examples, &FitParams::default()).unwrap_err();
        assert_eq!(refused.to_string(), "the linear family does not learn tip: expected one of tree");
        let refused = Candidate::fit(Target::Tip, Family::Tree, &Examples::default(), &FitParams::default());
        assert!(matches!(refused, Err(FitError::NoExamples { .. })));
    }
}
