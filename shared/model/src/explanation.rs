//! Explains predictions: what each feature of a trip adds to them.

use serde::Serialize;
use trees::{Explainer, TooDeep};

use crate::candidates::boosted::{BoostedTrees, TargetTransform};
use crate::candidates::feature_trees::KnownCodes;
use crate::candidates::{DurationModel, Estimate, Model, TipEstimate, TipModel};
use crate::features::{self, FeatureRows};
use crate::outcome::Target;
use crate::trip::Trip;

/// The parts of one prediction: `expected` and all contributions add up to `sum`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Unit of the numbers.
    pub unit: &'static str,
    /// What is predicted if no feature is known.
    pub expected: f64,
    /// What is predicted for this trip. Minutes are then limited to 1 to 60, and log odds calibrated.
    pub sum: f64,
    /// By feature, the largest absolute ones first; features that no split uses are left out.
    pub contributions: Vec<Contribution>,
}

/// What one feature adds to a prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Contribution {
    /// Its name, see [`features::NAMES`].
    pub feature: &'static str,
    /// Its value; `None` where it is missing.
    pub value: Option<f32>,
    /// What it adds: its Shapley value; of minutes, its share of what all features add to their square root.
    pub adds: f64,
}

/// How much one feature matters to a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// Its name, see [`features::NAMES`].
    pub feature: &'static str,
    /// Mean absolute contribution over the examined trips.
    pub mean_absolute: f64,
    /// Number of splits by it.
    pub splits: u32,
}

/// A model that cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// Only boosted trees keep the number of training rows in each leaf.
    #[error("a {family} model is not explained by feature: expected a boosted one")]
    Family {
        /// The family.
        family: &'static str,
    },
    /// The trees are too deep.
    #[error("explaining the model")]
    TooDeep(#[from] TooDeep),
}

/// Explains the predictions of one model.
#[derive(Debug)]
pub struct ModelExplainer {
    unit: &'static str,
    transform: TargetTransform,
    known: KnownCodes,
    explainer: Explainer,
    splits: Vec<u32>,
}

impl ModelExplainer {
    /// Creates the explainer of boosted trees.
    ///
    /// # Errors
    /// See [`ExplainError`].
    pub fn new(model: &Model) -> Result<Self, ExplainError> {
        match model {
            Model::Duration(model) => Self::of_duration(model),
            Model::Tip(model) => Self::of_tip(model),
        }
    }

    /// Creates the explainer of a duration model.
    ///
    /// # Errors
    /// See [`ExplainError`].
    pub fn of_duration(model: &DurationModel) -> Result<Self, ExplainError> {
        match &model.estimate {
            Estimate::Boosted(trees) => Self::of_trees(trees, Target::Duration),
            Estimate::Linear(_) => Err(ExplainError::Family { family: "linear" }),
            Estimate::Imported(_) => Err(ExplainError::Family { family: "imported" }),
        }
    }

    /// Creates the explainer of a tip model.
    ///
    /// # Errors
    /// See [`ExplainError`].
    pub fn of_tip(model: &TipModel) -> Result<Self, ExplainError> {
        match &model.estimate {
            TipEstimate::Boosted(trees) => Self::of_trees(trees, Target::Tip),
            TipEstimate::Tree(_) => Err(ExplainError::Family { family: "tree" }),
            TipEstimate::Imported(_) => Err(ExplainError::Family { family: "imported" }),
        }
    }

    fn of_trees(trees: &BoostedTrees, target: Target) -> Result<Self, ExplainError> {
        let splits = trees.ensemble().split_importance();
        let (transform, known) = (trees.transform(), trees.feature_trees().known().clone());
        Ok(Self { unit: unit(target), transform, known, explainer: trees.explainer()?, splits })
    }

    /// Returns the unit of the contributions: minutes, or log odds of a tip.
    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// Explains the predictions for `trips`, in their order.
    pub fn explain(&self, trips: &[Trip]) -> Vec<Explanation> {
        FeatureRows::from_trips(trips).rows().map(|row| self.explain_row(row)).collect()
    }

    /// Computes how much each feature matters over `trips`, the most important first, without those that no split uses.
    pub fn importance(&self, trips: &[Trip]) -> Vec<Importance> {
        let rows = FeatureRows::from_trips(trips);
        let mut sums = vec![0.0; features::NAMES.len()];
        for row in rows.rows() {
            let (_, adds) = self.contributions(row);
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
        let (expected, adds) = self.contributions(row);
        let of_feature = |at: usize| Contribution {
            feature: features::NAMES[at],
            value: Some(row[at]).filter(|value| !value.is_nan()),
            adds: adds[at],
        };
        let mut contributions: Vec<_> = self.feature_columns().map(of_feature).collect();
        contributions.sort_by(|a, b| b.adds.abs().total_cmp(&a.adds.abs()));
        Explanation { unit: self.unit, expected, sum: expected + adds.iter().sum::<f64>(), contributions }
    }

    /// Computes what is predicted if no feature is known, and what each adds to it, in the unit of the prediction.
    fn contributions(&self, row: &[f32]) -> (f64, Vec<f64>) {
        let mut adds = self.explainer.contributions(&self.known.masked(row));
        let expected = self.explainer.expected();
        match self.transform {
            TargetTransform::LogOdds => (expected, adds),
            TargetTransform::SquareRoot { factor } => {
                // Squares differ by the difference of the roots, which the contributions add up to, times their sum.
                let root = expected + adds.iter().sum::<f64>();
                adds.iter_mut().for_each(|adds| *adds *= factor * (root + expected));
                (factor * expected * expected, adds)
            }
        }
    }

    /// Returns the positions of the features that splits use.
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
