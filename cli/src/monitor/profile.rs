//! `tripcast monitor profile`: counts files, as the batch predictor does, so that they can be watched without it.

use std::path::{Path, PathBuf};

use batch_predictor::profiles::{count as count_rows, fill};
use chrono::NaiveDate;
use dataset::{Columns, rows_of};
use model::{Bundle, Month};
use monitoring::days::{DayProfile, DayProfiles, median_day};
use platform::lambda::today;
use registry::layout;
use serde::Serialize;
use store::{Condition, Store, StoreUri, json};

use crate::files::{self, FileError};
use crate::output::{Failure, Output, progress};
use crate::predict::{Read, bundle};

/// Count files of trips by day, with predictions if there is a model, and store the counts for `run`, `report` and `serve`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast monitor profile --model duration.bin --data ./trips-store green_tripdata_2024-*.parquet
  tripcast monitor report --data ./trips-store --models ./models --day 2024-11-01 --html report.html")]
pub struct Args {
    /// Trips (TLC Parquet), one file or more.
    #[arg(required = true, value_name = "FILE")]
    input: Vec<PathBuf>,
    /// A duration model; without one there are no predictions to judge.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A tip model.
    #[arg(long, value_name = "FILE", requires = "model")]
    tip_model: Option<PathBuf>,
    /// Store of the profiles: s3://bucket or a directory.
    #[arg(long)]
    data: StoreUri,
    #[command(flatten)]
    read: Read,
}

#[derive(Serialize)]
struct Counted {
    file: PathBuf,
    days: usize,
    rows: u64,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let models = args.model.as_deref().map(|model| bundle(model, args.tip_model.as_deref())).transpose()?;
    let store = args.data.open().await;
    let bar = progress(args.input.len() as u64, "counting");
    let mut all = Vec::new();
    for file in &args.input {
        let days = count(file, models.as_ref(), &args.read)?;
        write(&*store, file, models.as_ref(), &days).await?;
        let rows = days.0.values().map(|profile| profile.rows).sum();
        all.push(Counted { file: file.clone(), days: days.0.len(), rows });
        bar.inc(1);
    }
    bar.finish_and_clear();
    out.print(&all, || {
        all.iter()
            .map(|one| format!("{}: {} rows of {} days", one.file.display(), one.rows, one.days))
            .collect()
    })
}

fn count(file: &Path, models: Option<&Bundle>, read: &Read) -> Result<DayProfiles, Failure> {
    let bytes = files::read(file)?;
    let unreadable = |source| FileError::Trips { path: file.into(), source };
    let month: Option<Month> = name(file).rsplit_once('_').and_then(|(_, month)| month.parse().ok());
    let mut expected: Option<NaiveDate> = month.and_then(Month::first_day);
    let mut all = DayProfiles::default();
    for rows in rows_of(&bytes, Columns::Labelled, read.options()).map_err(unreadable)? {
        let rows = rows.map_err(unreadable)?;
        let expected = *expected.get_or_insert_with(|| median_day(&rows.trips).unwrap_or_else(today));
        let predictions = models.map(|models| models.predict(&rows.trips));
        all.merge(&count_rows(&rows, predictions.as_ref(), month, expected));
    }
    fill(&mut all, month);
    Ok(all)
}

async fn write(
    store: &dyn Store,
    file: &Path,
    models: Option<&Bundle>,
    days: &DayProfiles,
) -> Result<(), Failure> {
    for (day, profile) in &days.0 {
        let stored = DayProfile { day: *day, bundle: models.map(Bundle::id), profile: profile.clone() };
        let key = layout::profile_of_file(*day, &format!("{}.parquet", name(file)))?;
        json::write_line(store, &key, &stored, Condition::Always).await?;
    }
    Ok(())
}

/// Returns the name of a file without its extension.
fn name(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
