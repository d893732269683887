//! Boosted trees for both targets: the most accurate candidate.
//!
//! Durations are learned as their square roots, from distance, geography, time, calendar and codes; tips from the same without calendar
//! and detours, but with the numbers of zones. `docs/DESIGN.md` has the figures of what was tried. The newest days weigh most.
//!
//! The number of rounds is found on trips of the training months that the trees do not see; then all are fitted with as
//! many: see [`super::ValidationFit`]. Data outside the training months has no influence.

mod params;
mod rows;

use chrono::Datelike;
use linfa::ParamGuard;
use serde::{Deserialize, Serialize};
use trees::boost::{BoostError, BoostParams, Boosted, Ended, Objective, Settings};
use trees::{Ensemble, EnsembleError, Explainer, TooDeep, Tree};

use super::feature_trees::{FeatureTrees, KnownCodes};
use super::{FitError, FitParams, Work};
use crate::features::{self, FeatureRows};
use crate::outcome::{Examples, Target};
use crate::rules::JUDGED_MIN;
use crate::trip::Trip;
pub use params::BoostedParams;
use params::MANY_ROWS;
use rows::{Rows, feature_columns};

/// One day in this many is kept aside.
pub(super) const DAYS_A_FOLD: i32 = 5;

/// Tips of fewer than [`MANY_ROWS`] trips are the mean of so many fits: whether a trip is tipped is mostly chance, of which one fit learns
/// more.
const TIP_FITS: u64 = 3;
/// Rows whose features are computed at once where all of them would take memory.
const PART_ROWS: usize = 8_192;
/// Share of the features that each split chooses from.
const NODE_FEATURE_SHARE: f64 = 0.5;
/// The number of rounds is the greatest whose loss on unseen trips exceeds the least one by at most this share: losses hardly change then,
/// and the last fit sees more trips, which carry more rounds.
const LOSS_SLACK: f64 = 0.001;

/// What trees sum up to, and how a prediction follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum TargetTransform {
    /// The square root of minutes. The mean of squares is not the square of the mean, so squares are multiplied by the factor that makes
    /// them right on average over the training trips (Duan 1983, "Smearing Estimate").
    SquareRoot {
        /// The smearing factor.
        factor: f64,
    },
    /// Log odds of a tip.
    LogOdds,
}

impl TargetTransform {
    /// Returns the prediction for a sum: minutes from 1 to 60, or a probability.
    pub(crate) fn inverse(self, sum: f64) -> f64 {
        match self {
            Self::SquareRoot { factor } => {
                let root = sum.max(0.0);
                (root * root * factor).clamp(JUDGED_MIN.0, JUDGED_MIN.1)
            }
            Self::LogOdds => Objective::Logistic.answer(sum),
        }
    }

    fn is_sound(self) -> bool {
        match self {
            Self::SquareRoot { factor } => factor.is_finite() && factor > 0.0,
            Self::LogOdds => true,
        }
    }
}

/// Boosted trees over the features of a trip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostedTrees {
    transform: TargetTransform,
    trees: FeatureTrees,
    /// Training rows in each leaf, which weigh explanations.
    leaf_rows: Vec<u32>,
}

/// Trees that stopped at their best loss on trips that they did not see.
pub(super) struct Stopped {
    pub(super) trees: BoostedTrees,
    /// The number of rounds to fit, see [`LOSS_SLACK`].
    pub(super) rounds: u32,
    /// The loss on those trips after each round, also after the best one.
    pub(super) losses: Vec<f64>,
    /// Whether [`Work::control`] stopped it.
    pub(super) cut: bool,
}

impl BoostedTrees {
    /// Returns whether each leaf has a number of training rows, and whether sums have predictions.
    pub(super) fn is_sound(&self) -> bool {
        self.leaf_rows.len() == self.ensemble().n_leaves()
            && self.transform.is_sound()
            && self.trees.known().is_sound()
    }

    /// Predicts every trip: minutes, or P(tip > 0 | paid by card).
    pub fn predict(&self, trips: &[Trip]) -> Vec<f64> {
        self.predict_features(&FeatureRows::from_trips(trips).values)
    }

    /// Returns the number of trees.
    pub fn n_trees(&self) -> usize {
        self.ensemble().n_trees()
    }

    /// Creates the explainer of the trees' sum, over the features of [`features::NAMES`].
    ///
    /// # Errors
    /// [`TooDeep`].
    pub fn explainer(&self) -> Result<Explainer, TooDeep> {
        let covers = self.leaf_rows.iter().copied().map(f64::from).collect();
        Explainer::new(self.ensemble().clone(), covers)
    }

