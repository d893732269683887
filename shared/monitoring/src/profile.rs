//! Counts what trips look like. Profiles of parts merge into that of the whole, whatever the parts and their order.
//!
//! Shares, quantiles and correlations are methods. Only integers are stored, sums of logarithms in fixed point, so that
//! merging is associative to the bit.

mod counts;
mod outcomes;
mod predictions;

use chrono::{Datelike, Timelike};
use model::outcome::{LabelledTrips, Outcome};
use model::rejection::Reason;
use model::rules::reversals;
use model::trip::{Trip, Zone, possible_miles};
use model::{Month, PredictionBatch, zones};
use serde::{Deserialize, Serialize};

pub use counts::{Counts, Grid, Histogram, Sparse};
pub use outcomes::{Logarithms, Outcomes};
pub use predictions::{ErrorSums, Predictions, Slices};

/// The version of the stored form.
const VERSION: u32 = 2;

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
/// Distance of a prediction from the actual duration over half the width of its interval, in twentieths, up to five.
pub const RATIOS: Grid = Grid { cells_a_unit: 20.0, first: 0, last: 100, is_exact: false };
/// Predicted probability of a tip in hundredths.
pub const PROBABILITIES: Grid = Grid { cells_a_unit: 100.0, first: 0, last: 100, is_exact: false };

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

impl TripPrediction {
    /// Returns the predictions for the trip at `row` of a batch.
    pub fn new(batch: &PredictionBatch, row: usize) -> Self {
        Self {
            minutes: batch.duration_min[row],
            interval: (batch.lower_min[row], batch.upper_min[row]),
            tip_probability: batch.tip_probability.as_ref().map(|all| all[row]),
        }
    }
}

/// Years whose months are counted; an odd clock must not make a profile large.
const YEARS: std::ops::RangeInclusive<i32> = 1990..=2100;

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
    /// Rows by borough of the pickup and hour of the day: 24 times the borough plus the hour.
    pub pickup_hours: Counts,
    /// Rows by borough of the drop-off and hour of the day of the pickup, in the same way.
    pub dropoff_hours: Counts,
    /// Rows by month of the pickup, in months since 2000-01; see `odd_years`.
    pub pickup_months: Counts,
    /// Rows with a pickup before 1990 or after 2100.
    pub odd_years: u64,
    /// Rows by `VendorID`.
    pub vendors: Counts,
    /// Rows by number of passengers.
    pub passengers: Counts,
    /// Rows by `RatecodeID`.
    pub rate_codes: Counts,
    /// Rows by `trip_type`.
    pub trip_types: Counts,
    /// Possible distances, [`MILES`].
    pub miles: Histogram,
    /// The greatest distance above 100 miles; none without any.
    pub impossible_miles: Option<f64>,
    /// Logarithm of miles over straight miles between zones at least a mile apart, [`DETOUR`].
    pub detours: Histogram,
    /// Counts of what is known only after a trip.
    pub outcomes: Outcomes,
    /// Counts of predictions.
    pub predictions: Predictions,
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
        trip.flags().for_each(|flag| self.flags.add(flag, 1));
        let ends = [trip.pickup_zone, trip.dropoff_zone];
        self.unplaced += u64::from(ends.iter().any(|zone| zones::centroid(*zone).is_none()));
        self.no_passengers += u64::from(trip.passengers.is_none());
        let index = |zone: Option<Zone>| zone.map(|zone| zone.index() as i32);
        let code = |code: Option<u8>| code.map(i32::from);
        let [from, to] = ends.map(|zone| zones::borough(zone) as i32);
        let hour = trip.pickup.map(|at| at.hour() as i32);
        let day = trip.pickup.map(|at| at.weekday().num_days_from_monday() as i32);
        let month = trip.pickup.filter(|at| YEARS.contains(&at.year()));
        self.odd_years += u64::from(trip.pickup.is_some() && month.is_none());
        for (counts, cell) in [
            (&mut self.pickups, index(trip.pickup_zone)),
            (&mut self.dropoffs, index(trip.dropoff_zone)),
            (&mut self.boroughs, Some(8 * from + to)),
            (&mut self.hours, day.zip(hour).map(|(day, hour)| 24 * day + hour)),
            (&mut self.pickup_hours, hour.map(|hour| 24 * from + hour)),
            (&mut self.dropoff_hours, hour.map(|hour| 24 * to + hour)),
            (&mut self.pickup_months, month.map(|at| 12 * (at.year() - 2000) + at.month0() as i32)),
            (&mut self.vendors, code(trip.vendor)),
            (&mut self.passengers, code(trip.passengers)),
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
        let is_too_far = |miles: &f64| *miles > 100.0 && miles.is_finite();
        self.impossible_miles = greatest(self.impossible_miles, trip.distance_miles.filter(is_too_far));
        if let Some((outcome, month)) = outcome {
            self.outcomes.add(trip, outcome, month);
        }
        if let Some(prediction) = prediction {
            self.predictions.add(prediction);
            if let Some((outcome, _)) = outcome {
                self.predictions.add_outcome(trip, prediction, outcome);
            }
        }
    }

    /// Counts the outcome of a trip that is counted elsewhere, with its prediction but without its outcome. Merged, both are the profile of a
    /// trip that was counted at once.
    pub fn add_outcome(&mut self, trip: &Trip, prediction: &TripPrediction, outcome: &Outcome) {
        self.outcomes.add(trip, outcome, None);
        self.predictions.add_outcome(trip, prediction, outcome);
    }

    /// Adds the counts of another part. It is associative and commutative, with [`Profile::default`] as zero.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.unplaced += other.unplaced;
        self.no_passengers += other.no_passengers;
        self.odd_years += other.odd_years;
        self.impossible_miles = greatest(self.impossible_miles, other.impossible_miles);
        self.rejected.merge(&other.rejected);
        self.flags.merge(&other.flags);
        for (mine, others) in [
            (&mut self.pickups, &other.pickups),
            (&mut self.dropoffs, &other.dropoffs),
            (&mut self.boroughs, &other.boroughs),
            (&mut self.hours, &other.hours),
            (&mut self.pickup_hours, &other.pickup_hours),
            (&mut self.dropoff_hours, &other.dropoff_hours),
            (&mut self.pickup_months, &other.pickup_months),
            (&mut self.vendors, &other.vendors),
            (&mut self.passengers, &other.passengers),
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
        self.rows.saturating_sub(self.rejected.total())
    }

    /// Returns `rows` as a share of all rows; 0 without any.
    pub fn share(&self, rows: u64) -> f64 {
        rows as f64 / (self.rows as f64).max(1.0)
    }
}

fn greatest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.zip(other).map(|(one, other)| one.max(other)).or(one).or(other)
}

#[cfg(test)]
mod tests;
