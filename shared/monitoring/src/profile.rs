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
use model::{Month, zones};
use serde::{Deserialize, Serialize};

pub use counts::{Counts, Grid, Histogram, Sparse};
pub use outcomes::{Logarithms, Outcomes};
pub use predictions::Predictions;

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
    /// Rows by number of passengers; profiles of former versions lack it.
    #[serde(default)]
    pub passengers: Counts,
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

#[cfg(test)]
mod tests;
