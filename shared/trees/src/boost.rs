//! Gradient boosting of regression trees on histograms (Friedman 2001; Ke et al. 2017).
//!
//! In the order data meets them: [`params`] says what is wanted; [`objective`] what is minimised; `bins` turns values
//! into small numbers, `layout` gives them their places and a `shard` holds those of a thread's rows, beside the gradients
//! that `quantize` makes; `histogram` sums them up;
//! `split` finds the best split of a leaf; `grow` makes a tree of them; `fit` goes round by round. `parallel` shares the work among threads.
//!
//! The same rows and parameters give the same bytes, whatever the number of threads and on every architecture: sums
//! are sums of integers, and every float is computed from them in one order.

mod bins;
mod fit;
mod grow;
mod histogram;
mod layout;
mod linfa_adapter;
mod objective;
mod parallel;
mod params;
mod quantize;
mod shard;
mod split;

use std::ops::ControlFlow;

pub use objective::Objective;
pub use params::{BoostParams, Monotone, Settings, ValidBoostParams};

use crate::ensemble::{Ensemble, EnsembleError};
use fit::Fit;
use histogram::{Curved, Plain};
use parallel::Threads;

/// Rows with their labels.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// `[n_rows * n_features]`, row-major, NaN for missing.
    pub values: &'a [f32],
    /// How many values a row has.
    pub n_features: usize,
    /// `[n_rows]`.
    pub labels: &'a [f32],
    /// `[n_rows]`, finite and not negative; none for equal weights.
    pub weights: Option<&'a [f32]>,
}

/// Why nothing was fitted.
#[derive(Debug, thiserror::Error)]
pub enum BoostError {
    /// A parameter is out of its range.
    #[error("parameter {name} is {value}: expected {expected}")]
    Param {
        /// Its name.
        name: &'static str,
        /// What it was set to.
        value: f64,
        /// What was expected.
        expected: &'static str,
    },
    /// A feature that the rows do not have is named as a category or as monotone.
    #[error("parameter {name} names feature {feature} of rows with {n_features} features")]
    Feature {
        /// The parameter.
        name: &'static str,
        /// The feature it names.
        feature: usize,
        /// How many there are.
        n_features: usize,
    },
    /// Values, labels and weights do not fit together, or there are none, or too many.
    #[error("the {what} rows do not fit together: {detail}")]
    Shape {
        /// "training" or "validation".
        what: &'static str,
        /// What does not fit.
        detail: String,
    },
    /// A label or weight cannot be learned from.
    #[error("{what} row {row}: {name} is {value}, expected {expected}")]
    Value {
        /// "training" or "validation".
        what: &'static str,
        /// Which row.
        row: usize,
        /// "label" or "weight".
        name: &'static str,
        /// The value.
        value: f32,
        /// What was expected.
        expected: &'static str,
    },
    /// The trees grown do not form an ensemble: a leaf was too large for a number.
    #[error("the trees grown are no ensemble")]
    Ensemble(#[from] EnsembleError),
    /// linfa refused the dataset.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// How far a fit has come; control answers whether to go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Rounds done.
    pub round: u32,
    /// Rounds there will be at most.
    pub rounds: u32,
    /// The loss on the validation rows after this round, if there are any: see [`Objective::loss`].
    pub validation_loss: Option<f64>,
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All rounds were done.
    Rounds,
    /// The validation loss no longer fell.
    Patience,
    /// No leaf could be split any more.
    NothingToSplit,
    /// Control said stop.
    Control,
}

/// What was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Boosted {
    /// The trees, learning rate included; the sum is a score: see [`Objective::answer`].
    pub ensemble: Ensemble,
    /// What was minimised.
    pub objective: Objective,
    /// Why the fit ended.
    pub ended: Ended,
    /// The validation loss after each round that was done, the rounds left out after the best one included.
    pub validation_losses: Vec<f64>,
    /// By how much the splits on each feature reduced the training loss, twice: `[n_features]`. How often each is asked:
    /// [`Ensemble::split_importance`].
    pub gain_importance: Vec<f64>,
    /// Training rows that fell into each leaf while its tree grew: `[n_leaves]` in the order of
    /// [`Ensemble::leaves_of`]. The covers that [`crate::Explainer`] asks for.
    pub leaf_rows: Vec<u32>,
}

impl Boosted {
    /// The answer for each row of `values`, row-major: a probability for [`Objective::Logistic`], else the score.
    pub fn predict(&self, values: &[f32]) -> Vec<f64> {
        self.ensemble.predict(values).into_iter().map(|score| self.objective.answer(score)).collect()
    }
}

/// Goes on whatever happens.
pub fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl ValidBoostParams {
    /// Fits trees to `train`, on `threads` threads (0 for as many as the machine runs at once), asking `control` after
    /// each round. With `validate` and [`Settings::patience`], the rounds after the best one are left out.
    ///
    /// # Errors
    /// [`BoostError::Shape`], [`BoostError::Value`], [`BoostError::Feature`].
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
        let of_categories = settings.categories.iter().map(|feature| ("categories", *feature));
        let of_monotone = settings.monotone.iter().map(|(feature, _)| ("monotone", *feature));
        match of_categories.chain(of_monotone).find(|(_, feature)| *feature >= n_features) {
            Some((name, feature)) => Err(BoostError::Feature { name, feature, n_features }),
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
