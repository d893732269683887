//! Hyperparameters: set freely, checked once, and valid by type from then on.

use linfa::ParamGuard;
use serde::{Deserialize, Serialize};

use super::{BoostError, Objective};

/// Parameters before their check; [`ParamGuard::check`] turns them into [`ValidBoostParams`], which can fit.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostParams(ValidBoostParams);

/// Parameters that have passed their check.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidBoostParams(Settings);

/// The hyperparameters. Their defaults are those that gradient boosting libraries agree on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The loss to minimise.
    pub objective: Objective,
    /// Largest number of trees, 1..=100,000.
    pub rounds: u32,
    /// Largest number of leaves of a tree, 2..=65,535; the mask kernel scores trees of up to 32.
    pub max_leaves: u32,
    /// Largest number of splits on the path to a leaf, at least 1; `None` for no limit but `max_leaves`.
    pub max_depth: Option<u32>,
    /// Factor that each tree's leaves are multiplied by, above 0 and at most 1.
    pub learning_rate: f64,
    /// L2 penalty on leaf values.
    pub l2: f64,
    /// Smallest number of rows in a leaf.
    pub min_child_rows: u32,
    /// Smallest sum of hessians in a leaf.
    pub min_child_weight: f64,
    /// Gain that a split has to exceed.
    pub min_gain: f64,
    /// Fraction of the features that each tree may split on, above 0 and at most 1.
    pub feature_fraction: f64,
    /// Fraction of those features that the search for each split looks at, drawn anew for every leaf, above 0 and at most 1.
    pub node_feature_fraction: f64,
    /// Fraction of the rows that each tree learns from, above 0 and at most 1.
    pub row_fraction: f64,
    /// Largest number of bins of a numeric feature, 2..=1,024, beside the one for missing values.
    pub max_bins: u32,
    /// Rounds without a lower validation loss after which the fit stops, at least 1; `None` never stops early.
    pub patience: Option<u32>,
    /// Features whose values are category codes.
    pub categories: Vec<usize>,
    /// Hessian added to that of each category before categories are ordered, which shrinks rare ones towards zero.
    pub category_smoothing: f64,
    /// L2 penalty of a split by categories, in addition to `l2`.
    pub category_l2: f64,
    /// Categories with fewer rows than this in a leaf stay on the right of its splits.
    pub min_category_rows: u32,
    /// Seed for the samples of rows and features.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            objective: Objective::Squared,
            rounds: 100,
            max_leaves: 31,
            max_depth: None,
            learning_rate: 0.1,
            l2: 0.0,
            min_child_rows: 20,
            min_child_weight: 1e-3,
            min_gain: 0.0,
            feature_fraction: 1.0,
            node_feature_fraction: 1.0,
            row_fraction: 1.0,
            max_bins: 255,
            patience: None,
            categories: Vec::new(),
            category_smoothing: 10.0,
            category_l2: 10.0,
            min_category_rows: 10,
            seed: 42,
        }
    }
}

impl BoostParams {
    /// Wraps settings that still have to be checked.
    pub fn new(settings: Settings) -> Self {
        Self(ValidBoostParams(settings))
    }
}

impl ValidBoostParams {
    /// Returns the checked settings.
    pub fn settings(&self) -> &Settings {
        &self.0
    }
}

impl ParamGuard for BoostParams {
    type Checked = ValidBoostParams;
    type Error = BoostError;

    /// # Errors
    /// [`BoostError::Param`] names the first parameter that is out of its range.
    fn check_ref(&self) -> Result<&Self::Checked, BoostError> {
        self.0.0.check().map(|()| &self.0)
    }

    fn check(self) -> Result<Self::Checked, BoostError> {
        self.0.0.check().map(|()| self.0)
    }
}

impl Settings {
    fn check(&self) -> Result<(), BoostError> {
        let number = |name, value: f64, is_good: bool, expected| (name, value, is_good, expected);
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let penalty = |value: f64| value.is_finite() && value >= 0.0;
        let quantile = match self.objective {
            Objective::Quantile(level) => level,
            Objective::Squared | Objective::Logistic => 0.5,
        };
        let checks = [
            number("quantile", quantile, quantile > 0.0 && quantile < 1.0, "between 0 and 1"),
            number("rounds", self.rounds.into(), (1..=100_000).contains(&self.rounds), "1..=100,000"),
            number(
                "max_leaves",
                self.max_leaves.into(),
                (2..=65_535).contains(&self.max_leaves),
                "2..=65,535",
            ),
            number("max_depth", self.max_depth.unwrap_or(1).into(), self.max_depth != Some(0), "at least 1"),
            number("learning_rate", self.learning_rate, share(self.learning_rate), "above 0, at most 1"),
            number("l2", self.l2, penalty(self.l2), "0 or more"),
            number("min_child_weight", self.min_child_weight, penalty(self.min_child_weight), "0 or more"),
            number("min_gain", self.min_gain, penalty(self.min_gain), "0 or more"),
            number(
                "feature_fraction",
                self.feature_fraction,
                share(self.feature_fraction),
                "above 0, at most 1",
            ),
            number(
                "node_feature_fraction",
                self.node_feature_fraction,
                share(self.node_feature_fraction),
                "above 0, at most 1",
            ),
            number("row_fraction", self.row_fraction, share(self.row_fraction), "above 0, at most 1"),
            number("max_bins", self.max_bins.into(), (2..=1024).contains(&self.max_bins), "2..=1,024"),
            number("patience", self.patience.unwrap_or(1).into(), self.patience != Some(0), "at least 1"),
            number(
                "category_smoothing",
                self.category_smoothing,
                penalty(self.category_smoothing),
                "0 or more",
            ),
            number("category_l2", self.category_l2, penalty(self.category_l2), "0 or more"),
        ];
        match checks.into_iter().find(|(_, _, is_good, _)| !is_good) {
            Some((name, value, _, expected)) => Err(BoostError::Param { name, value, expected }),
            None => Ok(()),
        }
    }
}
