//! What is chosen before fitting: free to set, checked once, then valid by type.

use linfa::ParamGuard;
use serde::{Deserialize, Serialize};

use super::{BoostError, Objective};

/// How a prediction may change with a feature, all else equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Monotone {
    /// It never falls as the feature grows.
    Increasing,
    /// It never rises as the feature grows.
    Decreasing,
}

/// Parameters as set: [`ParamGuard::check`] makes them [`ValidBoostParams`], which can fit.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostParams(ValidBoostParams);

/// Parameters that were checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidBoostParams(Settings);

/// The values themselves. Defaults are those that gradient boosting libraries agree on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What is minimised.
    pub objective: Objective,
    /// How many trees at most.
    pub rounds: u32,
    /// Leaves a tree has at most, 2..=65,535; up to 32 are scored by the mask kernel.
    pub max_leaves: u32,
    /// Splits on the way to a leaf at most; none for as many as the leaves allow.
    pub max_depth: Option<u32>,
    /// What each tree's leaves are multiplied by, above 0 and at most 1.
    pub learning_rate: f64,
    /// L2 penalty on leaf values.
    pub l2: f64,
    /// Rows that a leaf holds at least.
    pub min_child_rows: u32,
    /// Sum of hessians that a leaf holds at least.
    pub min_child_weight: f64,
    /// What a split must gain at least.
    pub min_gain: f64,
    /// Share of the features that each tree may ask, above 0 and at most 1.
    pub feature_fraction: f64,
    /// Share of the rows that each tree learns from, above 0 and at most 1.
    pub row_fraction: f64,
    /// Bins of a numeric feature at most, 2..=1,024; missing values have one of their own.
    pub max_bins: u32,
    /// Stop after this many rounds without a better figure on the validation rows; none to go on.
    pub patience: Option<u32>,
    /// Features whose values are category codes.
    pub categories: Vec<usize>,
    /// Weight of rows by which a category's mean is drawn to nothing before categories are ordered.
    pub category_smoothing: f64,
    /// L2 penalty on top of `l2` for a split by categories.
    pub category_l2: f64,
    /// Categories with fewer rows in a leaf than this are not moved to the left of a split there.
    pub min_category_rows: u32,
    /// Features that the prediction must follow.
    pub monotone: Vec<(usize, Monotone)>,
    /// Seeds the samples of rows and features.
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
            row_fraction: 1.0,
            max_bins: 255,
            patience: None,
            categories: Vec::new(),
            category_smoothing: 10.0,
            category_l2: 10.0,
            min_category_rows: 10,
            monotone: Vec::new(),
            seed: 42,
        }
    }
}

impl BoostParams {
    /// Parameters to check.
    pub fn new(settings: Settings) -> Self {
        Self(ValidBoostParams(settings))
    }
}

impl ValidBoostParams {
    /// The values that were checked.
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
