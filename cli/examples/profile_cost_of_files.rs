//! Measures what profiles cost the batch predictor: CPU seconds of one thread for reading, predicting and encoding files of trips, and
//! for counting them by day.
//!
//! ```text
//! cargo run --release -p tripcast --example profile_cost_of_files -- DURATION_MODEL [TIP_MODEL] -- FILE...
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use bytes::Bytes;
use dataset::{Columns, PredictionsWriter, ReadOptions, rows_of, summary_of};
use model::{Bundle, Month};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cut = arguments.iter().position(|one| one == "--").unwrap();
    let read = |at: usize| std::fs::read(&arguments[at]).unwrap();
    let tip = (cut > 1).then(|| read(1));
    let bundle = Bundle::from_bytes(&read(0), tip.as_deref()).unwrap();
    let (mut predicting, mut counting, mut rows_seen) = (0.0, 0.0, 0);
    for file in &arguments[cut + 1..] {
        let month: Option<Month> = file.trim_end_matches(".parquet").rsplit('_').next().unwrap().parse().ok();
        let bytes = Bytes::from(std::fs::read(file).unwrap());
        let started = Instant::now();
        summary_of(&bytes, ReadOptions::default()).unwrap();
        let mut writer = PredictionsWriter::new("2021/03".into(), &bundle.id(), &bundle.versions()).unwrap();
        predicting += started.elapsed().as_secs_f64();
        let mut batches = rows_of(&bytes, Columns::Labelled, ReadOptions::default()).unwrap();
        loop {
            let started = Instant::now();
            let Some(rows) = batches.next() else { break };
            let rows = rows.unwrap();
            let predictions = bundle.predict(&rows.trips);
            writer.append(writer.encoder().encode(&rows, &predictions).unwrap()).unwrap();
            predicting += started.elapsed().as_secs_f64();
            let started = Instant::now();
            let expected = month.and_then(Month::first_day).unwrap_or_default();
            let days = batch_predictor::profiles::count(&rows, Some(&predictions), month, expected);
            counting += started.elapsed().as_secs_f64();
            rows_seen += days.0.values().map(|profile| profile.rows).sum::<u64>();
        }
    }
    println!(
        "{rows_seen} rows: {predicting:.2} s to predict them, {counting:.2} s to count them ({:.1} %)",
        100.0 * counting / predicting
    );
}
