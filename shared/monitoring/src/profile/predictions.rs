//! Counts of predictions, and of their errors where the outcome is known.

use std::collections::BTreeMap;

use model::evaluation::slices_of;
use model::outcome::{Outcome, duration_min};
use model::rules::{CARD, Rules};
use model::trip::Trip;
use serde::{Deserialize, Serialize};

use super::{ERRORS, Histogram, MINUTES, PROBABILITIES, RATIOS, TripPrediction};

/// Fixed-point scale of the sums of errors: the mean of many errors is exact to a millionth of a minute.
const FIXED_POINT: f64 = (1u64 << 20) as f64;

/// Counts of predictions, and of their errors where the outcome is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predictions {
    /// Rows that were predicted.
    pub rows: u64,
    /// Predicted durations, [`MINUTES`].
    pub minutes: Histogram,
    /// Widths of the intervals, [`MINUTES`].
    pub widths: Histogram,
    /// Predicted minus actual duration of judged rows, [`ERRORS`].
    pub errors: Histogram,
    /// Distance of the actual duration of judged rows from the predicted one, over half the width of the interval, [`RATIOS`].
    pub ratios: Histogram,
    /// Sums over judged rows.
    pub judged: ErrorSums,
    /// The same sums by slice: what it is cut by, then its value; see `model::evaluation::slices_of`.
    pub slices: Slices,
    /// Predicted probabilities of a tip, [`PROBABILITIES`].
    pub tip_probabilities: Histogram,
    /// Those of card trips with a recorded tip.
    pub card_probabilities: Histogram,
    /// Those of card trips that were tipped.
    pub tipped_probabilities: Histogram,
}

impl Predictions {
    pub(super) fn add(&mut self, prediction: &TripPrediction) {
        self.rows += 1;
        let TripPrediction { minutes, interval: (lower, upper), tip_probability } = *prediction;
        self.minutes.add(minutes, MINUTES);
        self.widths.add(upper - lower, MINUTES);
        tip_probability.into_iter().for_each(|p| self.tip_probabilities.add(p, PROBABILITIES));
    }

    /// Counts the errors of a prediction that is counted already.
    pub(super) fn add_outcome(&mut self, trip: &Trip, prediction: &TripPrediction, outcome: &Outcome) {
        let TripPrediction { minutes, interval: (lower, upper), tip_probability } = *prediction;
        let actual = duration_min(trip.pickup, outcome.dropoff).filter(|minutes| Rules::judges(*minutes));
        if let Some(actual) = actual {
            self.errors.add(minutes - actual, ERRORS);
            self.ratios.add((minutes - actual).abs() / ((upper - lower) / 2.0).max(1e-3), RATIOS);
            let is_covered = (lower..=upper).contains(&actual);
            let row = ErrorSums::from_error(minutes - actual, is_covered);
            self.judged.merge(&row);
            slices_of(trip).into_iter().for_each(|(by, value)| self.slices.add(by, value, &row));
        }
        let tip = outcome.tip_amount.filter(|_| outcome.payment_type == Some(CARD));
        if let (Some(p), Some(tip)) = (tip_probability, tip) {
            self.card_probabilities.add(p, PROBABILITIES);
            if tip > 0.0 {
                self.tipped_probabilities.add(p, PROBABILITIES);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.ratios.merge(&other.ratios);
        self.judged.merge(&other.judged);
        other.slices.iter().for_each(|(by, value, sums)| self.slices.add(by, value, sums));
        self.minutes.merge(&other.minutes);
        self.widths.merge(&other.widths);
        self.errors.merge(&other.errors);
        self.tip_probabilities.merge(&other.tip_probabilities);
        self.card_probabilities.merge(&other.card_probabilities);
        self.tipped_probabilities.merge(&other.tipped_probabilities);
    }
}

type BySlice = BTreeMap<String, BTreeMap<String, ErrorSums>>;

/// Sums by slice, in the order of their names. Few names are found sooner one by one than in a tree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "BySlice", into = "BySlice")]
pub struct Slices(Vec<(String, Vec<(String, ErrorSums)>)>);

impl Slices {
    fn add(&mut self, by: &str, value: &str, sums: &ErrorSums) {
        entry(entry(&mut self.0, by), value).merge(sums);
    }

    /// Iterates over what is sliced by, its values, and their sums.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &ErrorSums)> {
        let all = self.0.iter();
        all.flat_map(|(by, values)| {
            values.iter().map(move |(value, sums)| (by.as_str(), value.as_str(), sums))
        })
    }
}

/// Returns the value of `name`, whose default is inserted if there is none.
fn entry<'a, T: Default>(all: &'a mut Vec<(String, T)>, name: &str) -> &'a mut T {
    let at = match all.iter().position(|(one, _)| one == name) {
        Some(at) => at,
        None => {
            let at = all.partition_point(|(one, _)| one.as_str() < name);
            all.insert(at, (name.into(), T::default()));
            at
        }
    };
    &mut all[at].1
}

impl From<BySlice> for Slices {
    fn from(all: BySlice) -> Self {
        Self(all.into_iter().map(|(by, values)| (by, values.into_iter().collect())).collect())
    }
}

impl From<Slices> for BySlice {
    fn from(all: Slices) -> Self {
        all.0.into_iter().map(|(by, values)| (by, values.into_iter().collect())).collect()
    }
}

/// Sums of errors, predicted minus actual minutes, in units of 2^-20 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorSums {
    /// Rows.
    pub rows: u64,
    /// Rows whose actual duration lies inside the interval.
    pub covered: u64,
    /// Rows that lasted longer than predicted.
    pub longer: u64,
    sum: i64,
    absolute: i64,
    squares: i64,
}

impl ErrorSums {
    /// Returns the sums of one row.
    fn from_error(error: f64, is_covered: bool) -> Self {
        let fixed = |value: f64| (value * FIXED_POINT).round() as i64;
        Self {
            rows: 1,
            covered: u64::from(is_covered),
            longer: u64::from(error < 0.0),
            sum: fixed(error),
            absolute: fixed(error.abs()),
            squares: fixed(error * error),
        }
    }

    /// Adds the sums of another part.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.covered += other.covered;
        self.longer += other.longer;
        self.sum = self.sum.saturating_add(other.sum);
        self.absolute = self.absolute.saturating_add(other.absolute);
        self.squares = self.squares.saturating_add(other.squares);
    }

    fn mean(&self, sum: i64) -> Option<f64> {
        (self.rows > 0).then(|| sum as f64 / FIXED_POINT / self.rows as f64)
    }

    /// Returns the mean error, minutes; none without rows.
    pub fn bias_min(&self) -> Option<f64> {
        self.mean(self.sum)
    }

    /// Returns the mean absolute error, minutes; none without rows.
    pub fn mae_min(&self) -> Option<f64> {
        self.mean(self.absolute)
    }

    /// Returns the root of the mean squared error, minutes; none without rows.
    pub fn rmse_min(&self) -> Option<f64> {
        self.mean(self.squares).map(f64::sqrt)
    }

    /// Returns the share inside of the interval; none without rows.
    pub fn coverage(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.covered as f64 / self.rows as f64)
    }
}
