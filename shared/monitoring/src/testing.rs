//! Generated days for tests.
#![allow(clippy::unwrap_used)]

use chrono::{Days, NaiveDate, TimeDelta};
use model::outcome::Outcome;
use model::{Trip, Zone};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::profile::{Profile, TripPrediction};

/// Rows of a day.
pub const ROWS: usize = 900;
/// Returns a day; day 0 is a Monday.
pub fn day(number: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2023, 1, 2).unwrap() + Days::new(number)
}

/// A row of a day: what is known before the trip, its prediction, and its outcome.
pub type Row = (Trip, TripPrediction, Outcome);

/// Generates `n` rows of a day by a law that is the same every day: zones of Manhattan and around, the hours of a day, distances by zones.
pub fn rows(number: u64, n: usize) -> Vec<Row> {
    let mut random = ChaCha12Rng::seed_from_u64(number);
    let zones = [74, 75, 41, 42, 166, 95, 97, 7, 244, 236, 82, 129, 181, 65, 43];
    let mut zone = |favourite: f64| {
        let at = (random.random::<f64>().powf(favourite) * zones.len() as f64) as usize;
        Zone::new(zones[at])
    };
    let ends: Vec<_> = (0..n).map(|_| (zone(2.5), zone(1.2))).collect();
    let row = |(from, to): (Option<Zone>, Option<Zone>)| {
        let hour = (24.0 * (1.0 - random.random::<f64>().powf(1.8))) as u32;
        let pickup = day(number).and_hms_opt(hour.min(23), random.random_range(0..60), 0);
        let straight = model::zones::straight_miles(from, to).map_or(1.0, f64::from).max(0.5);
        let miles = straight * (1.2 + 0.3 * random.random::<f64>());
        let vendor = if random.random::<f64>() < 0.15 { 1 } else { 2 };
        let trip = Trip {
            pickup_zone: from,
            dropoff_zone: to,
            pickup,
            distance_miles: Some((miles * 100.0).round() / 100.0),
            passengers: Some(if random.random::<f64>() < 0.8 { 1 } else { 2 }),
            vendor: Some(vendor),
            rate_code: Some(1),
            trip_type: Some(1),
        };
        let minutes = 3.0 + 4.0 * miles;
        let actual = minutes * (0.7 + 0.6 * random.random::<f64>());
        let dropoff = pickup.map(|at| at + TimeDelta::seconds((actual * 60.0) as i64));
        let prediction =
            TripPrediction { minutes, interval: (0.72 * minutes, 1.28 * minutes), tip_probability: None };
        (trip, prediction, Outcome { dropoff, ..Outcome::default() })
    };
    ends.into_iter().map(row).collect()
}

/// Counts rows.
pub fn profile(rows: &[Row]) -> Profile {
    let mut profile = Profile::default();
    rows.iter()
        .for_each(|(trip, prediction, outcome)| profile.add(trip, Some(prediction), Some((outcome, None))));
    profile
}
