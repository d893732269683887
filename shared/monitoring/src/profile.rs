//! Counts what trips look like. Profiles of parts merge into that of the whole, whatever the parts and their order.
//!
//! Shares, quantiles and correlations are methods. Only integers are stored, sums of logarithms in fixed point, so that
//! merging is associative to the bit.

mod counts;

use chrono::{Datelike, Timelike};
use model::outcome::{LabelledTrips, Outcome, duration_min};
use model::rejection::Reason;
use model::rules::{CARD, Rules, reversals};
use model::trip::{Trip, Zone, possible_miles};
use model::{Month, zones};
use serde::{Deserialize, Serialize};

pub use counts::{Counts, Grid, Histogram, Sparse};

/// The version of the stored form.
const VERSION: u32 = 1;

/// [`VERSION`] as a field: a profile of another version is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct FormVersion;

impl TryFrom<u32> for FormVersion {
    type Error = String;
    fn try_from(version: u32) -> Result<Self, String> {
        let refusal = || format!("profile of version {version}: expected version {VERSION}");
        (version == VERSION).then_some(Self).ok_or_else(refusal)
    }
}

impl From<FormVersion> for u32 {
    fn from(_: FormVersion) -> u32 {
        VERSION
    }
}

/// Miles in hundredths, up to 30.
pub const MILES: Grid = Grid { cells_a_unit: 100.0, first: 0, last: 3000, is_exact: true };
/// Seconds of the durations that [`Rules::judges`] accepts, up to an hour.
pub const SECONDS: Grid = Grid { cells_a_unit: 1.0, first: 0, last: 3600, is_exact: true };
/// Natural logarithm of miles over straight miles, in steps of 0.2 %, from a quarter to eight.
pub const DETOUR: Grid = Grid { cells_a_unit: 500.0, first: -700, last: 1050, is_exact: false };
/// Predicted minutes in tenths, up to two hours.
pub const MINUTES: Grid = Grid { cells_a_unit: 10.0, first: 0, last: 1200, is_exact: false };
/// Predicted minus actual minutes in tenths, up to an hour either way.
pub const ERRORS: Grid = Grid { cells_a_unit: 10.0, first: -600, last: 600, is_exact: false };
/// Predicted probability of a tip in hundredths.
pub const PROBABILITIES: Grid = Grid { cells_a_unit: 100.0, first: 0, last: 100, is_exact: false };
/// Dollars of a tip in cents, up to 20.
const CENTS: Grid = Grid { cells_a_unit: 100.0, first: 0, last: 2000, is_exact: true };
/// Fixed-point scale of the sums of logarithms.
const FIXED_POINT: f64 = (1u64 << 20) as f64;

/// The predictions for one trip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripPrediction {
    /// Duration, minutes.
    pub minutes: f64,
    /// Its 90 % interval, minutes.
    pub interval: (f64, f64),
    /// Probability of a tip, if there is a tip model.
    pub tip_probability: Option<f64>,
}

/// Exact counts over rows; the default is the profile of zero rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    version: FormVersion,
    /// Rows, rejected ones included.
    pub rows: u64,
    /// Rejected rows by the code of their reason.
    pub rejected: Sparse,
    /// Rows that are predicted although a value is missing or odd, by the names of [`Trip::flags`].
    pub flags: Sparse,
    /// Rows with a zone that is unknown or has no place on the map, at either end.
    pub unplaced: u64,
    /// Rows without a number of passengers.
    pub no_passengers: u64,
    /// Rows by pickup zone, `Zone::index`.
    pub pickups: Counts,
    /// Rows by drop-off zone, `Zone::index`.
    pub dropoffs: Counts,
    /// Rows by borough of pickup and drop-off: eight times the first plus the second, in the order of `Borough`.
    pub boroughs: Counts,
    /// Rows by hour of the week of the pickup; 0 is Monday from midnight to 1 o'clock.
    pub hours: Counts,
    /// Rows by `VendorID`.
    pub vendors: Counts,
    /// Rows by `RatecodeID`.
    pub rate_codes: Counts,
    /// Rows by `trip_type`.
    pub trip_types: Counts,
    /// Possible distances, [`MILES`].
    pub miles: Histogram,
    /// Logarithm of miles over straight miles between zones at least a mile apart, [`DETOUR`].
    pub detours: Histogram,
    /// Counts of what is known only after a trip.
    pub outcomes: Outcomes,
    /// Counts of predictions.
    pub predictions: Predictions,
}

