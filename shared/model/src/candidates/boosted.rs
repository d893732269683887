//! Boosted trees for both targets: the most accurate candidate.
//!
//! The features are distance, geography (straight miles and the coordinates of both zones' centroids), time and codes.
//! Zones as categories and statistics of pairs and zones were tried and made it worse on later months (`docs/DESIGN.md`
//! has the figures): coordinates carry the same with fewer splits, for rare zones too.
//!
//! The number of rounds is found on trips of the training months that the trees do not see; then all are fitted with as
//! many: see [`super::ValidationFit`]. Data outside the training months has no influence.

use chrono::Datelike;
use linfa::ParamGuard;
use serde::{Deserialize, Serialize};
use trees::boost::{BoostError, BoostParams, Boosted, Ended, Labelled, Monotone, Objective, Settings};
use trees::{Ensemble, EnsembleError, Explainer, Scorer, TooDeep, Tree};

use super::{FitError, FitParams, Work};
use crate::features::{self, FeatureRows};
use crate::outcome::{Examples, Target};
use crate::rules::JUDGED_MIN;
use crate::trip::Trip;

/// Feature columns of the trees, by name in [`features::NAMES`]; with a whole year also [`MONTH`].
const ASKED: [&str; 13] = [
    DISTANCE,
    "straight_miles",
    "pickup_latitude",
    "pickup_longitude",
    "dropoff_latitude",
    "dropoff_longitude",
    "hour",
    "weekday",
    "quarter_hour",
    "vendor",
    "rate_code",
    "passengers",
    "trip_type",
];
const DISTANCE: &str = "distance_miles";
/// The month of the year; with less than a year of trips it only numbers the days.
const MONTH: &str = "month";
/// Least share of the trips for a month of the year to count as seen: wrong clocks show every month.
const MONTH_SHARE_MIN: f64 = 0.01;
/// The position of the distance in [`ASKED`].
const DISTANCE_AT: usize = 0;

/// One day in this many is kept aside.
pub(super) const DAYS_A_FOLD: i32 = 5;

const FEW_LEAVES: u32 = 31;
const MANY_LEAVES: u32 = 127;
const MANY_ROWS: usize = 150_000;

/// Parameters of boosting; part of a model's identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostedParams {
    /// Trees at most.
    pub rounds_max: u32,
    /// Rounds without a better loss on the unseen trips after which to stop.
    pub patience: u32,
    /// Most leaves of a tree; `None` to choose by the number of rows, see [`BoostedParams::leaves_for`].
    pub leaves: Option<u32>,
    /// Factor of each tree's leaf values.
    pub learning_rate: f64,
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
            rounds_max: 1500,
            patience: 40,
            leaves: None,
            learning_rate: 0.1,
            min_leaf_rows: 40,
            l2: 5.0,
            hidden_distance_share: 0.1,
        }
    }
}

impl BoostedParams {
    /// Returns the most leaves of a tree that learns from `n_rows`: durations take 127 leaves from 150,000 rows on
    /// (about three months); as many make tips worse.
    pub fn leaves_for(&self, target: Target, n_rows: usize) -> u32 {
        self.leaves.unwrap_or(match target {
            Target::Duration if n_rows >= MANY_ROWS => MANY_LEAVES,
            Target::Duration | Target::Tip => FEW_LEAVES,
        })
    }
}

/// Boosted trees over the features of a trip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostedTrees {
    objective: Objective,
    scorer: Scorer,
    /// Training rows in each leaf, which weigh explanations.
    leaf_rows: Vec<u32>,
}

/// Trees that stopped at their best loss on trips that they did not see.
pub(super) struct Stopped {
    pub(super) trees: BoostedTrees,
    /// The loss on those trips after each round, also after the best one.
    pub(super) losses: Vec<f64>,
    /// Whether [`Work::control`] stopped it.
    pub(super) cut: bool,
}

impl BoostedTrees {
    /// Returns whether each leaf has a number of training rows.
    pub(super) fn is_sound(&self) -> bool {
        self.leaf_rows.len() == self.ensemble().n_leaves()
    }

    /// Predicts every trip: minutes, or P(tip > 0 | paid by card).
    pub fn predict(&self, trips: &[Trip]) -> Vec<f64> {
        self.predict_features(&FeatureRows::from_trips(trips).values)
    }

    /// Returns the number of trees.
    pub fn n_trees(&self) -> usize {
        self.scorer.ensemble().n_trees()
    }

    /// Creates the explainer of the trees' sum, over the features of [`features::NAMES`].
    ///
    /// # Errors
    /// [`TooDeep`].
    pub fn explainer(&self) -> Result<Explainer, TooDeep> {
        let covers = self.leaf_rows.iter().copied().map(f64::from).collect();
        Explainer::new(self.scorer.ensemble().clone(), covers)
    }

    /// Returns the bounds that the sum is clamped to, minutes; `None` for probabilities.
    pub(crate) fn answers_within(&self) -> Option<(f64, f64)> {
        (self.objective != Objective::Logistic).then_some(JUDGED_MIN)
    }

    /// Returns the trees, over the features of [`features::NAMES`].
    pub fn ensemble(&self) -> &Ensemble {
        self.scorer.ensemble()
    }

    /// Predicts feature rows, row-major.
    pub(super) fn predict_features(&self, values: &[f32]) -> Vec<f64> {
        let answer = |score: f64| match self.objective {
            Objective::Logistic => self.objective.answer(score),
            Objective::Squared | Objective::Quantile(_) => score.clamp(JUDGED_MIN.0, JUDGED_MIN.1),
        };
        self.scorer.predict(values).into_iter().map(answer).collect()
    }

