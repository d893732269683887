//! Faults that are put into real days, to measure whether and when they ring.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, TimeDelta};
use model::outcome::Outcome;
use model::{Trip, Zone};
use monitoring::watch::{Signal, Watch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::Serialize;

use super::history::Day;

/// A row that is changed.
struct Row<'a> {
    trip: &'a mut Trip,
    outcome: &'a mut Outcome,
    /// Zones of all rows of the day.
    zones: &'a [(Option<Zone>, Option<Zone>)],
    random: &'a mut ChaCha12Rng,
    /// Whether the row is missing.
    gone: bool,
}

/// A fault, and the share of the rows that have it.
#[derive(Debug, Clone, Copy)]
pub struct Seeded {
    name: &'static str,
    share: f64,
    /// Days within which it is to be found.
    within: u64,
    signal: Signal,
    /// Part of the cause that names it; none if no name is right.
    named: Option<&'static str>,
    change: fn(&mut Row<'_>),
}

const fn data(
    (name, named, change): (&'static str, &'static str, fn(&mut Row<'_>)),
    share: f64,
    within: u64,
) -> Seeded {
    Seeded { name, share, within, signal: Signal::Data, named: Some(named), change }
}

const fn unknown(name: &'static str, change: fn(&mut Row<'_>)) -> Seeded {
    Seeded { name, share: 1.0, within: 1, signal: Signal::Data, named: None, change }
}

const fn errors(name: &'static str, change: fn(&mut Row<'_>)) -> Seeded {
    Seeded { name, share: 1.0, within: 2, signal: Signal::Performance, named: Some(""), change }
}

type Known = (&'static str, &'static str, fn(&mut Row<'_>));
const SWAPPED: Known = ("zones swapped", "swapped", |row| {
    std::mem::swap(&mut row.trip.pickup_zone, &mut row.trip.dropoff_zone);
});
const KILOMETRES: Known = ("kilometres", "kilometres", |row| scale(row.trip, 1.609_344));
const CLOCK_5: Known = ("clock + 5 h", "+5 h", |row| shift(row.trip, 5));
const CLOCK_1: Known = ("clock + 1 h", "+1 h", |row| shift(row.trip, 1));
const CLOCK_4: Known = ("clock - 4 h", "-4 h", |row| shift(row.trip, -4));
const DISTANCES: Known = ("distances null", "trip_distance is missing", |row| row.trip.distance_miles = None);
const PASSENGERS: Known = ("passengers null", "passenger_count is missing", |row| row.trip.passengers = None);
const VENDOR: Known = ("vendor 1 gone", "VendorID", |row| row.gone = row.trip.vendor == Some(1));

/// The faults that `--faults` seeds.
pub const ALL: [Seeded; 24] = [
    data(SWAPPED, 1.0, 1),
    data(KILOMETRES, 1.0, 1),
    data(CLOCK_5, 1.0, 1),
    data(CLOCK_1, 1.0, 1),
    data(CLOCK_4, 1.0, 1),
    data(DISTANCES, 0.2, 1),
    data(PASSENGERS, 0.2, 1),
    data(VENDOR, 1.0, 1),
    data(SWAPPED, 0.2, 2),
    data(KILOMETRES, 0.2, 2),
    data(CLOCK_5, 0.2, 2),
    data(DISTANCES, 0.04, 2),
    data(PASSENGERS, 0.04, 2),
    data(VENDOR, 0.2, 14),
    data(CLOCK_1, 0.2, 14),
    errors("durations x 1.3", |row| lengthen(row, 1.3)),
    errors("durations x 1.15", |row| lengthen(row, 1.15)),
    unknown("zones shuffled", |row| {
        row.trip.pickup_zone = row.zones[row.random.random_range(0..row.zones.len())].0;
        row.trip.dropoff_zone = row.zones[row.random.random_range(0..row.zones.len())].1;
    }),
    unknown("zones shifted by one", |row| {
        row.trip.pickup_zone = row.trip.pickup_zone.and_then(|zone| Zone::new(zone.id() + 1));
    }),
    unknown("distances in whole miles", |row| {
        row.trip.distance_miles = row.trip.distance_miles.map(f64::round);
    }),
    unknown("passengers plus one", |row| row.trip.passengers = row.trip.passengers.map(|n| n + 1)),
    unknown("pickups at full hours of the morning", |row| {
        let hour = row.random.random_range(6..12);
        row.trip.pickup = row.trip.pickup.and_then(|at| at.date().and_hms_opt(hour, 0, 0));
    }),
    unknown("distances x 0.7", |row| scale(row.trip, 0.7)),
    unknown("one zone for all pickups of a third", |row| {
        if row.random.random::<f64>() < 0.33 {
            row.trip.pickup_zone = Zone::new(74);
        }
    }),
];

fn scale(trip: &mut Trip, factor: f64) {
    trip.distance_miles = trip.distance_miles.map(|miles| miles * factor);
}

/// Shifts the hour of a pickup; its day stays.
fn shift(trip: &mut Trip, hours: i64) {
    trip.pickup = trip.pickup.map(|at| at.date().and_time((at + TimeDelta::hours(hours)).time()));
}

fn lengthen(row: &mut Row<'_>, factor: f64) {
    row.outcome.dropoff = row.trip.pickup.zip(row.outcome.dropoff).map(|(from, to)| {
        let milliseconds = (to - from).num_milliseconds() as f64 * factor;
        from + TimeDelta::milliseconds(milliseconds as i64)
    });
}

/// How often a fault was found.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// The fault.
    pub fault: &'static str,
    /// The share of rows that had it.
    pub share: f64,
    /// Days within which it counts as found.
    pub within_days: u64,
    /// Days on which it was begun.
    pub starts: usize,
    /// Share of them on which it rang on the first day.
    pub first_day: f64,
    /// Share of them on which it rang in time.
    pub in_time: f64,
    /// Share of those whose cause was right when it rang; for a fault outside of the dictionary, that it is unknown.
    pub named: f64,
}

/// Seeds a fault at each of `starts`, each with what was watched before it.
pub fn seed(fault: &Seeded, starts: &[(NaiveDate, Watch)], days: &BTreeMap<NaiveDate, Day>) -> Found {
    let mut found =
        Found { fault: fault.name, share: fault.share, within_days: fault.within, ..Found::default() };
    let (mut first, mut in_time, mut named, mut tried) = (0, 0, 0, 0);
    for (start, watch) in starts {
        let mut watch = watch.clone();
        let last = start.checked_add_days(Days::new(fault.within - 1)).unwrap_or(*start);
        let mut judged = Vec::new();
        for (day, rows) in days.range(*start..=last) {
            let random = ChaCha12Rng::seed_from_u64(u64::from(day.to_epoch_days().unsigned_abs()));
            let verdict = watch.next(*day, &fault.apply(rows, random).profile(*day));
            judged.push(verdict.of(fault.signal).clone());
        }
        // A day without a verdict has nothing to find.
        if judged.first().is_none_or(|judged| judged.rings.is_none()) {
            continue;
        }
        tried += 1;
        first += usize::from(judged[0].rings == Some(true));
        if let Some(rung) = judged.iter().find(|judged| judged.rings == Some(true)) {
            in_time += 1;
            let cause = rung.cause.as_deref().unwrap_or_default();
            named += usize::from(match fault.named {
                Some(part) => rung.is_known && cause.contains(part),
                None => !rung.is_known,
            });
        }
    }
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    found.starts = tried;
    found.first_day = share(first, tried);
    found.in_time = share(in_time, tried);
    found.named = share(named, in_time);
    found
}

impl Seeded {
    fn apply(&self, day: &Day, mut random: ChaCha12Rng) -> Day {
        let mut day = day.clone();
        let zones: Vec<_> = day.rows.trips.iter().map(|trip| (trip.pickup_zone, trip.dropoff_zone)).collect();
        let mut kept = vec![true; zones.len()];
        let rows = day.rows.trips.iter_mut().zip(&mut day.rows.outcomes).zip(&mut kept);
        for ((trip, outcome), kept) in rows {
            if random.random::<f64>() < self.share {
                let mut row = Row { trip, outcome, zones: &zones, random: &mut random, gone: false };
                (self.change)(&mut row);
                *kept = !row.gone;
            }
        }
        if kept.contains(&false) {
            day.keep(&kept);
        }
        day
    }
}

impl Day {
    fn keep(&mut self, kept: &[bool]) {
        let rows: Vec<usize> = (0..kept.len()).filter(|row| kept[*row]).collect();
        self.rows.trips = model::trip::select(&self.rows.trips, &rows);
        self.rows.outcomes = model::trip::select(&self.rows.outcomes, &rows);
        self.rows.positions = model::trip::select(&self.rows.positions, &rows);
        self.predictions = self.predictions.take().map(|batch| batch.select(&rows));
    }
}