/// Counts of what is known only after a trip.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// Rows that came with an outcome, even an incomplete one.
    pub rows: u64,
    /// Rows without a pickup or a drop-off time.
    pub no_time: u64,
    /// Rows whose drop-off is before the pickup.
    pub negative: u64,
    /// Rows with a duration that is not judged, see [`Rules::judges`].
    pub not_judged: u64,
    /// Rows with a pickup outside the month of their file.
    pub outside_month: u64,
    /// Rows that are a reversal or the charge that it reverses; see `model::rules::reversals`.
    pub reversed: u64,
    /// Durations that are judged, [`SECONDS`].
    pub seconds: Histogram,
    /// Sums over rows with a judged duration and a possible distance.
    pub logarithms: Logarithms,
    /// Rows by `payment_type`.
    pub payments: Counts,
    /// Card trips with a recorded tip by pickup zone, `Zone::index`.
    pub card_trips: Counts,
    /// Those that were tipped, by pickup zone.
    pub tipped: Counts,
    /// Rows with a known payment type that is not card, and a recorded tip.
    pub paid_otherwise: u64,
    /// Those with a tip above 0.
    pub tipped_otherwise: u64,
    /// Tips of rows without a payment type, in cents.
    pub tips_without_payment: Histogram,
}

/// Sums of x, the logarithm of miles, and y, the logarithm of minutes, in units of 2^-20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logarithms {
    n: u64,
    x: i64,
    y: i64,
    xx: i64,
    yy: i64,
    xy: i64,
}

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

impl Profile {
    /// Counts the rows of a file with their outcomes, without predictions.
    pub fn from_trips(file: &LabelledTrips) -> Self {
        let mut profile = Self::default();
        for (row, trip) in file.trips.iter().enumerate() {
            profile.add(trip, None, Some((&file.outcomes[row], file.month)));
        }
        for (reason, rows) in file.rejections.iter() {
            profile.add_rejected(reason, rows);
        }
        profile.outcomes.reversed = reversals(file).into_iter().filter(|reversed| *reversed).count() as u64;
        profile
    }

    /// Counts `rows` that were rejected for `reason`.
    pub fn add_rejected(&mut self, reason: Reason, rows: u64) {
        self.rows += rows;
        self.rejected.add(reason.code(), rows);
    }

    /// Counts one trip, with its prediction, and with its outcome and the month of its file.
    pub fn add(
        &mut self,
        trip: &Trip,
        prediction: Option<&TripPrediction>,
        outcome: Option<(&Outcome, Option<Month>)>,
    ) {
        self.rows += 1;
        trip.flags().into_iter().for_each(|flag| self.flags.add(flag, 1));
        let ends = [trip.pickup_zone, trip.dropoff_zone];
        self.unplaced += u64::from(ends.iter().any(|zone| zones::centroid(*zone).is_none()));
        self.no_passengers += u64::from(trip.passengers.is_none());
        let index = |zone: Option<Zone>| zone.map(|zone| zone.index() as i32);
        let code = |code: Option<u8>| code.map(i32::from);
        let [from, to] = ends.map(|zone| zones::borough(zone) as i32);
        let hour = trip.pickup.map(|at| at.weekday().num_days_from_monday() as i32 * 24 + at.hour() as i32);
        for (counts, cell) in [
            (&mut self.pickups, index(trip.pickup_zone)),
            (&mut self.dropoffs, index(trip.dropoff_zone)),
            (&mut self.boroughs, Some(8 * from + to)),
            (&mut self.hours, hour),
            (&mut self.vendors, code(trip.vendor)),
            (&mut self.rate_codes, code(trip.rate_code)),
            (&mut self.trip_types, code(trip.trip_type)),
        ] {
            cell.into_iter().for_each(|cell| counts.add(cell, 1));
        }
        if let Some(miles) = possible_miles(trip.distance_miles) {
            self.miles.add(miles, MILES);
            let straight = zones::straight_miles(trip.pickup_zone, trip.dropoff_zone);
            if let Some(straight) = straight.filter(|straight| *straight >= 1.0) {
                self.detours.add(libm::log(miles / f64::from(straight)), DETOUR);
            }
        }
        if let Some((outcome, month)) = outcome {
            self.outcomes.add(trip, outcome, month);
        }
        if let Some(prediction) = prediction {
            self.predictions.add(trip, prediction, outcome.map(|(outcome, _)| outcome));
        }
    }

