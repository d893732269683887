//! `tripcast data generate`: synthetic months in the TLC's format, for those who have none.
//!
//! They have the structure that models use (zones, distance, hour, payment) and the defects that models must tolerate
//! (no distance, no passengers, reversals, wrong clocks). Metrics on them say nothing about New York.

use std::path::PathBuf;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use model::zones::straight_miles;
use model::{Month, Outcome, TaxiMonth, Trip, Zone};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::Serialize;

use crate::files;
use crate::output::{Failure, Output, progress};

/// Generate synthetic months of green taxi trips in the TLC's format.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast data generate --month 2021-01 --month 2021-02 --rows 50000 --to trips")]
pub struct Args {
    /// A month, yyyy-mm; repeat for more.
    #[arg(long, required = true)]
    month: Vec<Month>,
    /// Rows per month.
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    rows: u32,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Folder to write to; created if missing.
    #[arg(long, default_value = ".", value_name = "DIR")]
    to: PathBuf,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    rows: usize,
    bytes: usize,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    std::fs::create_dir_all(&args.to)?;
    let bar = progress(args.month.len() as u64, "generating months");
    let mut written = Vec::new();
    for month in &args.month {
        let (trips, outcomes) = generate(*month, args.rows, args.seed);
        let bytes = dataset::trips::to_parquet(&trips, &outcomes)?;
        let file = args.to.join(TaxiMonth { taxi: "green".into(), month: *month }.file_name());
        files::write(&file, &bytes)?;
        written.push(Written { file, rows: trips.len(), bytes: bytes.len() });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let line =
        |one: &Written| format!("{}: {} synthetic rows, {} bytes", one.file.display(), one.rows, one.bytes);
    out.print(&written, || written.iter().map(line).collect())
}

/// Generates the trips of a month; they depend on the month, the rows and the seed alone.
fn generate(month: Month, rows: u32, seed: u64) -> (Vec<Trip>, Vec<Outcome>) {
    let stream = seed ^ ((month.year() as u64) << 8) ^ u64::from(month.month());
    let mut rng = ChaCha12Rng::seed_from_u64(stream);
    let (mut trips, mut outcomes) = (Vec::new(), Vec::new());
    while trips.len() < rows as usize {
        let (trip, outcome) = one(&mut rng, month);
        trips.push(trip);
        outcomes.push(outcome);
        if trips.len() < rows as usize && rng.random_bool(0.001) {
            // A reversal: the same trip with the fare taken back.
            trips.push(trip);
            outcomes.push(Outcome { fare_amount: outcome.fare_amount.map(|fare| -fare), ..outcome });
        }
    }
    (trips, outcomes)
}

fn one(rng: &mut ChaCha12Rng, month: Month) -> (Trip, Outcome) {
    // Few zones have most of the pickups: the square of a uniform number is often small.
    let leaning = |rng: &mut ChaCha12Rng| (rng.random::<f64>().powi(2) * 263.0) as u16 + 1;
    let from = Zone::new(leaning(rng) * 74 % 263 + 1);
    // Most trips are short: the nearest of a dozen zones is taken.
    let far = |to: &Option<Zone>| straight_miles(from, *to).unwrap_or(99.0);
    let drawn: Vec<Option<Zone>> = (0..12).map(|_| Zone::new(leaning(rng) * 41 % 263 + 1)).collect();
    let to = drawn.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))).flatten();
    let pickup = pickup(rng, month);
    let straight = f64::from(far(&to)).clamp(0.4, 20.0);
    let miles = straight * (1.3 + 0.25 * noise(rng)).max(1.0);
    let rush = matches!(pickup.hour(), 7..=9 | 15..=18);
    let miles_an_hour = if rush { 10.0 } else { 15.0 } + 1.5 * noise(rng);
    let minutes = (3.0 + 60.0 * miles / miles_an_hour.max(5.0)) * (1.0 + 0.15 * noise(rng)).max(0.4);
    let card = rng.random_bool(0.55);
    let tips = generosity(from) + if rush { 0.1 } else { 0.0 } - if miles > 8.0 { 0.15 } else { 0.0 };
    let tipped = card && rng.random_bool(tips);
    let dispatched = rng.random_bool(0.3);
    let fare = 3.0 + 2.5 * miles;
    let cents = |dollars: f64| (dollars * 100.0).round() / 100.0;
    let trip = Trip {
        pickup_zone: from,
        dropoff_zone: to,
        pickup: Some(pickup),
        distance_miles: Some(if rng.random_bool(0.03) { 0.0 } else { cents(miles) }),
        passengers: (!dispatched).then(|| 1 + (rng.random::<f64>().powi(4) * 6.0) as u8),
        rate_code: (!dispatched).then_some(if rng.random_bool(0.03) { 5 } else { 1 }),
        trip_type: (!dispatched).then_some(1),
        vendor: Some(if rng.random_bool(0.85) { 2 } else { 1 }),
    };
    let outcome = Outcome {
        dropoff: Some(pickup + TimeDelta::milliseconds((minutes * 60e3) as i64)),
        tip_amount: Some(if tipped { cents(fare * 0.2) } else { 0.0 }),
        fare_amount: Some(cents(fare)),
        payment_type: (!dispatched).then_some(if card { 1 } else { 2 }),
    };
    (trip, outcome)
}

