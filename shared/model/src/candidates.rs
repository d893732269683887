//! Candidates: each is fitted on examples and predicts every trip.
//!
//! A fit is a [`ValidationFit`] on trips kept aside, which finds the number of rounds and the width of intervals, and
//! then a fit of all. [`linear`] is the course's model of duration, solved exactly; [`tip_tree`] is one tree by
//! linfa-trees, whose rules can be read; [`boosted`] are boosted trees for both targets.

pub mod boosted;
pub mod calibration;
pub mod distance;
pub(crate) mod feature_trees;
pub mod imported;
pub mod interval;
pub mod linear;
pub mod soundness;
pub mod tip_tree;
mod validation_fit;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::features::FeatureRows;
use crate::outcome::Target;
use crate::rules::Rules;
use crate::trip::Trip;
use boosted::{BoostedParams, BoostedTrees};
use calibration::Calibration;
use imported::ImportedModel;
use interval::Interval;
use linear::LinearModel;
use soundness::DAY_MIN;
use tip_tree::TipTree;
pub(crate) use trees::boost::split_mix;

/// A family of models, as the command line and the configuration name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Zone-pair intercepts and a distance slope, for durations.
    Linear,
    /// One decision tree, for tips.
    Tree,
    /// Boosted trees, for both.
    Boosted,
    /// A model that another library trained; nothing is learned here.
    Imported,
}

impl Family {
    /// Returns the name in cards, keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Tree => "tree",
            Self::Boosted => "boosted",
            Self::Imported => "imported",
        }
    }

    /// Returns the families that can learn `target`, the most accurate first.
    pub fn for_target(target: Target) -> &'static [Self] {
        match target {
            Target::Duration => &[Self::Boosted, Self::Linear],
            Target::Tip => &[Self::Boosted, Self::Tree],
        }
    }
}

/// Parameters chosen before fitting; part of a model's identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitParams {
    /// Rules that chose the rows; they also decide how the linear candidate reads distances.
    pub rules: Rules,
    /// Seeds every random choice.
    pub seed: u64,
    /// L2 penalty of the linear candidate, on every coefficient but the common intercept; 0 is least squares.
    pub ridge: f64,
    /// Depth at which the tree stops.
    pub tree_max_depth: u32,
    /// Least weight of a leaf of the tree, in average rows.
    pub tree_min_leaf: u32,
    /// The tree's structure is grown on at most this many rows.
    pub tree_sample_rows: u32,
    /// Parameters of boosted trees.
    pub boosted: BoostedParams,
}

/// How a fit runs, which does not change the result, and whether it goes on.
pub struct Work<'a> {
    /// Threads at most; 0 for as many as the machine runs at once.
    pub threads: usize,
    /// Called after each round of boosting, returns whether to go on; a stopped fit keeps the rounds so far.
    pub control: &'a mut (dyn FnMut(&Progress) -> ControlFlow<()> + Send),
}

pub use trees::boost::{Progress, go_on};
pub use validation_fit::{Candidate, FitSummary, Validated, ValidationFit};

impl Default for FitParams {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            seed: 42,
            ridge: 0.0,
            tree_max_depth: 12,
            tree_min_leaf: 100,
            tree_sample_rows: 200_000,
            boosted: BoostedParams::default(),
        }
    }
}

/// Why nothing could be learned.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The family does not learn this target.
    #[error("the {} family does not learn {target}: expected one of {}", family.name(), names(*target))]
    Family {
        /// The requested family.
        family: Family,
        /// The target.
        target: Target,
    },
    /// There is nothing to learn from.
    #[error("no examples of {target} to learn from: every row was refused by the training rules")]
    NoExamples {
        /// The target.
        target: Target,
    },
    /// All labels are the same.
    #[error("all {rows} examples of {target} have the same label: there is nothing to tell apart")]
    OneClass {
        /// The target.
        target: Target,
        /// Number of examples.
        rows: usize,
    },
    /// Boosting refused the examples or its parameters.
    #[error("boosting trees")]
    Boosting {
        /// Its reason.
        #[source]
        source: trees::boost::BoostError,
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
    Family::for_target(target).iter().map(|family| family.name()).collect::<Vec<_>>().join(", ")
}

/// A fitted model of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// Predicts minutes with a 90 % interval.
    Duration(DurationModel),
    /// Predicts P(tip > 0 | paid by card).
    Tip(TipModel),
}

