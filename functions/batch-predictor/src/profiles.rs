//! Counts the rows of a file by day.

use chrono::NaiveDate;
use dataset::Rows;
use model::{Month, PredictionBatch, Reason};
use monitoring::days::{DayProfiles, DayRows, Source};

/// Counts rows by day, with their outcomes and, if there are any, their predictions. `expected` is the first day of the file's month, or the
/// day around which its pickups lie.
pub fn count(
    rows: &Rows,
    predictions: Option<&PredictionBatch>,
    month: Option<Month>,
    expected: NaiveDate,
) -> DayProfiles {
    let rejected: Vec<(u64, Reason)> =
        rows.rejected.iter().map(|rejected| (rejected.row, rejected.rejection.reason)).collect();
    let rows = DayRows {
        trips: &rows.trips,
        positions: &rows.positions,
        rejected: &rejected,
        outcomes: Some((&rows.outcomes, month)),
        predictions,
    };
    DayProfiles::from_rows(&rows, Source::Batch, expected)
}

/// Adds the days of `month` without rows, so that a corrected file replaces the profiles of all its days, and days that are lost are seen.
pub fn fill(days: &mut DayProfiles, month: Option<Month>) {
    for day in month.into_iter().flat_map(Month::days) {
        days.0.entry(day).or_default();
    }
}
