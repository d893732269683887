//! The days of a folder of months, with predictions by models that had not seen them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use dataset::{Columns, ReadOptions, Rows, rows_of};
use model::candidates::FitParams;
use model::candidates::boosted::BoostedParams;
use model::trip::select;
use model::{Bundle, Family, LabelledTrips, Month, PredictionBatch, Reason, Target, TaxiMonth, Work, go_on};
use monitoring::days::{DayProfiles, DayRows, Source};

use crate::files::{self, FileError};
use crate::output::{Failure, progress};

/// Months that a model learns from, at most, and those between them and the month that it predicts: months are published late.
const WINDOW: usize = 3;
const DELAY: u32 = 1;
/// Trees of a model at most: enough for the errors to be those of a good model, and few enough for a history of years.
const TREES_MAX: u32 = 300;

/// The rows of a day, with their predictions.
#[derive(Debug, Clone, Default)]
pub struct Day {
    /// The rows.
    pub rows: Rows,
    /// Their predictions; none before the first model.
    pub predictions: Option<PredictionBatch>,
}

impl Day {
    /// Counts the rows.
    pub fn profile(&self, day: NaiveDate) -> monitoring::Profile {
        let rejected: Vec<(u64, Reason)> = Vec::new();
        let rows = DayRows {
            trips: &self.rows.trips,
            positions: &self.rows.positions,
            rejected: &rejected,
            outcomes: Some((&self.rows.outcomes, Some(Month::from_date(day)))),
            predictions: self.predictions.as_ref(),
        };
        let mut all = monitoring::Profile::default();
        DayProfiles::from_rows(&rows, Source::Batch, day).0.values().for_each(|profile| all.merge(profile));
        self.rows.rejected.iter().for_each(|row| all.add_rejected(row.rejection.reason, 1));
        all
    }
}

/// Returns the file of a month.
pub fn path_of(folder: &Path, taxi: &str, month: Month) -> PathBuf {
    folder.join(TaxiMonth { taxi: taxi.into(), month }.file_name())
}

/// Reads the days of `months`. With `predict`, each month is predicted by a model of up to three months before it, of which the last is left
/// out.
pub fn read(
    folder: &Path,
    taxi: &str,
    months: &[Month],
    predict: bool,
) -> Result<BTreeMap<NaiveDate, Day>, Failure> {
    let mut days = BTreeMap::new();
    let mut learned: Vec<LabelledTrips> = Vec::new();
    let bar = progress(months.len() as u64, if predict { "learning and predicting" } else { "reading" });
    for month in months {
        let path = path_of(folder, taxi, *month);
        let rows = rows_of_month(&path)?;
        let usable: Vec<LabelledTrips> = learned
            .iter()
            .filter(|file| file.month.is_some_and(|of| of.plus(DELAY) < *month))
            .cloned()
            .collect();
        let window = &usable[usable.len().saturating_sub(WINDOW)..];
        let bundle = if predict && !window.is_empty() { Some(model_of(window)?) } else { None };
        for (day, rows) in by_day(rows, *month) {
            let predictions = bundle.as_ref().map(|bundle| bundle.predict(&rows.trips));
            days.insert(day, Day { rows, predictions });
        }
        if predict {
            learned.extend(files::months(&[path], ReadOptions::default())?);
            let extra = learned.len().saturating_sub(WINDOW + DELAY as usize + 1);
            learned.drain(..extra);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(days)
}

fn rows_of_month(path: &Path) -> Result<Vec<Rows>, Failure> {
    let bytes = files::read(path)?;
    let unreadable = |source| FileError::Trips { path: path.into(), source };
    let rows = rows_of(&bytes, Columns::Labelled, ReadOptions::default()).map_err(unreadable)?;
    Ok(rows.collect::<Result<_, _>>().map_err(unreadable)?)
}

fn model_of(window: &[LabelledTrips]) -> Result<Bundle, Failure> {
    let params = FitParams {
        boosted: BoostedParams { rounds_max: TREES_MAX, ..BoostedParams::default() },
        ..FitParams::default()
    };
    let mut work = Work { threads: 0, control: &mut go_on };
    let trained = model::train(Target::Duration, Family::Boosted, &params, window, &mut work)?;
    Ok(Bundle::from_bytes(&trained.bytes, None)?)
}

/// Cuts the rows of a month's file by day. A row without a believable time goes to the day of the row before it.
fn by_day(batches: Vec<Rows>, month: Month) -> BTreeMap<NaiveDate, Rows> {
    let Some(first) = month.first_day() else { return BTreeMap::new() };
    let mut days: BTreeMap<NaiveDate, (Vec<usize>, Rows)> = BTreeMap::new();
    let mut day = first;
    for mut batch in batches {
        let mut rejected = std::mem::take(&mut batch.rejected).into_iter().peekable();
        for (row, trip) in batch.trips.iter().enumerate() {
            while let Some(one) = rejected.next_if(|one| one.row < batch.positions[row]) {
                days.entry(day).or_default().1.rejected.push(one);
            }
            let pickup = trip.pickup.filter(|pickup| month.contains(*pickup));
            day = pickup.map_or(day, |pickup| pickup.date());
            days.entry(day).or_default().0.push(row);
        }
        rejected.for_each(|one| days.entry(day).or_default().1.rejected.push(one));
        for (rows, of_day) in days.values_mut() {
            of_day.trips.extend(select(&batch.trips, rows));
            of_day.outcomes.extend(select(&batch.outcomes, rows));
            of_day.positions.extend(select(&batch.positions, rows));
            rows.clear();
        }
    }
    days.into_iter().map(|(day, (_, rows))| (day, rows)).collect()
}
