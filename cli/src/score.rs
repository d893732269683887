//! `tripcast score`.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use model::{Bundle, Prediction, Reason, Rejection, Trip, TripRequest};

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
    let mut input = std::io::stdin().lock();
    refuse_other_encodings(input.fill_buf()?)?;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        match decoded(&line).transpose() {
            None => (),
            Some(Ok(parsed)) => waiting.push(parsed),
            Some(Err(rejection)) => {
                rejected += 1;
                name(lines, &rejection)?;
            }
        }
        line.clear();
        if waiting.len() == MESSAGES_AT_ONCE {
            predict(&bundle, &mut waiting, &mut out)?;
        }
    }
    predict(&bundle, &mut waiting, &mut out)?;
    out.flush()?;
    if rejected > 0 { Err(format!("{rejected} of {lines} lines were rejected").into()) } else { Ok(()) }
}

/// Windows writes UTF-16 where it is not told otherwise; no line of it could be decoded.
fn refuse_other_encodings(begins: &[u8]) -> Result<(), Failure> {
    let has_mark = begins.starts_with(&[0xFF, 0xFE]) || begins.starts_with(&[0xFE, 0xFF]);
    let has_zeros = begins.len() > 1 && begins[..2].contains(&0);
    if has_mark || has_zeros {
        return Err("the input is UTF-16: expected UTF-8, one JSON document per line".into());
    }
    Ok(())
}

/// Decodes one line; `None` for an empty one.
fn decoded(line: &[u8]) -> Result<Option<(Trip, TripRequest)>, Rejection> {
    let line = std::str::from_utf8(line).map_err(|error| {
        let detail = format!("the line is not UTF-8: byte {} of it", error.valid_up_to());
        Rejection::new(Reason::Undecodable, detail)
    })?;
    if line.trim().is_empty() {
        return Ok(None);
    }
    let request = TripRequest::decode(line)?;
    Ok(Some((request.parse()?.trip, request)))
}

fn predict(
    bundle: &Bundle,
    waiting: &mut Vec<(Trip, TripRequest)>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let (trips, requests): (Vec<Trip>, Vec<TripRequest>) = waiting.drain(..).unzip();
    let predictions = bundle.predict(&trips);
    for (row, request) in requests.iter().enumerate() {
        serde_json::to_writer(&mut *out, &Prediction::new(bundle, request, &predictions, row))?;
        writeln!(out)?;
    }
    Ok(())
}

fn name(line: u64, rejection: &Rejection) -> Result<(), Failure> {
    let named = serde_json::json!({"line": line, "reason": rejection.reason, "detail": rejection.detail});
    Ok(writeln!(std::io::stderr(), "{named}")?)
}
