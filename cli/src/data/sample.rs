//! `tripcast data sample`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use dataset::{Columns, ReadOptions, rows_of};
use model::Trip;
use model::outcome::duration_min;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde_json::{Value, json};

use crate::files::{self, FileError};
use crate::output::Failure;

/// Turn trips of a file into messages for the scorer, one JSON document per line.
///
/// For comparison, each message has `actual_duration` (minutes), which the scorer ignores.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast data sample --input green_tripdata_2021-03.parquet --rows 1000 > messages.jsonl")]
pub struct Args {
    /// Trips (TLC Parquet).
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Number of messages; all rows if the file has fewer.
    #[arg(long, default_value_t = 1000)]
    rows: usize,
    /// Seed of the choice of rows.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<(), Failure> {
    let input = files::read(&args.input)?;
    let unreadable = |source| FileError::Trips { path: args.input.clone(), source };
    let mut trips = Vec::new();
    for rows in rows_of(&input, Columns::Labelled, ReadOptions::default()).map_err(unreadable)? {
        let rows = rows.map_err(unreadable)?;
        let minutes = |row: usize| duration_min(rows.trips[row].pickup, rows.outcomes[row].dropoff);
        trips.extend((0..rows.trips.len()).map(|row| (rows.positions[row], rows.trips[row], minutes(row))));
    }
    let mut rng = ChaCha12Rng::seed_from_u64(args.seed);
    let mut chosen = BTreeSet::new();
    while chosen.len() < args.rows.min(trips.len()) {
        chosen.insert(rng.random_range(0..trips.len()));
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (position, trip, minutes) in chosen.into_iter().map(|at| &trips[at]) {
        writeln!(out, "{}", message(*position, trip, *minutes))?;
    }
    Ok(out.flush()?)
}

fn message(ride_id: u64, trip: &Trip, minutes: Option<f64>) -> Value {
    // An unknown zone is sent as 0, because a ride without a zone is rejected.
    let zone = |zone: Option<model::Zone>| zone.map_or(0, |zone| zone.id());
    json!({
        "ride_id": ride_id,
        "ride": {
            "PULocationID": zone(trip.pickup_zone),
            "DOLocationID": zone(trip.dropoff_zone),
            "trip_distance": trip.distance_miles,
            "pickup_datetime": trip.pickup.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string()),
            "passenger_count": trip.passengers,
            "RatecodeID": trip.rate_code,
            "trip_type": trip.trip_type,
            "VendorID": trip.vendor,
        },
        "actual_duration": minutes,
    })
}
