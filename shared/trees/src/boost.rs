//! Gradient boosting of regression trees on histograms (Friedman 2001; Ke et al. 2017).
//!
//! Modules, in the order that data passes through: [`params`] holds the hyperparameters and [`objective`] the losses;
//! `bins` turns feature values into bin numbers, `layout` places the bins in memory, and a `shard` holds the bins of
//! one thread's rows beside the gradients that `quantize` rounds to integers; `histogram` sums gradients by bin;
//! `split` finds the best split of a leaf; `grow` grows one tree; `fit` runs the rounds; `parallel` uses threads.
//!
//! The same rows and parameters give the same bytes for any number of threads and on every architecture, because all
//! sums are sums of integers and every float is computed from them in one order.
//!
//! Programs that use linfa fit and predict by its traits:
//!
//! ```
//! use linfa::prelude::*;
//! use ndarray::{Array1, Array2};
//! use trees::boost::{BoostParams, Settings};
//!
//! let miles = Array2::from_shape_fn((200, 1), |(row, _)| row as f32 / 10.0);
//! let minutes: Array1<f32> = miles.column(0).mapv(|miles| 3.0 * miles + 4.0);
//! let settings = Settings { rounds: 50, ..Settings::default() };
//! let boosted = BoostParams::new(settings).fit(&Dataset::new(miles.clone(), minutes))?;
//! let predicted: Array1<f64> = Predict::predict(&boosted, &miles);
//! assert!((predicted[100] - 34.0).abs() < 3.0);
//! # Ok::<(), trees::boost::BoostError>(())
//! ```

mod bins;
mod fit;
mod grow;
mod histogram;
mod joint;
mod layout;
mod linfa_adapter;
mod objective;
mod parallel;
mod params;
mod quantize;
mod shard;
mod split;

use std::ops::ControlFlow;

pub use fit::split_mix;
pub use objective::Objective;
pub use params::{BoostParams, Settings, ValidBoostParams};

use crate::ensemble::{Ensemble, EnsembleError};
use fit::Fit;
use histogram::{Curved, Plain};
use parallel::Threads;

/// Rows with their labels.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// `[n_rows * n_features]`, row-major, NaN for missing.
    pub values: &'a [f32],
    /// Number of values in a row.
    pub n_features: usize,
    /// `[n_rows]`.
    pub labels: &'a [f32],
    /// `[n_rows]`, finite and not negative; `None` gives all rows the same weight.
    pub weights: Option<&'a [f32]>,
}

/// Why a fit failed.
#[derive(Debug, thiserror::Error)]
pub enum BoostError {
    /// A parameter is out of its range.
    #[error("parameter {name} is {value}: expected {expected}")]
    Param {
        /// Name of the parameter.
        name: &'static str,
        /// The value it was set to.
        value: f64,
        /// The range that it has to lie in.
        expected: &'static str,
    },
    /// A parameter names a feature that the rows do not have.
    #[error("parameter {name} names feature {feature} of rows with {n_features} features")]
    Feature {
        /// Name of the parameter.
        name: &'static str,
        /// Position of the feature that the parameter names.
        feature: usize,
        /// Number of features that the rows have.
        n_features: usize,
    },
    /// Values, labels and weights differ in length, or there are no rows, or too many.
    #[error("the {what} rows do not fit together: {detail}")]
    Shape {
        /// "training" or "validation".
        what: &'static str,
        /// Which lengths disagree.
        detail: String,
    },
    /// A label or weight cannot be learned from.
    #[error("{what} row {row}: {name} is {value}, expected {expected}")]
    Value {
        /// "training" or "validation".
        what: &'static str,
        /// Position of the row.
        row: usize,
        /// "label" or "weight".
        name: &'static str,
        /// The label or weight itself.
        value: f32,
        /// Values that are allowed.
        expected: &'static str,
    },
    /// The grown trees do not form an ensemble, for example because a leaf value is not finite.
    #[error("the trees grown are no ensemble")]
    Ensemble(#[from] EnsembleError),
    /// linfa refused the dataset.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// State of a fit after a round, passed to the `control` callback, which decides whether to continue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Number of rounds done so far.
    pub round: u32,
    /// Largest number of rounds that the fit can take.
    pub rounds: u32,
    /// Loss on the validation rows after this round, by [`Objective::loss`]; `None` without validation rows.
    pub validation_loss: Option<f64>,
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All rounds were done.
    Rounds,
    /// The validation loss did not fall for [`Settings::patience`] rounds.
    Patience,
    /// The root of the next tree could not be split.
    NothingToSplit,
    /// The `control` callback stopped the fit.
    Control,
}

/// Result of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Boosted {
    /// The trees, with the learning rate in their leaves. Their sum is a score: see [`Objective::answer`].
    pub ensemble: Ensemble,
    /// The loss that the fit minimised.
    pub objective: Objective,
    /// Why the fit ended.
    pub ended: Ended,
    /// Validation loss after each round, including the rounds whose trees were dropped after the best one.
    pub validation_losses: Vec<f64>,
    /// Twice the reduction of the training loss by the splits on each feature: `[n_features]`.
    /// [`Ensemble::split_importance`] counts the splits instead.
    pub gain_importance: Vec<f64>,
    /// Number of training rows that fell into each leaf while its tree grew: `[n_leaves]` in the order of
    /// [`Ensemble::leaves_of`]. [`crate::Explainer`] takes them as covers.
    pub leaf_rows: Vec<u32>,
}

