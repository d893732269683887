//! `tripcast drift`.

use std::path::{Path, PathBuf};

use dataset::ReadOptions;
use monitoring::Profile;
use monitoring::drift::{ColumnDrift, DatasetDrift};
use report::{Report, Section, Table};
use serde::Serialize;

use crate::files::{self, FileError};
use crate::output::{Failure, Output};

/// Compare two files of trips, or a file with what a model was trained on, column by column.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast drift --reference green_tripdata_2021-01.parquet --current green_tripdata_2021-02.parquet
  tripcast drift --reference profile.json --current green_tripdata_2021-02.parquet --html drift.html

The methods and thresholds are those that Evidently takes by default. On taxi trips they are passed on most days, so they describe a
difference; they do not say that something is wrong.")]
pub struct Args {
    /// What to compare with: trips (TLC Parquet), or the profile.json beside a model's card.
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// What is compared: trips (TLC Parquet), or a profile.
    #[arg(long, value_name = "FILE")]
    current: PathBuf,
    /// File to write a page of HTML to.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Kind of the taxis (green, yellow, fhvhv); files of others are named.
    #[arg(long, default_value = "green")]
    taxi: String,
}

/// What is printed.
#[derive(Serialize)]
struct Compared {
    reference: String,
    current: String,
    reference_rows: u64,
    current_rows: u64,
    #[serde(flatten)]
    drift: DatasetDrift,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    if let Some(html) = &args.html {
        files::refuse_inputs(html, [&args.reference, &args.current])?;
    }
    let [reference, current] = [profile(&args.reference, &args.taxi)?, profile(&args.current, &args.taxi)?];
    let compared = Compared {
        reference: files::name_of(&args.reference),
        current: files::name_of(&args.current),
        reference_rows: reference.rows,
        current_rows: current.rows,
        drift: DatasetDrift::between(&reference, &current),
    };
    let page = page(&compared);
    if let Some(html) = &args.html {
        files::write(html, page.html().as_bytes())?;
    }
    out.print(&compared, || page.markdown().lines().map(str::to_string).collect())
}

/// Counts the trips of a Parquet file, or reads a profile.
fn profile(path: &Path, taxi: &str) -> Result<Profile, Failure> {
    let bytes = files::read(path)?;
    // Spaces may stand before a JSON document; a Parquet file begins with its own mark.
    if bytes.trim_ascii_start().starts_with(b"{") {
        let refused = |source| FileError::Profile { path: path.into(), source };
        return Ok(serde_json::from_slice(&bytes).map_err(refused)?);
    }
    let mut months = files::months_of(&[path.into()], ReadOptions::default(), Some(taxi))?;
    Ok(months.pop().map(|file| Profile::from_trips(&file)).unwrap_or_default())
}

fn page(compared: &Compared) -> Report {
    let drift = &compared.drift;
    let n_columns = drift.columns.len();
    let n_drifted = drift.columns.iter().filter(|column| column.is_drift).count();
    let verdict = match drift.drifted_share {
        None => "No column has values on both sides, so nothing can be compared.".to_string(),
        Some(share) => format!(
            "{n_drifted} of {n_columns} columns differ by their thresholds ({:.0} %): {}.",
            100.0 * share,
            match drift.is_drift {
                true => "drift of the data set, which is half of the columns or more",
                false => "no drift of the data set, which would be half of the columns or more",
            }
        ),
    };
    let rows = format!(
        "{} has {} rows, {} has {}.",
        compared.reference, compared.reference_rows, compared.current, compared.current_rows
    );
    let summary = Section { title: "Verdict", paragraphs: vec![verdict, rows], ..Section::default() };
    let head = vec!["column", "method", "figure", "threshold", "drift", "PSI", "Hellinger", "means"];
    let columns = Section {
        title: "Columns",
        paragraphs: drift
            .not_compared
            .iter()
            .map(|(column, reason)| format!("{column} is not compared: there are {reason}."))
            .collect(),
        tables: vec![Table { head, rows: drift.columns.iter().map(column_row).collect() }],
        ..Section::default()
    };
    let head = vec!["column", "code", "reference, %", "current, %"];
    let moved = Section {
        title: "Codes whose shares differ most",
        tables: vec![Table { head, rows: drift.columns.iter().flat_map(moved_rows).collect() }],
        ..Section::default()
    };
    let title = format!("Drift of {} against {}", compared.current, compared.reference);
    Report { title, sections: vec![summary, columns, moved] }
}

fn column_row(column: &ColumnDrift) -> Vec<String> {
    vec![
        column.column.to_string(),
        column.method.name().to_string(),
        format!("{:.4}", column.figure),
        column.threshold.to_string(),
        if column.is_drift { "yes" } else { "no" }.to_string(),
        format!("{:.4}", column.population_stability_index),
        format!("{:.4}", column.hellinger),
        column.means.map(|(one, other)| format!("{one:.3}, {other:.3}")).unwrap_or_default(),
    ]
}

fn moved_rows(column: &ColumnDrift) -> Vec<Vec<String>> {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let row = |moved: &monitoring::drift::MovedCode| {
        vec![
            column.column.to_string(),
            moved.code.to_string(),
            percent(moved.reference),
            percent(moved.current),
        ]
    };
    column.moved.iter().map(row).collect()
}
