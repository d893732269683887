//! Fits in two steps: a validation fit on trips kept aside, then a fit of all trips.
//!
//! The validation fit learns from some trips and predicts others that it did not see, preferably of a later month. It
//! alone decides after how many rounds to stop, which family, parameters or window to take, how wide intervals are and
//! how probabilities are calibrated. Then all trips are fitted with what was found.

use serde::{Deserialize, Serialize};

use super::boosted::{self, BoostedTrees};
use super::calibration::Calibration;
use super::interval::{Interval, Unseen};
use super::linear::LinearModel;
use super::tip_tree::TipTree;
use super::{DurationModel, Estimate, Family, FitError, FitParams, Model, TipEstimate, TipModel, Work};
use crate::outcome::{Examples, Target};
use crate::performance::{Loss, each_or_nan, or_nan};

/// Most boosting rounds without validation trips: enough for so little data.
const ROUNDS_WITHOUT_VALIDATION: u32 = 100;

/// A family with these parameters, validated on trips that it did not see.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidationFit {
    /// The target.
    pub target: Target,
    /// The family.
    pub family: Family,
    /// The parameters, with the open ones decided.
    pub params: FitParams,
    /// The deciding metric, RMSE in minutes or log loss, on the unseen trips; NaN if there were none.
    pub loss: f64,
    /// For boosted trees: the best number of rounds, or at most 100 without unseen trips.
    pub rounds: Option<u32>,
    /// For boosted trees: the loss on the unseen trips after each round, see [`trees::boost::Objective::loss`].
    pub losses: Vec<f64>,
    /// Whether [`Work::control`] stopped it.
    pub cut: bool,
    unseen: Unseen,
}

/// What a validation fit found, without the trips that it predicted: with these it is the same validation fit again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// The parameters, with the open ones decided.
    pub params: FitParams,
    /// See [`ValidationFit::loss`].
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// See [`ValidationFit::rounds`].
    pub rounds: Option<u32>,
    /// See [`ValidationFit::losses`].
    #[serde(deserialize_with = "each_or_nan")]
    pub losses: Vec<f64>,
    /// See [`ValidationFit::cut`].
    pub cut: bool,
    /// The predictions for the unseen trips, in their order.
    #[serde(deserialize_with = "each_or_nan")]
    pub predicted: Vec<f64>,
}

/// How a fit went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FitSummary {
    /// For boosted trees: their number, which for tips of few trips is that of several fits together.
    pub rounds: Option<u32>,
    /// Whether [`Work::control`] stopped the validation fit or the fit.
    pub cut: bool,
}

/// A family with its fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What kind of model it is.
    pub family: Family,
    /// How the fit went.
    pub course: FitSummary,
    /// The model.
    pub model: Model,
}

impl ValidationFit {
    /// Fits `target` on `learn` and predicts `later`.
    ///
    /// # Errors
    /// See [`FitError`].
    pub fn validate(
        target: Target,
        family: Family,
        learn: &Examples,
        later: &Examples,
        params: &FitParams,
        work: &mut Work<'_>,
    ) -> Result<Self, FitError> {
        learnable(target, family, learn)?;
        let mut params = params.clone();
        params.boosted = params.boosted.decided(target, learn.len());
        let (mut rounds, mut losses, mut cut) = (None, Vec::new(), false);
        let trips = &later.trips;
        let predicted = match (target, family) {
            (Target::Duration, Family::Linear) => LinearModel::fit(learn, &params).minutes(trips),
            (Target::Tip, Family::Tree) => TipTree::fit(learn, &params)?.probabilities(trips),
            (_, Family::Boosted) if later.is_empty() => {
                rounds = Some(params.boosted.rounds_max.min(ROUNDS_WITHOUT_VALIDATION));
                Vec::new()
            }
            (_, Family::Boosted) => {
                let stopped = BoostedTrees::stopped(target, learn, later, &params, work)?;
                rounds = Some(stopped.rounds);
                (losses, cut) = (stopped.losses, stopped.cut);
                stopped.trees.predict(trips)
            }
            _ => return Err(FitError::Family { family, target }),
        };
        let loss = Loss::of_target(target).mean(&predicted, &later.labels);
        let unseen = Unseen { trips: trips.clone(), predicted, actual: later.labels.clone() };
        Ok(Self { target, family, params, loss, rounds, losses, cut, unseen })
    }

