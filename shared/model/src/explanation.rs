//! Why a model answers what it does: what each feature of a trip adds to the answer.

use serde::Serialize;
use trees::{Explainer, TooDeep};

use crate::candidates::boosted::BoostedTrees;
use crate::candidates::{DurationModel, Estimate, Model, TipEstimate, TipModel};
use crate::features::{self, FeatureRows};
use crate::outcome::Target;
use crate::trip::Trip;

/// What makes up one answer: `expected` and all that is added to it are the trees' sum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// What the numbers are in.
    pub unit: &'static str,
    /// The sum for a trip of which nothing is known.
    pub expected: f64,
    /// The sum for this trip. Minutes are answered within 1 to 60, log odds as a probability after calibration.
    pub sum: f64,
    /// By feature, those that add or take most first; features that the trees never ask are left out.
    pub contributions: Vec<Contribution>,
}

/// What one feature adds to an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contribution {
    /// Its name, see [`features::NAMES`].
    pub feature: &'static str,
    /// Its value; none where it is missing.
    pub value: Option<f32>,
    /// What it adds: its Shapley value.
    pub adds: f64,
}

/// How much one feature matters to a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// Its name, see [`features::NAMES`].
    pub feature: &'static str,
    /// How much it adds or takes on average over the trips that were looked at.
    pub mean_absolute: f64,
    /// How many splits ask for it.
    pub splits: u32,
}

/// A model that cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// Only boosted trees know how many trips lie behind each answer.
    #[error("a {family} model is not explained by feature: expected a boosted one")]
    Family {
        /// What it is.
        family: &'static str,
    },
    /// The trees are too deep.
    #[error("explaining the model")]
    TooDeep(#[from] TooDeep),
}

/// Explains the answers of one model.
#[derive(Debug)]
pub struct ModelExplainer {
    unit: &'static str,
    explainer: Explainer,
    splits: Vec<u32>,
}

impl ModelExplainer {
    /// Of boosted trees.
    ///
    /// # Errors
    /// See [`ExplainError`].
    pub fn new(model: &Model) -> Result<Self, ExplainError> {
        let trees = trees_of(model)?;
        let splits = trees.ensemble().split_importance();
        Ok(Self { unit: unit(model.target()), explainer: trees.explainer()?, splits })
    }

    /// What the contributions are in: minutes, or log odds of a tip.
    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// Why each of `trips` is answered as it is, in their order.
    pub fn explain(&self, trips: &[Trip]) -> Vec<Explanation> {
        FeatureRows::from_trips(trips).rows().map(|row| self.explain_row(row)).collect()
    }

    /// How much each feature matters over `trips`, the most important first; features that are never asked are left out.
    pub fn importance(&self, trips: &[Trip]) -> Vec<Importance> {
        let rows = FeatureRows::from_trips(trips);
        let mut sums = vec![0.0; features::NAMES.len()];
        for row in rows.rows() {
            let adds = self.explainer.contributions(row);
            sums.iter_mut().zip(adds).for_each(|(sum, adds)| *sum += adds.abs());
        }
        let of_feature = |at: usize| Importance {
            feature: features::NAMES[at],
            mean_absolute: sums[at] / rows.len().max(1) as f64,
            splits: self.splits[at],
        };
        let mut importance: Vec<_> = self.feature_columns().map(of_feature).collect();
        importance.sort_by(|a, b| b.mean_absolute.total_cmp(&a.mean_absolute));
        importance
    }

    fn explain_row(&self, row: &[f32]) -> Explanation {
        let adds = self.explainer.contributions(row);
        let of_feature = |at: usize| Contribution {
            feature: features::NAMES[at],
            value: Some(row[at]).filter(|value| !value.is_nan()),
            adds: adds[at],
        };
        let mut contributions: Vec<_> = self.feature_columns().map(of_feature).collect();
        contributions.sort_by(|a, b| b.adds.abs().total_cmp(&a.adds.abs()));
        let expected = self.explainer.expected();
        Explanation { unit: self.unit, expected, sum: expected + adds.iter().sum::<f64>(), contributions }
    }

    /// Positions of the features that a split asks for.
    fn feature_columns(&self) -> impl Iterator<Item = usize> {
        (0..features::NAMES.len()).filter(|&at| self.splits[at] > 0)
    }
}

fn unit(target: Target) -> &'static str {
    match target {
        Target::Duration => "minutes",
        Target::Tip => "log odds",
    }
}

fn trees_of(model: &Model) -> Result<&BoostedTrees, ExplainError> {
    let family = match model {
        Model::Duration(DurationModel { estimate, .. }) => match estimate {
            Estimate::Boosted(trees) => return Ok(trees),
            Estimate::Linear(_) => "linear",
            Estimate::Imported(_) => "imported",
        },
        Model::Tip(TipModel { estimate, .. }) => match estimate {
            TipEstimate::Boosted(trees) => return Ok(trees),
            TipEstimate::Tree(_) => "tree",
            TipEstimate::Imported(_) => "imported",
        },
    };
    Err(ExplainError::Family { family })
}
