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
    pub slices: BTreeMap<String, BTreeMap<String, ErrorSums>>,
    /// Predicted probabilities of a tip, [`PROBABILITIES`].
    pub tip_probabilities: Histogram,
    /// Those of card trips with a recorded tip.
    pub card_probabilities: Histogram,
    /// Those of card trips that were tipped.
    pub tipped_probabilities: Histogram,
}

impl Predictions {
    pub(super) fn add(&mut self, trip: &Trip, prediction: &TripPrediction, outcome: Option<&Outcome>) {
        self.rows += 1;
        let TripPrediction { minutes, interval: (lower, upper), tip_probability } = *prediction;
        self.minutes.add(minutes, MINUTES);
        self.widths.add(upper - lower, MINUTES);
        tip_probability.into_iter().for_each(|p| self.tip_probabilities.add(p, PROBABILITIES));
        let Some(outcome) = outcome else { return };
        let actual = duration_min(trip.pickup, outcome.dropoff).filter(|minutes| Rules::judges(*minutes));
        if let Some(actual) = actual {
            self.errors.add(minutes - actual, ERRORS);
            self.ratios.add((minutes - actual).abs() / ((upper - lower) / 2.0).max(1e-3), RATIOS);
            let is_covered = (lower..=upper).contains(&actual);
            self.judged.add(minutes - actual, is_covered);
            for (by, value) in slices_of(trip) {
                let add = |sums: &mut ErrorSums| sums.add(minutes - actual, is_covered);
                change(&mut self.slices, by, |slices| change(slices, value, add));
            }
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
        for (by, slices) in &other.slices {
            let merge = |mine: &mut BTreeMap<_, ErrorSums>| {
                slices.iter().for_each(|(value, sums)| change(mine, value, |mine| mine.merge(sums)));
            };
            change(&mut self.slices, by, merge);
        }
        self.minutes.merge(&other.minutes);
        self.widths.merge(&other.widths);
        self.errors.merge(&other.errors);
        self.tip_probabilities.merge(&other.tip_probabilities);
        self.card_probabilities.merge(&other.card_probabilities);
        self.tipped_probabilities.merge(&other.tipped_probabilities);
    }
}

/// Changes the value of `name`, whose default is made if there is none; a name that is present is not copied.
fn change<T: Default>(all: &mut BTreeMap<String, T>, name: &str, change: impl FnOnce(&mut T)) {
    match all.get_mut(name) {
        Some(present) => change(present),
        None => change(all.entry(name.into()).or_default()),
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
    fn add(&mut self, error: f64, is_covered: bool) {
        let fixed = |value: f64| (value * FIXED_POINT).round() as i64;
        self.rows += 1;
        self.covered += u64::from(is_covered);
        self.longer += u64::from(error < 0.0);
        self.sum = self.sum.saturating_add(fixed(error));
        self.absolute = self.absolute.saturating_add(fixed(error.abs()));
        self.squares = self.squares.saturating_add(fixed(error * error));
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