impl Boosted {
    /// Returns the prediction for each row of `values`, row-major: a probability for [`Objective::Logistic`], else
    /// the score.
    pub fn predict(&self, values: &[f32]) -> Vec<f64> {
        self.ensemble.predict(values).into_iter().map(|score| self.objective.answer(score)).collect()
    }
}

/// Never stops a fit: the `control` callback for fits that run to their end.
pub fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl ValidBoostParams {
    /// Fits trees to `train` on at most `threads` threads (0 for the number of processors), calling `control` after
    /// each round. With `validate` and [`Settings::patience`], the trees after the best round are dropped.
    ///
    /// # Errors
    /// [`BoostError::Shape`], [`BoostError::Value`], [`BoostError::Feature`], [`BoostError::Ensemble`].
    pub fn fit(
        &self,
        train: &Labelled<'_>,
        validate: Option<&Labelled<'_>>,
        threads: usize,
        control: &mut (dyn FnMut(&Progress) -> ControlFlow<()> + Send),
    ) -> Result<Boosted, BoostError> {
        train.check("training", self.settings().objective)?;
        if train.labels.is_empty() {
            return Err(BoostError::Shape { what: "training", detail: "there are none".into() });
        }
        if let Some(validate) = validate {
            validate.check("validation", self.settings().objective)?;
            if validate.n_features != train.n_features {
                let detail =
                    format!("{} features, but {} in training", validate.n_features, train.n_features);
                return Err(BoostError::Shape { what: "validation", detail });
            }
        }
        self.check_features(train.n_features)?;
        let threads = Threads::new(threads, train.labels.len());
        threads.run(|| {
            if quantize::is_plain(self.settings().objective, train) {
                Fit::<Plain>::new(self.settings(), train, &threads).run(validate, control)
            } else {
                Fit::<Curved>::new(self.settings(), train, &threads).run(validate, control)
            }
        })
    }

    fn check_features(&self, n_features: usize) -> Result<(), BoostError> {
        let settings = self.settings();
        match settings.categories.iter().find(|feature| **feature >= n_features) {
            Some(feature) => Err(BoostError::Feature { name: "categories", feature: *feature, n_features }),
            None => Ok(()),
        }
    }
}

impl Labelled<'_> {
    fn check(&self, what: &'static str, objective: Objective) -> Result<(), BoostError> {
        let n_rows = self.labels.len();
        let shape = |detail: String| Err(BoostError::Shape { what, detail });
        if self.n_features == 0 {
            return shape("rows without features".into());
        }
        if self.values.len() != n_rows * self.n_features {
            return shape(format!(
                "{} values for {n_rows} labels x {} features",
                self.values.len(),
                self.n_features
            ));
        }
        if let Some(weights) = self.weights.filter(|weights| weights.len() != n_rows) {
            return shape(format!("{} weights for {n_rows} labels", weights.len()));
        }
        if n_rows > quantize::ROWS_MAX {
            return shape(format!("{n_rows} rows, at most {} are learned from at once", quantize::ROWS_MAX));
        }
        let (is_label, expected): (fn(f32) -> bool, _) = match objective {
            Objective::Logistic => (|label| label == 0.0 || label == 1.0, "0 or 1"),
            Objective::Squared | Objective::Quantile(_) => (f32::is_finite, "a finite number"),
        };
        if let Some(row) = self.labels.iter().position(|label| !is_label(*label)) {
            return Err(BoostError::Value { what, row, name: "label", value: self.labels[row], expected });
        }
        let weights = self.weights.unwrap_or_default();
        if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            let expected = "a finite number, 0 or more";
            return Err(BoostError::Value { what, row, name: "weight", value: weights[row], expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