/// A model of the expected minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Estimate {
    /// Zone-pair intercepts and a slope.
    Linear(LinearModel),
    /// Boosted trees.
    Boosted(BoostedTrees),
    /// A model that another library trained.
    Imported(ImportedModel),
}

/// A model of duration: an estimate and the interval around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DurationModel {
    /// Predicts the expected minutes.
    pub estimate: Estimate,
    /// Predicts how far the actual minutes may be from them.
    pub interval: Interval,
}

/// A model of P(tip > 0 | paid by card), not yet calibrated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TipEstimate {
    /// One tree by linfa-trees.
    Tree(TipTree),
    /// Boosted trees.
    Boosted(BoostedTrees),
    /// A model that another library trained.
    Imported(ImportedModel),
}

/// A model of tips: an estimate and its calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TipModel {
    /// Predicts scores of trips.
    pub estimate: TipEstimate,
    /// Turns them into calibrated probabilities.
    pub calibration: Calibration,
}

/// The predictions of a duration model, in columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DurationPredictions {
    /// Expected minutes.
    pub minutes: Vec<f64>,
    /// Lower end of the 90 % interval, at least 0.
    pub lower_min: Vec<f64>,
    /// Upper end of the 90 % interval.
    pub upper_min: Vec<f64>,
}

impl Model {
    /// Returns what the model predicts.
    pub fn target(&self) -> Target {
        match self {
            Self::Duration(_) => Target::Duration,
            Self::Tip(_) => Target::Tip,
        }
    }
}

impl DurationModel {
    /// Predicts minutes and interval of every trip.
    pub fn predict(&self, trips: &[Trip]) -> DurationPredictions {
        self.predict_rows(trips, &FeatureRows::from_trips(trips))
    }

    /// Predicts minutes and interval of every trip; `rows` are their features.
    pub(crate) fn predict_rows(&self, trips: &[Trip], rows: &FeatureRows) -> DurationPredictions {
        let minutes = self.unlimited(trips, rows);
        // The linear model predicts negative minutes for short trips of a pair that was seen only over a long distance.
        let minutes: Vec<f64> = minutes.into_iter().map(|minutes| minutes.clamp(0.0, DAY_MIN)).collect();
        let (lower_min, upper_min) = self.interval.around(rows, &minutes);
        DurationPredictions { minutes, lower_min, upper_min }
    }

    /// Predicts minutes before they are limited to those of a day.
    pub(crate) fn unlimited_minutes(&self, trips: &[Trip]) -> Vec<f64> {
        self.unlimited(trips, &FeatureRows::from_trips(trips))
    }

    fn unlimited(&self, trips: &[Trip], rows: &FeatureRows) -> Vec<f64> {
        match &self.estimate {
            Estimate::Linear(model) => model.minutes(trips),
            Estimate::Boosted(trees) => trees.predict_features(&rows.values),
            Estimate::Imported(model) => model.predict_features(&rows.values),
        }
    }
}

impl TipModel {
    /// Predicts P(tip > 0 | paid by card) of every trip.
    pub fn probabilities(&self, trips: &[Trip]) -> Vec<f64> {
        self.probabilities_of(&FeatureRows::from_trips(trips))
    }

    /// Predicts P(tip > 0 | paid by card) of every row of features.
    pub(crate) fn probabilities_of(&self, rows: &FeatureRows) -> Vec<f64> {
        let predicted = match &self.estimate {
            TipEstimate::Tree(tree) => tree.ensemble().predict(&rows.values),
            TipEstimate::Boosted(trees) => trees.predict_features(&rows.values),
            TipEstimate::Imported(model) => model.predict_features(&rows.values),
        };
        predicted.into_iter().map(|p| self.calibration.calibrate(p.clamp(0.0, 1.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Examples;

    fn fit(family: Family, examples: &Examples) -> Result<Candidate, FitError> {
        let mut work = Work { threads: 1, control: &mut go_on };
        Candidate::fit(Target::Tip, family, examples, &FitParams::default(), &mut work)
    }

    #[test]
    fn a_family_refuses_what_it_does_not_learn() {
        let trips = vec![Trip::default(); 2];
        let examples = Examples { trips, labels: vec![1.0, 0.0] };
        let refused = fit(Family::Linear, &examples).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the linear family does not learn tip: expected one of boosted, tree"
        );
        let refused = fit(Family::Tree, &Examples::default());
        assert!(matches!(refused, Err(FitError::NoExamples { .. })));
    }
}
