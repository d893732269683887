//! `tripcast data inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dataset::{FileReport, FileSummary, ReadOptions, read_all, summary_of};
use model::artifact::sha256_hex;
use model::rejection::RejectionCounts;
use model::segments::DefectiveSegment;
use model::{LabelledTrips, Rules, Target};
use monitoring::gates::{Inspection, MonthFigures};
use serde::Serialize;

use crate::files::{self, FileError};
use crate::output::{Failure, Output, progress};

/// Describe files of trips: rows, columns, odd values, what each list of rules keeps, and whether a retraining would
/// use them. Each file is compared with those before it, so name months in order.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast data inspect green_tripdata_2021-01.parquet green_tripdata_2021-02.parquet")]
pub struct Args {
    /// TLC Parquet files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    bytes: u64,
    sha256: String,
    month: Option<String>,
    rows: u64,
    row_groups: u64,
    columns: BTreeMap<String, String>,
    read: FileReport,
    rejected: RejectionCounts,
    flags: BTreeMap<&'static str, u64>,
    kept: Vec<Kept>,
    segments: Vec<DefectiveSegment>,
    gates: Inspection,
}

#[derive(Serialize)]
struct Kept {
    target: Target,
    rules: Rules,
    rows: u64,
    dropped: RejectionCounts,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let bar = progress(args.files.len() as u64, "inspecting");
    let mut reports = Vec::new();
    for path in &args.files {
        reports.push(inspect(path, &reports)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    out.print(&reports, || reports.iter().flat_map(table).collect())
}

fn inspect(path: &Path, before: &[Report]) -> Result<Report, FileError> {
    let bytes = files::read(path)?;
    let unreadable = |source| FileError::Trips { path: path.into(), source };
    let FileSummary { rows, row_groups, columns } =
        summary_of(&bytes, ReadOptions::default()).map_err(unreadable)?;
    let (mut trips, report) =
        read_all(&bytes, files::month_of(path), ReadOptions::default()).map_err(unreadable)?;
    let segments = trips.find_defects();
    let mut flags = BTreeMap::new();
    trips.trips.iter().flat_map(|trip| trip.flags()).for_each(|flag| *flags.entry(flag).or_default() += 1);
    Ok(Report {
        file: path.into(),
        bytes: bytes.len() as u64,
        sha256: sha256_hex(&bytes),
        month: trips.month.map(|month| month.to_string()),
        rows,
        row_groups,
        columns: columns.into_iter().collect(),
        read: report,
        rejected: trips.rejections.clone(),
        flags,
        kept: kept(&trips),
        segments,
        gates: Inspection::new(MonthFigures::from_trips(&trips), before.iter().map(|report| &report.gates)),
    })
}

fn kept(trips: &LabelledTrips) -> Vec<Kept> {
    let mut kept = Vec::new();
    for target in Target::ALL {
        for rules in [Rules::Course, Rules::Strict] {
            let (rows, dropped) = rules.rows(target, trips);
            kept.push(Kept { target, rules, rows: rows.len() as u64, dropped });
        }
    }
    kept
}

fn table(report: &Report) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {} rows in {} row groups, {} columns, {} bytes",
        report.file.display(),
        report.rows,
        report.row_groups,
        report.columns.len(),
        report.bytes
    )];
    lines.extend(report.flags.iter().map(|(flag, rows)| format!("  {flag:24} {rows:>9} rows")));
    lines.push(format!("  {:24} {:>9} rows", "rejected", report.rejected.total()));
    let kept = |kept: &Kept| {
        let name = format!("{} by {} rules", kept.target, kept.rules.name());
        format!("  {name:24} {:>9} rows kept", kept.rows)
    };
    lines.extend(report.kept.iter().map(kept));
    lines.extend(report.read.remarks().into_iter().map(|remark| format!("  warning: {remark}")));
    lines.extend(report.segments.iter().map(|segment| format!("  warning: {}", segment.described())));
    lines.extend(report.gates.warnings().map(|check| format!("  warning: {}", check.description())));
    lines.push(match report.gates.refusal() {
        Some(reason) => format!("  a retraining refuses it: {reason}"),
        None => "  a retraining uses it".into(),
    });
    lines
}