    /// Returns how predictions follow from the sum of the trees.
    pub(crate) fn transform(&self) -> TargetTransform {
        self.transform
    }

    /// Returns the trees with the codes that they know.
    pub(crate) fn feature_trees(&self) -> &FeatureTrees {
        &self.trees
    }

    /// Returns the trees, over the features of [`features::NAMES`].
    pub fn ensemble(&self) -> &Ensemble {
        self.trees.ensemble()
    }

    /// Predicts feature rows, row-major.
    pub(super) fn predict_features(&self, values: &[f32]) -> Vec<f64> {
        self.trees.sums(values).into_iter().map(|sum| self.transform.inverse(sum)).collect()
    }

    /// Fits `learn` for as many rounds as are best on `later`.
    pub(super) fn stopped(
        target: Target,
        learn: &Examples,
        later: &Examples,
        params: &FitParams,
        work: &mut Work<'_>,
    ) -> Result<Stopped, FitError> {
        let train = Rows::learned(target, learn, params);
        let later_rows = FeatureRows::from_trips(&later.trips);
        let validate = Rows::new(&later_rows, &sums_of(target, &later.labels), &train.columns, &train.known);
        let boosted = boost(settings(target, params, learn.len()), &train, Some(&validate), work)?;
        let trees = Self::with_transform(target, learn, &train, &boosted)?;
        let rounds = rounds_within_slack(&boosted.validation_losses).max(1) as u32;
        Ok(Stopped { trees, rounds, cut: boosted.ended == Ended::Control, losses: boosted.validation_losses })
    }

    /// Fits `examples` for `rounds` rounds; returns whether control ended it before.
    pub(super) fn of_rounds(
        target: Target,
        examples: &Examples,
        rounds: u32,
        params: &FitParams,
        work: &mut Work<'_>,
    ) -> Result<(Self, bool), FitError> {
        let rows = Rows::learned(target, examples, params);
        let settings = settings(target, params, examples.len());
        let settings = Settings { rounds: rounds.max(1), patience: None, ..settings };
        let boosted = match target {
            Target::Tip if examples.len() < MANY_ROWS => mean_of_fits(&settings, &rows, work)?,
            _ => boost(settings, &rows, None, work)?,
        };
        Ok((Self::with_transform(target, examples, &rows, &boosted)?, boosted.ended == Ended::Control))
    }

    /// Fits the transform of trees that were fitted on `rows`.
    fn with_transform(
        target: Target,
        examples: &Examples,
        rows: &Rows,
        boosted: &Boosted,
    ) -> Result<Self, FitError> {
        let trees = over_all_features(boosted, rows)?;
        let transform = match target {
            Target::Tip => TargetTransform::LogOdds,
            Target::Duration => {
                let (mut actual, mut squares) = (0.0, 0.0);
                let parts = examples.trips.chunks(PART_ROWS).zip(examples.labels.chunks(PART_ROWS));
                for ((trips, minutes), weights) in parts.zip(rows.weights.chunks(PART_ROWS)) {
                    let roots = trees.sums(&FeatureRows::from_trips(trips).values);
                    for ((root, minutes), weight) in roots.iter().zip(minutes).zip(weights) {
                        actual += f64::from(*weight) * minutes;
                        squares += f64::from(*weight) * root * root;
                    }
                }
                TargetTransform::SquareRoot { factor: if squares > 0.0 { actual / squares } else { 1.0 } }
            }
        };
        Ok(Self { transform, trees, leaf_rows: boosted.leaf_rows.clone() })
    }
}

/// Fits trees of [`TIP_FITS`] seeds, whose sum is the mean of theirs.
fn mean_of_fits(settings: &Settings, rows: &Rows, work: &mut Work<'_>) -> Result<Boosted, FitError> {
    let mut mean = boost(settings.clone(), rows, None, work)?;
    let mut trees = mean.ensemble.described();
    let mut fits = 1;
    while fits < TIP_FITS && mean.ended != Ended::Control {
        let settings = Settings { seed: super::split_mix(settings.seed ^ fits), ..settings.clone() };
        let further = boost(settings, rows, None, work)?;
        trees.extend(further.ensemble.described());
        mean.leaf_rows.extend(further.leaf_rows);
        mean.ended = further.ended;
        fits += 1;
    }
    for value in trees.iter_mut().flat_map(|tree| &mut tree.leaves) {
        *value /= fits as f64;
    }
    mean.ensemble = Ensemble::new(rows.columns.len(), mean.ensemble.base(), &trees)
        .map_err(|source| FitError::Boosting { source: source.into() })?;
    Ok(mean)
}

