//! Boosted trees for both targets: the most accurate candidate.
//!
//! What a trip is asked: distance, geography (straight miles and the coordinates of both zones' centroids), time and
//! codes. Zones as categories and statistics of pairs and zones were tried and made it worse on later months
//! (`docs/DESIGN.md` has the figures): coordinates say the same with fewer splits, and of zones that are rare too.
//!
//! The number of rounds is found on days of the training months that the trees do not see; then all days are learned
//! from with as many. Nothing outside the training months has a say.

use chrono::Datelike;
use linfa::ParamGuard;
use serde::{Deserialize, Serialize};
use trees::boost::{BoostError, BoostParams, Boosted, Labelled, Monotone, Objective, Settings};
use trees::{Ensemble, EnsembleError, Explainer, Scorer, TooDeep, Tree};

use super::interval::Unseen;
use super::{FitError, FitParams, Work};
use crate::features::{self, FeatureRows};
use crate::outcome::{Examples, Target};
use crate::trip::TripBatch;

/// What trees of durations and tips are asked, by name in [`features::NAMES`].
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
/// The position of the distance in [`ASKED`].
const DISTANCE_AT: usize = 0;

/// One in so many days of the training months says when to stop.
pub(super) const DAYS_A_FOLD: i32 = 5;

/// Durations that trees learn from and answer, minutes: those of the training rules.
const MINUTES: (f64, f64) = (1.0, 60.0);

/// What is chosen before boosting; part of a model's identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostedParams {
    /// Trees at most.
    pub rounds_max: u32,
    /// Rounds without a better figure on the held-out days after which to stop.
    pub patience: u32,
    /// Leaves a tree has at most.
    pub leaves: u32,
    /// What each tree's leaves are multiplied by.
    pub learning_rate: f64,
    /// Rows that a leaf holds at least.
    pub min_leaf_rows: u32,
    /// L2 penalty on leaf values.
    pub l2: f64,
    /// Share of the rows whose distance is hidden while learning, so that a trip without one is answered well.
    pub hidden_distance_share: f64,
}

impl Default for BoostedParams {
    fn default() -> Self {
        Self {
            rounds_max: 1500,
            patience: 40,
            leaves: 31,
            learning_rate: 0.1,
            min_leaf_rows: 40,
            l2: 5.0,
            hidden_distance_share: 0.1,
        }
    }
}

/// Boosted trees over the features of a trip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostedTrees {
    objective: Objective,
    scorer: Scorer,
    /// Training rows in each leaf: what explanations weigh.
    leaf_rows: Vec<u32>,
}

/// Trees fitted on all days, and what those fitted without the held-out days said of them.
pub(super) struct Fitted {
    pub(super) trees: BoostedTrees,
    /// The held-out examples, what was said of them and what was.
    pub(super) held_out: Unseen,
}

impl BoostedTrees {
    /// Answers for every trip: minutes, or P(tip > 0 | paid by card).
    pub fn answers(&self, trips: &TripBatch) -> Vec<f64> {
        self.answers_of(&FeatureRows::of(trips).values)
    }

    /// How many trees there are.
    pub fn n_trees(&self) -> usize {
        self.scorer.ensemble().n_trees()
    }

    /// What says why the trees sum to what they do, over the features of [`features::NAMES`].
    ///
    /// # Errors
    /// [`TooDeep`].
    pub fn explainer(&self) -> Result<Explainer, TooDeep> {
        let covers = self.leaf_rows.iter().copied().map(f64::from).collect();
        Explainer::new(self.scorer.ensemble().clone(), covers)
    }

    /// The trees, over the features of [`features::NAMES`].
    pub fn ensemble(&self) -> &Ensemble {
        self.scorer.ensemble()
    }

    /// Answers for feature rows, row-major.
    pub(super) fn answers_of(&self, values: &[f32]) -> Vec<f64> {
        let answer = |score: f64| match self.objective {
            Objective::Logistic => self.objective.answer(score),
            Objective::Squared | Objective::Quantile(_) => score.clamp(MINUTES.0, MINUTES.1),
        };
        self.scorer.predict(values).into_iter().map(answer).collect()
    }

