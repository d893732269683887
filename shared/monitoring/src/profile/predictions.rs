//! Counts of predictions, and of their errors where the outcome is known.

use model::outcome::{Outcome, duration_min};
use model::rules::{CARD, Rules};
use model::trip::Trip;
use serde::{Deserialize, Serialize};

use super::{ERRORS, Histogram, MINUTES, PROBABILITIES, TripPrediction};

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
    /// Judged rows whose actual duration lies inside the interval.
    pub covered: u64,
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
            self.covered += u64::from((lower..=upper).contains(&actual));
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
        self.covered += other.covered;
        self.minutes.merge(&other.minutes);
        self.widths.merge(&other.widths);
        self.errors.merge(&other.errors);
        self.tip_probabilities.merge(&other.tip_probabilities);
        self.card_probabilities.merge(&other.card_probabilities);
        self.tipped_probabilities.merge(&other.tipped_probabilities);
    }
}