/// Returns the share of tipped card trips of a zone, 0.4 to 0.85: constant over time, and unrelated among neighbours.
fn generosity(zone: Option<Zone>) -> f64 {
    0.4 + 0.45 * zone.map_or(0.5, |zone| (f64::from(zone.id()) * 0.618_033_988_749_895).fract())
}

fn pickup(rng: &mut ChaCha12Rng, month: Month) -> NaiveDateTime {
    if rng.random_bool(0.0003) {
        return NaiveDateTime::default(); // a clock that was reset
    }
    let day = rng.random_range(1..=28);
    let (morning, evening) = (9.0 + 2.5 * noise(rng), 17.0 + 3.0 * noise(rng));
    let hour: f64 = if rng.random_bool(0.4) { morning } else { evening };
    let start = NaiveDate::from_ymd_opt(month.year(), month.month(), day)
        .unwrap_or_default()
        .and_time(Default::default());
    start + TimeDelta::seconds((hour.clamp(0.0, 23.99) * 3600.0) as i64)
}

/// Draws a nearly normal number, mean 0, deviation 1: the sum of twelve uniform ones, minus six.
fn noise(rng: &mut ChaCha12Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use model::LabelledTrips;
    use monitoring::gates::{Inspection, MonthFigures};

    use super::*;

    /// Generated trips must pass the checks for real ones.
    #[test]
    fn generated_months_pass_the_gates_of_a_retraining() {
        for rows in [2000, 20_000, 60_000] {
            let mut before = Vec::new();
            for month in ["2023-11", "2023-12", "2024-01"] {
                let month: Month = month.parse().unwrap();
                let (trips, outcomes) = generate(month, rows, 42);
                let file = LabelledTrips { month: Some(month), trips, outcomes, ..LabelledTrips::default() };
                let found = Inspection::new(MonthFigures::from_trips(&file), &before);
                assert_eq!(found.refusal(), None, "{month}, {rows} rows");
                before.push(found);
            }
        }
    }

    #[test]
    fn a_month_is_the_same_for_the_same_seed_and_looks_like_trips() {
        let month: Month = "2021-02".parse().unwrap();
        let (trips, outcomes) = generate(month, 2000, 7);
        assert_eq!((trips.clone(), outcomes.clone()), generate(month, 2000, 7));
        assert_ne!(trips, generate(month, 2000, 8).0);
        assert_eq!(trips.len(), 2000);
        let within = trips.iter().filter_map(|trip| trip.pickup).filter(|at| month.contains(*at)).count();
        assert!(within as f64 > 0.99 * trips.len() as f64, "{within}");
        let minutes =
            |row: usize| model::outcome::duration_min(trips[row].pickup, outcomes[row].dropoff).unwrap();
        let mean = (0..trips.len()).map(minutes).sum::<f64>() / trips.len() as f64;
        assert!((8.0..30.0).contains(&mean), "{mean} minutes");
        let judged = (0..trips.len()).filter(|row| model::Rules::judges(minutes(*row))).count();
        assert!(judged as f64 > 0.9 * trips.len() as f64, "{judged} of 1 to 60 minutes");
    }
}