    /// Fits `examples` of `target`.
    pub(super) fn fit(
        target: Target,
        examples: &Examples,
        params: &FitParams,
        work: &mut Work<'_>,
    ) -> Result<Fitted, FitError> {
        let first = examples.labels.first();
        if target == Target::Tip && examples.labels.iter().all(|label| Some(label) == first) {
            return Err(FitError::OneClass { target, rows: examples.len() });
        }
        let rows = Rows::of(examples, params);
        let (seen, held_out): (Vec<usize>, Vec<usize>) =
            (0..examples.len()).partition(|&row| !is_held_out(examples, row));
        let settings = settings(target, params);
        // Too few days to hold some out: as many rounds as there may be, within reason for so little data.
        if seen.is_empty() || held_out.is_empty() {
            let rounds = params.boosted.rounds_max.min(100);
            let boosted = boost(Settings { rounds, patience: None, ..settings }, &rows, None, work)?;
            return Ok(Fitted { trees: Self::over_all_features(&boosted)?, held_out: Unseen::default() });
        }
        let (train, validate) = (rows.select(&seen), rows.select(&held_out));
        let stopped = boost(settings.clone(), &train, Some(&validate), work)?;
        let rounds = (stopped.ensemble.n_trees() as u32).max(1);
        let found = Self::over_all_features(&stopped)?;
        let trips = examples.trips.select(&held_out);
        let said = found.answers(&trips);
        let was = held_out.iter().map(|&row| examples.labels[row]).collect();
        let boosted = boost(Settings { rounds, patience: None, ..settings }, &rows, None, work)?;
        let trees = Self::over_all_features(&boosted)?;
        Ok(Fitted { trees, held_out: Unseen { trips, said, was } })
    }

    /// The same trees numbered by [`features::NAMES`], so that a feature row is scored as it is.
    fn over_all_features(boosted: &Boosted) -> Result<Self, FitError> {
        let positions = asked_positions();
        let mut trees = boosted.ensemble.described();
        for node in trees.iter_mut().flat_map(|tree: &mut Tree| &mut tree.nodes) {
            node.feature = positions[node.feature as usize] as u32;
        }
        let ensemble = Ensemble::new(features::NAMES.len(), boosted.ensemble.base(), &trees)
            .map_err(|source: EnsembleError| FitError::Boosting { source: source.into() })?;
        let leaf_rows = boosted.leaf_rows.clone();
        Ok(Self { objective: boosted.objective, scorer: Scorer::new(ensemble), leaf_rows })
    }
}

/// The asked features of each trip, row-major.
fn asked_values(trips: &TripBatch) -> Vec<f32> {
    let positions = asked_positions();
    let mut values = Vec::with_capacity(trips.len() * ASKED.len());
    for trip in trips.iter() {
        let all = features::row(&trip);
        values.extend(positions.iter().map(|&at| all[at]));
    }
    values
}

fn asked_positions() -> [usize; ASKED.len()] {
    ASKED.map(|name| features::NAMES.iter().position(|known| *known == name).unwrap_or_default())
}

/// Whether a row's day says when to stop. A charge and its reversal are of one day, so they are never parted.
pub(super) fn is_held_out(examples: &Examples, row: usize) -> bool {
    day_number(&examples.trips, row).rem_euclid(DAYS_A_FOLD) == DAYS_A_FOLD - 1
}

/// The day of a trip, or its row where the day is not known.
pub(super) fn day_number(trips: &TripBatch, row: usize) -> i32 {
    trips.pickup[row].map_or(row as i32, |pickup| pickup.num_days_from_ce())
}

/// Small trees that learn how far off answers are, minutes: over feature rows.
pub(super) fn expected_error(
    trips: &TripBatch,
    minutes_off: &[f64],
    params: &FitParams,
    work: &mut Work<'_>,
) -> Result<Scorer, FitError> {
    let rows =
        Rows { values: asked_values(trips), labels: minutes_off.iter().map(|off| *off as f32).collect() };
    let settings = Settings { seed: params.seed, ..error_settings() };
    Ok(BoostedTrees::over_all_features(&boost(settings, &rows, None, work)?)?.scorer)
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
        // A longer way never takes less time.
        Target::Duration => (Objective::Squared, vec![(DISTANCE_AT, Monotone::Increasing)]),
        Target::Tip => (Objective::Logistic, Vec::new()),
    };
    Settings {
        objective,
        monotone,
        rounds: chosen.rounds_max,
        patience: Some(chosen.patience),
        max_leaves: chosen.leaves,
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

/// Feature rows of the asked features with labels.
struct Rows {
    values: Vec<f32>,
    labels: Vec<f32>,
}

impl Rows {
    fn of(examples: &Examples, params: &FitParams) -> Self {
        let mut values = asked_values(&examples.trips);
        for (row, values) in values.chunks_exact_mut(ASKED.len()).enumerate() {
            if is_hidden(params, row) {
                values[DISTANCE_AT] = f32::NAN;
            }
        }
        Self { values, labels: examples.labels.iter().map(|label| *label as f32).collect() }
    }

    fn select(&self, rows: &[usize]) -> Self {
        let width = ASKED.len();
        Self {
            values: rows.iter().flat_map(|&row| &self.values[row * width..][..width]).copied().collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
        }
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled { values: &self.values, n_features: ASKED.len(), labels: &self.labels, weights: None }
    }
}

/// Whether the distance of this row is hidden while learning.
fn is_hidden(params: &FitParams, row: usize) -> bool {
    let drawn = super::split_mix(params.seed ^ 0xD157_A4CE ^ super::split_mix(row as u64));
    (drawn >> 11) as f64 / (1u64 << 53) as f64 <= params.boosted.hidden_distance_share
        && params.boosted.hidden_distance_share > 0.0
}

#[cfg(test)]
mod tests;
