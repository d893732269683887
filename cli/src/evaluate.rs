//! `tripcast evaluate`.

use std::path::PathBuf;

use dataset::ReadOptions;
use model::{Judgement, Slice, Target};
use serde::Serialize;

use crate::files;
use crate::output::{Failure, Output};
use crate::train::{RulesName, figures, heading};

/// Measure a model on months of trips, overall and by slice.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast evaluate --model duration.bin --data green_tripdata_2021-03.parquet")]
pub struct Args {
    /// A model written by `tripcast train --out`, or downloaded from the registry.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Months to measure on (TLC Parquet files).
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Rules that select the rows to measure on.
    #[arg(long, value_enum, default_value = "course")]
    rules: RulesName,
    /// Kind of the taxis (green, yellow, fhvhv) that the model learned from; files of others are named.
    #[arg(long, default_value = "green")]
    taxi: String,
}

#[derive(Serialize)]
struct Report {
    target: Target,
    version: String,
    data: Judgement,
    slices: Vec<Slice>,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let (artifact, version) = files::model(&args.model)?;
    let months = files::months_of(&args.data, ReadOptions::default(), Some(&args.taxi))?;
    let rules = args.rules.into();
    let report = Report {
        target: artifact.model.target(),
        version: version.to_string(),
        data: model::judge(&artifact.model, rules, &months)?,
        slices: model::judge_slices(&artifact.model, rules, &months),
    };
    out.print(&report, || {
        let mut lines = vec![format!("{} model {} (rules {})", report.target, report.version, rules.name())];
        lines.push(heading(report.target));
        lines.push(figures("all", &report.data.metrics));
        lines.extend(
            report
                .slices
                .iter()
                .map(|slice| figures(&format!("{} {}", slice.by, slice.value), &slice.metrics)),
        );
        lines
    })
}