    /// Fits `learn` for as many rounds as are best on `later`.
    pub(super) fn stopped(
        target: Target,
        learn: &Examples,
        later: &Examples,
        params: &FitParams,
        work: &mut Work<'_>,
    ) -> Result<Stopped, FitError> {
        let train = Rows::learned(learn, params);
        let validate = Rows::new(&later.trips, &later.labels, train.feature_columns.clone());
        let boosted = boost(settings(target, params), &train, Some(&validate), work)?;
        let trees = Self::over_all_features(&boosted, &train.feature_columns)?;
        Ok(Stopped { trees, cut: boosted.ended == Ended::Control, losses: boosted.validation_losses })
    }

    /// Fits `examples` for `rounds` rounds; returns whether control ended it before.
    pub(super) fn of_rounds(
        target: Target,
        examples: &Examples,
        rounds: u32,
        params: &FitParams,
        work: &mut Work<'_>,
    ) -> Result<(Self, bool), FitError> {
        let rows = Rows::learned(examples, params);
        let settings = Settings { rounds: rounds.max(1), patience: None, ..settings(target, params) };
        let boosted = boost(settings, &rows, None, work)?;
        Ok((Self::over_all_features(&boosted, &rows.feature_columns)?, boosted.ended == Ended::Control))
    }

    /// Numbers the trees' features by [`features::NAMES`], so that a feature row is scored as it is.
    fn over_all_features(boosted: &Boosted, feature_columns: &[usize]) -> Result<Self, FitError> {
        let mut trees = boosted.ensemble.described();
        for node in trees.iter_mut().flat_map(|tree: &mut Tree| &mut tree.nodes) {
            node.feature = feature_columns[node.feature as usize] as u32;
        }
        let ensemble = Ensemble::new(features::NAMES.len(), boosted.ensemble.base(), &trees)
            .map_err(|source: EnsembleError| FitError::Boosting { source: source.into() })?;
        let leaf_rows = boosted.leaf_rows.clone();
        Ok(Self { objective: boosted.objective, scorer: Scorer::new(ensemble), leaf_rows })
    }
}

/// Returns the feature columns of trees fitted on these trips: positions in [`features::NAMES`].
fn feature_columns(trips: &[Trip]) -> Vec<usize> {
    let mut by_month = [0usize; 12];
    trips.iter().filter_map(|trip| trip.pickup).for_each(|at| by_month[at.month0() as usize] += 1);
    let enough = (trips.len() as f64 * MONTH_SHARE_MIN).ceil().max(1.0) as usize;
    let month = by_month.iter().all(|trips| *trips >= enough).then_some(MONTH);
    let position = |name: &str| features::NAMES.iter().position(|known| *known == name);
    ASKED.into_iter().chain(month).filter_map(position).collect()
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
) -> Result<Scorer, FitError> {
    let rows = Rows::new(trips, minutes_off, feature_columns(trips));
    let settings = Settings { seed: params.seed, ..error_settings() };
    Ok(BoostedTrees::over_all_features(&boost(settings, &rows, None, work)?, &rows.feature_columns)?.scorer)
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

fn settings(target: Target, params: &FitParams) -> Settings {
    let chosen = &params.boosted;
    let (objective, monotone) = match target {
        // A longer distance never takes less time.
        Target::Duration => (Objective::Squared, vec![(DISTANCE_AT, Monotone::Increasing)]),
        Target::Tip => (Objective::Logistic, Vec::new()),
    };
    Settings {
        objective,
        monotone,
        rounds: chosen.rounds_max,
        patience: Some(chosen.patience),
        max_leaves: chosen.leaves.unwrap_or(FEW_LEAVES),
        learning_rate: chosen.learning_rate,
        min_child_rows: chosen.min_leaf_rows,
        l2: chosen.l2,
        seed: params.seed,
        ..Settings::default()
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

/// Rows of the feature columns, with labels.
struct Rows {
    /// Positions in [`features::NAMES`].
    feature_columns: Vec<usize>,
    /// `[n_rows * feature_columns.len()]`.
    values: Vec<f32>,
    labels: Vec<f32>,
}

impl Rows {
    /// Builds training rows; some distances are hidden, so that trips without one are learned from too.
    fn learned(examples: &Examples, params: &FitParams) -> Self {
        let mut rows = Self::new(&examples.trips, &examples.labels, feature_columns(&examples.trips));
        for (row, values) in rows.values.chunks_exact_mut(rows.feature_columns.len()).enumerate() {
            if is_hidden(params, row) {
                values[DISTANCE_AT] = f32::NAN;
            }
        }
        rows
    }

    fn new(trips: &[Trip], labels: &[f64], feature_columns: Vec<usize>) -> Self {
        let mut values = Vec::with_capacity(trips.len() * feature_columns.len());
        for trip in trips.iter() {
            let all = features::row(trip);
            values.extend(feature_columns.iter().map(|&at| all[at]));
        }
        Self { feature_columns, values, labels: labels.iter().map(|label| *label as f32).collect() }
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled {
            values: &self.values,
            n_features: self.feature_columns.len(),
            labels: &self.labels,
            weights: None,
        }
    }
}

/// Returns whether the distance of this row is hidden in training.
fn is_hidden(params: &FitParams, row: usize) -> bool {
    let drawn = super::split_mix(params.seed ^ 0xD157_A4CE ^ super::split_mix(row as u64));
    (drawn >> 11) as f64 / (1u64 << 53) as f64 <= params.boosted.hidden_distance_share
        && params.boosted.hidden_distance_share > 0.0
}

#[cfg(test)]
mod tests;
