//! `tripcast score`.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use model::{Bundle, Prediction, Rejection, Trip, TripRequest};

use crate::output::Failure;
use crate::predict::bundle;

/// Number of messages that are predicted together.
const MESSAGES_AT_ONCE: usize = 1000;

/// Score messages, one JSON document per line, from stdin to stdout, as the scorer does.
///
/// A line that cannot be scored is reported on stderr with its reason; the others are scored all the same, and the exit
/// code is 1.
#[derive(clap::Args)]
#[command(after_help = "Example:
  echo '{\"ride_id\": 1, \"ride\": {\"PULocationID\": 130, \"DOLocationID\": 205, \"trip_distance\": 3.66}}' \\
      | tripcast score --model duration.bin")]
pub struct Args {
    /// A duration model.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// A tip model; without one tip probabilities are null.
    #[arg(long, value_name = "FILE")]
    tip_model: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<(), Failure> {
    let bundle = bundle(&args.model, args.tip_model.as_deref())?;
    let (mut lines, mut rejected) = (0u64, 0u64);
    let mut waiting = Vec::new();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        lines += 1;
        if line.trim().is_empty() {
            continue;
        }
        match TripRequest::decode(&line).and_then(|request| Ok((request.parse()?.trip, request))) {
            Ok(parsed) => waiting.push(parsed),
            Err(rejection) => {
                rejected += 1;
                name(lines, &rejection)?;
            }
        }
        if waiting.len() == MESSAGES_AT_ONCE {
            predict(&bundle, &mut waiting, &mut out)?;
        }
    }
    predict(&bundle, &mut waiting, &mut out)?;
    out.flush()?;
    if rejected > 0 { Err(format!("{rejected} of {lines} lines were rejected").into()) } else { Ok(()) }
}

fn predict(
    bundle: &Bundle,
    waiting: &mut Vec<(Trip, TripRequest)>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let (trips, requests): (Vec<Trip>, Vec<TripRequest>) = waiting.drain(..).unzip();
    let answers = bundle.predict(&trips);
    for (row, request) in requests.iter().enumerate() {
        serde_json::to_writer(&mut *out, &Prediction::new(bundle, request, &answers, row))?;
        writeln!(out)?;
    }
    Ok(())
}

fn name(line: u64, rejection: &Rejection) -> Result<(), Failure> {
    let named = serde_json::json!({"line": line, "reason": rejection.reason, "detail": rejection.detail});
    Ok(writeln!(std::io::stderr(), "{named}")?)
}
