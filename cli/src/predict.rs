//! `tripcast predict`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::thread::{ScopedJoinHandle, available_parallelism};

use dataset::{Columns, FileReport, PredictionsWriter, ReadOptions, Rows, UtcTimes, ride_id_prefix};
use model::Bundle;
use model::rejection::RejectionCounts;
use serde::Serialize;

use crate::files::{self, TripFile};
use crate::output::{Failure, Output, progress};

/// Predict a file of trips, as the batch predictor does.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast predict --model duration.bin --tip-model tip.bin \\
      --input green_tripdata_2021-03.parquet --output predictions.parquet")]
pub struct Args {
    /// A duration model.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// A tip model; without one there are no tip probabilities.
    #[arg(long, value_name = "FILE")]
    tip_model: Option<PathBuf>,
    /// Trips (TLC Parquet).
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// File to write the predictions to (Parquet).
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Kind of the taxis (green, yellow, fhvhv) that the models learned from; a file of others is named.
    #[arg(long, default_value = "green")]
    taxi: String,
    /// Threads to predict on, 0 for as many as the machine runs at once; the predictions do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    read: Read,
}

/// How files of trips are read.
#[derive(clap::Args)]
pub struct Read {
    /// Timestamps that are adjusted to UTC: convert them to New York time, or read them as they are (wall).
    #[arg(long, default_value = "convert", value_name = "convert|wall")]
    utc_times: UtcTimes,
}

impl Read {
    /// Returns the options of the reader.
    pub fn options(&self) -> ReadOptions {
        ReadOptions { utc_times: self.utc_times, ..ReadOptions::default() }
    }
}

#[derive(Serialize)]
struct Report {
    bundle: String,
    rows: u64,
    predicted: u64,
    rejected: RejectionCounts,
    /// What was found of the columns, and values that could not be used.
    read: FileReport,
    output: PathBuf,
}

/// Reads the models named on a command line.
pub fn bundle(duration: &std::path::Path, tip: Option<&std::path::Path>) -> Result<Bundle, Failure> {
    let tip = tip.map(files::read).transpose()?;
    Ok(Bundle::from_bytes(&files::read(duration)?, tip.as_deref())?)
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    files::refuse_inputs(&args.output, [&args.input, &args.model].into_iter().chain(&args.tip_model))?;
    let bundle = bundle(&args.model, args.tip_model.as_deref())?;
    let mut batches = TripFile::open(&args.input, Columns::Labelled, args.read.options().streamed())?;
    let rows = batches.summary().map_or(0, |summary| summary.rows);
    let ride_ids = ride_id_prefix("", &files::name_of(&args.input), None);
    let mut writer = PredictionsWriter::new(ride_ids, &bundle.id(), &bundle.versions())?;
    let bar = progress(rows, "predicting rows");
    let mut output = files::NewFile::create(&args.output)?;
    let (mut predicted, mut rejected) = (0, RejectionCounts::default());
    let batches_read = batches.by_ref().map(|rows| rows.map_err(Failure::from));
    let encoder = writer.encoder();
    let predict = |rows: &Rows| encoder.encode(rows, &bundle.predict(&rows.trips));
    in_order(args.threads, batches_read, predict, |rows, encoded| {
        writer.append(encoded?)?;
        output.append(&writer.take())?;
        predicted += rows.trips.len() as u64;
        rows.rejected.iter().for_each(|row| rejected.add(row.rejection.reason));
        bar.inc(rows.len() as u64);
        Ok(())
    })?;
    output.append(&writer.finish()?)?;
    bar.finish_and_clear();
    output.finish()?;
    let (read, output) = (batches.report(), args.output.clone());
    files::warn_of_other_taxis(&args.input, &read, &args.taxi);
    let report = Report { bundle: bundle.id(), rows, predicted, rejected, read, output };
    out.print(&report, || {
        let (rejected, output) = (report.rejected.total(), report.output.display());
        let mut lines = vec![format!(
            "{predicted} of {} rows predicted by {}, {rejected} rejected: {output}",
            report.rows, report.bundle
        )];
        lines.extend(report.read.remarks().into_iter().map(|remark| format!("  warning: {remark}")));
        lines
    })
}

/// Runs `work` on every batch, on `threads` threads while this one reads the next, and hands its results to `done` in the order of the
/// batches.
fn in_order<B: Send, R: Send>(
    threads: usize,
    batches: impl Iterator<Item = Result<B, Failure>>,
    work: impl Fn(&B) -> R + Sync,
    mut done: impl FnMut(B, R) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let threads = if threads == 0 { available_parallelism().map_or(1, usize::from) } else { threads };
    if threads == 1 {
        return batches.map(|batch| batch.map(|batch| (work(&batch), batch))).try_for_each(|worked| {
            let (result, batch) = worked?;
            done(batch, result)
        });
    }
    let work = &work;
    let mut finish = |running: ScopedJoinHandle<'_, (R, B)>| {
        let (result, batch) = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done(batch, result)
    };
    std::thread::scope(|scope| {
        let mut running = VecDeque::new();
        for batch in batches {
            let batch = batch?;
            if running.len() == threads {
                running.pop_front().map_or(Ok(()), &mut finish)?;
            }
            running.push_back(scope.spawn(move || (work(&batch), batch)));
        }
        running.into_iter().try_for_each(finish)
    })
}