/// Numbers the trees' features by [`features::NAMES`], so that a feature row is scored as it is.
fn over_all_features(boosted: &Boosted, rows: &Rows) -> Result<FeatureTrees, FitError> {
    let mut trees = boosted.ensemble.described();
    for node in trees.iter_mut().flat_map(|tree: &mut Tree| &mut tree.nodes) {
        node.feature = rows.columns[node.feature as usize] as u32;
    }
    let ensemble = Ensemble::new(features::NAMES.len(), boosted.ensemble.base(), &trees)
        .map_err(|source: EnsembleError| FitError::Boosting { source: source.into() })?;
    Ok(FeatureTrees::new(ensemble, rows.known.clone()))
}

/// Returns what the trees are to sum up to for each label.
fn sums_of(target: Target, labels: &[f64]) -> Vec<f64> {
    match target {
        Target::Duration => labels.iter().map(|minutes| minutes.max(0.0).sqrt()).collect(),
        Target::Tip => labels.to_vec(),
    }
}

/// Returns the greatest number of rounds whose loss is within [`LOSS_SLACK`] of the least one.
fn rounds_within_slack(losses: &[f64]) -> usize {
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    losses.iter().rposition(|loss| *loss <= least * (1.0 + LOSS_SLACK)).map_or(0, |at| at + 1)
}

/// Returns whether a row's day is kept aside, where no later month validates. A charge and its reversal are of one day,
/// so they are never parted.
pub(super) fn is_held_out(examples: &Examples, row: usize) -> bool {
    day_number(&examples.trips, row).rem_euclid(DAYS_A_FOLD) == DAYS_A_FOLD - 1
}

/// Returns the day of a trip, or its row if the day is not known.
pub(crate) fn day_number(trips: &[Trip], row: usize) -> i32 {
    trips[row].pickup.map_or(row as i32, |pickup| pickup.num_days_from_ce())
}

/// Fits small trees to the absolute errors of predictions, minutes, over feature rows.
pub(super) fn expected_error(
    trips: &[Trip],
    minutes_off: &[f64],
    params: &FitParams,
    work: &mut Work<'_>,
) -> Result<FeatureTrees, FitError> {
    let all = FeatureRows::from_trips(trips);
    let known = KnownCodes::fit(&all.values);
    let rows = Rows::new(&all, minutes_off, &feature_columns(Target::Duration, trips), &known);
    let settings = Settings { seed: params.seed, ..error_settings() };
    over_all_features(&boost(settings, &rows, None, work)?, &rows)
}

/// Few splits on many rows: errors are mostly chance, and scoring them must not double the work.
fn error_settings() -> Settings {
    Settings {
        objective: Objective::Squared,
        rounds: 40,
        patience: None,
        max_leaves: 12,
        learning_rate: 0.1,
        min_child_rows: 100,
        l2: 5.0,
        ..Settings::default()
    }
}

fn settings(target: Target, params: &FitParams, n_rows: usize) -> Settings {
    let chosen = params.boosted.decided(target, n_rows);
    let objective = match target {
        Target::Duration => Objective::Squared,
        Target::Tip => Objective::Logistic,
    };
    let defaults = Settings::default();
    Settings {
        objective,
        rounds: chosen.rounds_max,
        patience: Some(chosen.patience),
        max_leaves: chosen.leaves.unwrap_or(defaults.max_leaves),
        learning_rate: chosen.rate(),
        min_child_rows: chosen.min_leaf_rows,
        l2: chosen.l2,
        node_feature_fraction: NODE_FEATURE_SHARE,
        seed: params.seed,
        ..defaults
    }
}

fn boost(
    settings: Settings,
    train: &Rows,
    validate: Option<&Rows>,
    work: &mut Work<'_>,
) -> Result<Boosted, FitError> {
    let refused = |source: BoostError| FitError::Boosting { source };
    let params = BoostParams::new(settings).check().map_err(refused)?;
    let validate = validate.map(Rows::labelled);
    params.fit(&train.labelled(), validate.as_ref(), work.threads, work.control).map_err(refused)
}

#[cfg(test)]
mod tests;