    /// Returns what it found, without the unseen trips.
    pub fn validated(&self) -> Validated {
        Validated {
            params: self.params.clone(),
            loss: self.loss,
            rounds: self.rounds,
            losses: self.losses.clone(),
            cut: self.cut,
            predicted: self.unseen.predicted.clone(),
        }
    }

    /// Returns the validation fit of `target` that `found` this for the unseen trips `later`; none if they are others.
    pub fn from_validated(
        target: Target,
        family: Family,
        found: Validated,
        later: &Examples,
    ) -> Option<Self> {
        // Boosted trees without unseen trips predict none.
        if found.predicted.len() != later.len() {
            return None;
        }
        let Validated { params, loss, rounds, losses, cut, predicted } = found;
        let unseen = Unseen { trips: later.trips.clone(), predicted, actual: later.labels.clone() };
        Some(Self { target, family, params, loss, rounds, losses, cut, unseen })
    }

    /// Returns the predictions for the unseen trips.
    pub fn predicted(&self) -> &[f64] {
        &self.unseen.predicted
    }

    /// Fits the validated family on `examples`. The same examples in the same order and the same validation fit give
    /// the same model, on every machine and with any number of threads.
    ///
    /// # Errors
    /// See [`FitError`].
    pub fn fit(&self, examples: &Examples, work: &mut Work<'_>) -> Result<Candidate, FitError> {
        let Self { target, family, params, unseen, .. } = self;
        learnable(*target, *family, examples)?;
        let mut course = FitSummary { rounds: None, cut: self.cut };
        let mut boosted = |work: &mut Work<'_>| {
            let rounds = self.rounds.unwrap_or(ROUNDS_WITHOUT_VALIDATION);
            let (trees, cut) = BoostedTrees::of_rounds(*target, examples, rounds, params, work)?;
            course = FitSummary { rounds: Some(trees.n_trees() as u32), cut: course.cut || cut };
            Ok(trees)
        };
        let model = match (target, family) {
            (Target::Duration, Family::Linear | Family::Boosted) => {
                let interval = Interval::fit(unseen, params, work)?;
                let estimate = match family {
                    Family::Linear => Estimate::Linear(LinearModel::fit(examples, params)),
                    _ => Estimate::Boosted(boosted(work)?),
                };
                Model::Duration(DurationModel { estimate, interval })
            }
            (Target::Tip, Family::Tree | Family::Boosted) => {
                let calibration = Calibration::fit(&unseen.predicted, &unseen.actual);
                let estimate = match family {
                    Family::Tree => TipEstimate::Tree(TipTree::fit(examples, params)?),
                    _ => TipEstimate::Boosted(boosted(work)?),
                };
                Model::Tip(TipModel { estimate, calibration })
            }
            _ => return Err(FitError::Family { family: *family, target: *target }),
        };
        Ok(Candidate { family: *family, course, model })
    }
}

impl Candidate {
    /// Fits `target` on `examples`, already chosen by `params.rules`, and validates on every fifth of their days.
    ///
    /// # Errors
    /// See [`FitError`].
    pub fn fit(
        target: Target,
        family: Family,
        examples: &Examples,
        params: &FitParams,
        work: &mut Work<'_>,
    ) -> Result<Self, FitError> {
        learnable(target, family, examples)?;
        let (mut learn, mut later) = (
            examples.filter(|row| !boosted::is_held_out(examples, row)),
            examples.filter(|row| boosted::is_held_out(examples, row)),
        );
        if learn.is_empty() || later.is_empty() {
            (learn, later) = (examples.clone(), Examples::default());
        }
        ValidationFit::validate(target, family, &learn, &later, params, work)?.fit(examples, work)
    }
}

fn learnable(target: Target, family: Family, examples: &Examples) -> Result<(), FitError> {
    let Some(first) = examples.labels.first() else { return Err(FitError::NoExamples { target }) };
    // The mean is a linear model of durations that are all the same, but trees have nothing to split on.
    let needs_two = target == Target::Tip || family == Family::Boosted;
    match needs_two && examples.labels.iter().all(|label| label == first) {
        true => Err(FitError::OneClass { target, rows: examples.len() }),
        false => Ok(()),
    }
}