    /// Adds the counts of another part. It is associative and commutative, with [`Profile::default`] as zero.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.unplaced += other.unplaced;
        self.no_passengers += other.no_passengers;
        self.rejected.merge(&other.rejected);
        self.flags.merge(&other.flags);
        for (mine, others) in [
            (&mut self.pickups, &other.pickups),
            (&mut self.dropoffs, &other.dropoffs),
            (&mut self.boroughs, &other.boroughs),
            (&mut self.hours, &other.hours),
            (&mut self.vendors, &other.vendors),
            (&mut self.rate_codes, &other.rate_codes),
            (&mut self.trip_types, &other.trip_types),
        ] {
            mine.merge(others);
        }
        self.miles.merge(&other.miles);
        self.detours.merge(&other.detours);
        self.outcomes.merge(&other.outcomes);
        self.predictions.merge(&other.predictions);
    }

    /// Returns the rows that were not rejected.
    pub fn accepted(&self) -> u64 {
        self.rows - self.rejected.total()
    }

    /// Returns `rows` as a share of all rows; 0 without any.
    pub fn share(&self, rows: u64) -> f64 {
        rows as f64 / (self.rows as f64).max(1.0)
    }
}

impl Outcomes {
    fn add(&mut self, trip: &Trip, outcome: &Outcome, month: Option<Month>) {
        self.rows += 1;
        let minutes = duration_min(trip.pickup, outcome.dropoff);
        self.no_time += u64::from(minutes.is_none());
        let is_outside = |month: Month| trip.pickup.is_some_and(|pickup| !month.contains(pickup));
        self.outside_month += u64::from(month.is_some_and(is_outside));
        if let Some(minutes) = minutes {
            self.negative += u64::from(minutes < 0.0);
            if Rules::judges(minutes) {
                self.seconds.add(minutes * 60.0, SECONDS);
                let miles = possible_miles(trip.distance_miles);
                miles.into_iter().for_each(|miles| self.logarithms.add(miles, minutes));
            } else {
                self.not_judged += 1;
            }
        }
        outcome.payment_type.into_iter().for_each(|payment| self.payments.add(payment.into(), 1));
        let Some(tip) = outcome.tip_amount else { return };
        let is_tipped = tip > 0.0;
        match (outcome.payment_type, trip.pickup_zone) {
            (Some(CARD), Some(zone)) => {
                self.card_trips.add(zone.index() as i32, 1);
                self.tipped.add(zone.index() as i32, is_tipped.into());
            }
            (Some(CARD), None) => (),
            (Some(_), _) => {
                self.paid_otherwise += 1;
                self.tipped_otherwise += u64::from(is_tipped);
            }
            (None, _) => self.tips_without_payment.add(tip, CENTS),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.no_time += other.no_time;
        self.negative += other.negative;
        self.not_judged += other.not_judged;
        self.outside_month += other.outside_month;
        self.reversed += other.reversed;
        self.paid_otherwise += other.paid_otherwise;
        self.tipped_otherwise += other.tipped_otherwise;
        self.seconds.merge(&other.seconds);
        self.logarithms.merge(&other.logarithms);
        self.payments.merge(&other.payments);
        self.card_trips.merge(&other.card_trips);
        self.tipped.merge(&other.tipped);
        self.tips_without_payment.merge(&other.tips_without_payment);
    }
}

impl Logarithms {
    fn add(&mut self, miles: f64, minutes: f64) {
        let (x, y) = (libm::log(miles), libm::log(minutes));
        let fixed = |value: f64| (value * FIXED_POINT).round() as i64;
        self.n += 1;
        for (sum, value) in [
            (&mut self.x, x),
            (&mut self.y, y),
            (&mut self.xx, x * x),
            (&mut self.yy, y * y),
            (&mut self.xy, x * y),
        ] {
            *sum += fixed(value);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.x += other.x;
        self.y += other.y;
        self.xx += other.xx;
        self.yy += other.yy;
        self.xy += other.xy;
    }

    /// Returns the Pearson correlation of x and y; 0 if either does not vary, none without rows.
    pub fn correlation(&self) -> Option<f64> {
        let n = self.n as f64;
        let mean = |sum: i64| sum as f64 / FIXED_POINT / n;
        let (x, y) = (mean(self.x), mean(self.y));
        let (both, one, other) = (mean(self.xy) - x * y, mean(self.xx) - x * x, mean(self.yy) - y * y);
        // A smaller variance is rounding of the fixed point.
        let varies = |variance: f64| variance > 2.0 / FIXED_POINT;
        (self.n > 0).then(|| if varies(one) && varies(other) { both / (one * other).sqrt() } else { 0.0 })
    }
}

impl Predictions {
    fn add(&mut self, trip: &Trip, prediction: &TripPrediction, outcome: Option<&Outcome>) {
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

    fn merge(&mut self, other: &Self) {
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

#[cfg(test)]
mod tests;
