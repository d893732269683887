//! Rows that boosted trees learn from: which features they hold, what is hidden in them, and what they weigh.

use chrono::Datelike;
use trees::boost::Labelled;

use super::sums_of;
use crate::candidates::FitParams;
use crate::candidates::feature_trees::KnownCodes;
use crate::features::{self, FeatureRows};
use crate::outcome::{Examples, Target};
use crate::trip::Trip;

/// Feature columns of all trees, by name in [`features::NAMES`]; with a whole year also [`MONTH`].
pub(super) const COMMON_FEATURES: [&str; 14] = [
    "distance_miles",
    "impossible_distance",
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
/// Further columns for durations.
pub(super) const DURATION_FEATURES: [&str; 7] = [
    "detour_ratio",
    "straight_share",
    "middle_latitude",
    "middle_longitude",
    "holiday",
    "beside_holiday",
    "school_break",
];
/// Further columns for tips.
pub(super) const TIP_FEATURES: [&str; 2] = ["pickup_zone", "dropoff_zone"];
/// What is not known of a trip that states no distance.
const DISTANCE_FEATURES: [&str; 3] = ["distance_miles", "detour_ratio", "straight_share"];
/// The month of the year; with less than a year of trips it only numbers the days.
pub(super) const MONTH: &str = "month";
/// Least share of the trips for a month of the year to count as seen: wrong clocks show every month.
const MONTH_SHARE_MIN: f64 = 0.01;

/// A trip weighs half as much as one of the last day when it is older by so many days and half of the days trained on.
const HALF_LIFE_DAYS: f64 = 45.0;

/// Returns the feature columns of trees fitted on these trips: positions in [`features::NAMES`].
pub(super) fn feature_columns(target: Target, trips: &[Trip]) -> Vec<usize> {
    let mut by_month = [0usize; 12];
    trips.iter().filter_map(|trip| trip.pickup).for_each(|at| by_month[at.month0() as usize] += 1);
    let enough = (trips.len() as f64 * MONTH_SHARE_MIN).ceil().max(1.0) as usize;
    let month = by_month.iter().all(|trips| *trips >= enough).then_some(MONTH);
    let position = |name: &str| features::NAMES.iter().position(|known| *known == name);
    let further: &[&str] = match target {
        Target::Duration => &DURATION_FEATURES,
        Target::Tip => &TIP_FEATURES,
    };
    COMMON_FEATURES.into_iter().chain(further.iter().copied()).chain(month).filter_map(position).collect()
}

/// Rows of the feature columns, with labels.
pub(super) struct Rows {
    /// Positions in [`features::NAMES`].
    pub(super) columns: Vec<usize>,
    pub(super) known: KnownCodes,
    /// `[n_rows * columns.len()]`.
    values: Vec<f32>,
    labels: Vec<f32>,
    pub(super) weights: Vec<f32>,
}

impl Rows {
    /// Builds training rows; some distances are hidden, so that trips without one are learned from too.
    pub(super) fn learned(target: Target, examples: &Examples, params: &FitParams) -> Self {
        let trips = &examples.trips;
        let columns = feature_columns(target, trips);
        let all = FeatureRows::from_trips(trips);
        let known = KnownCodes::fit(&all.values);
        let mut rows = Self::new(&all, &sums_of(target, &examples.labels), &columns, &known);
        let hidden: Vec<bool> =
            columns.iter().map(|at| DISTANCE_FEATURES.contains(&features::NAMES[*at])).collect();
        for (row, values) in rows.values.chunks_exact_mut(columns.len()).enumerate() {
            if is_hidden(params, row) {
                values
                    .iter_mut()
                    .zip(&hidden)
                    .filter(|(_, hidden)| **hidden)
                    .for_each(|(value, _)| *value = f32::NAN);
            }
        }
        rows.weights = weights_by_age(trips);
        rows
    }

    /// Builds rows that weigh the same.
    pub(super) fn new(all: &FeatureRows, labels: &[f64], columns: &[usize], known: &KnownCodes) -> Self {
        let masked = known.masked(&all.values);
        let rows = masked.chunks_exact(features::NAMES.len());
        Self {
            values: rows.flat_map(|row| columns.iter().map(|&at| row[at])).collect(),
            columns: columns.to_vec(),
            known: known.clone(),
            labels: labels.iter().map(|label| *label as f32).collect(),
            weights: vec![1.0; all.len()],
        }
    }

    pub(super) fn labelled(&self) -> Labelled<'_> {
        let is_even = self.weights.iter().all(|weight| *weight == 1.0);
        Labelled {
            values: &self.values,
            n_features: self.columns.len(),
            labels: &self.labels,
            weights: (!is_even).then_some(&self.weights),
        }
    }
}

/// Returns weights that halve with age, see [`HALF_LIFE_DAYS`]; trips without a day weigh like the newest.
pub(super) fn weights_by_age(trips: &[Trip]) -> Vec<f32> {
    let days = trips.iter().map(|trip| trip.pickup.map(|pickup| pickup.num_days_from_ce()));
    let mut known: Vec<i32> = days.clone().flatten().collect();
    if known.is_empty() {
        return vec![1.0; trips.len()];
    }
    // Wrong clocks show any year: days are counted between the first and last hundredth of the trips.
    known.sort_unstable();
    let (first, last) = (known[known.len() / 100], known[known.len() - 1 - known.len() / 100]);
    let half_life = HALF_LIFE_DAYS + f64::from(last - first) / 2.0;
    let weight = |day: i32| libm::exp2(-f64::from(last - day.clamp(first, last)) / half_life) as f32;
    days.map(|day| day.map_or(1.0, weight)).collect()
}

/// Returns whether the distance of this row is hidden in training.
pub(super) fn is_hidden(params: &FitParams, row: usize) -> bool {
    let drawn =
        crate::candidates::split_mix(params.seed ^ 0xD157_A4CE ^ crate::candidates::split_mix(row as u64));
    (drawn >> 11) as f64 / (1u64 << 53) as f64 <= params.boosted.hidden_distance_share
        && params.boosted.hidden_distance_share > 0.0
}
