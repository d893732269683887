//! Parameters of boosted trees.

use serde::{Deserialize, Serialize};

use crate::outcome::Target;

const DURATION_LEAVES: u32 = 63;
const TIP_LEAVES: u32 = 31;
/// From this many rows on (about three months), steps are larger: so many trees are needed that smaller ones cost more than they gain.
pub(super) const MANY_ROWS: usize = 150_000;
const MANY_ROWS_RATE: f64 = 0.1;
const RATE: f64 = 0.05;

/// Parameters of boosting; part of a model's identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostedParams {
    /// Trees at most.
    pub rounds_max: u32,
    /// Rounds without a better loss on the unseen trips after which to stop.
    pub patience: u32,
    /// Most leaves of a tree; `None` for 63, or 31 for tips.
    pub leaves: Option<u32>,
    /// Factor of each tree's leaf values; `None` for 0.05, or 0.1 for 150,000 trips and more.
    pub learning_rate: Option<f64>,
    /// Least rows of a leaf.
    pub min_leaf_rows: u32,
    /// L2 penalty on leaf values.
    pub l2: f64,
    /// Share of the rows whose distance is hidden in training, so that trips without one are predicted well.
    pub hidden_distance_share: f64,
}

impl Default for BoostedParams {
    fn default() -> Self {
        Self {
            rounds_max: 1000,
            patience: 40,
            leaves: None,
            learning_rate: None,
            min_leaf_rows: 40,
            l2: 5.0,
            hidden_distance_share: 0.05,
        }
    }
}

impl BoostedParams {
    /// Returns the factor of leaf values, that of few rows if none is decided.
    pub fn rate(&self) -> f64 {
        self.learning_rate.unwrap_or(RATE)
    }

    /// Decides what is open, for trees that learn from `n_rows`.
    pub fn decided(&self, target: Target, n_rows: usize) -> Self {
        let leaves = match target {
            Target::Duration => DURATION_LEAVES,
            Target::Tip => TIP_LEAVES,
        };
        let rate = if n_rows >= MANY_ROWS { MANY_ROWS_RATE } else { RATE };
        Self {
            leaves: self.leaves.or(Some(leaves)),
            learning_rate: self.learning_rate.or(Some(rate)),
            ..self.clone()
        }
    }
}
