//! `tripcast export`.

use std::path::PathBuf;

use model::onnx::to_onnx;
use serde::Serialize;

use crate::files;
use crate::output::{Failure, Output};

/// Write a model in the format of another library.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast export --format onnx --model duration.bin --out duration.onnx

Inputs of the ONNX file, all [N]: PULocationID, DOLocationID, year, month, day, hour, minute int64; trip_distance, VendorID,
RatecodeID, passenger_count, trip_type float, NaN for missing. Outputs: duration, lower, upper (minutes), or probability.")]
pub struct Args {
    /// Format to write.
    #[arg(long, value_enum)]
    format: Format,
    /// A model written by `tripcast train --out`, or downloaded from the registry.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// File to write to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// ai.onnx 18 and ai.onnx.ml 5: onnxruntime 1.21 and later.
    Onnx,
}

#[derive(Serialize)]
struct Report {
    version: String,
    out: PathBuf,
    bytes: usize,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    files::refuse_inputs(&args.out, [&args.model])?;
    let (artifact, version) = files::model(&args.model)?;
    let Format::Onnx = args.format;
    let bytes = to_onnx(&artifact)?;
    files::write(&args.out, &bytes)?;
    let report = Report { version: version.to_string(), out: args.out.clone(), bytes: bytes.len() };
    out.print(&report, || vec![format!("{}: {} bytes, of model {version}", args.out.display(), report.bytes)])
}
