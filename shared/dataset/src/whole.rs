//! Reads files that are in memory as a whole.

use bytes::Bytes;
use model::{LabelledTrips, Month};

use crate::guard::Limits;
use crate::reader::{Columns, FileSummary, ReadError, Rows, Step, TripReader};

/// Reads the rows of a file in memory, batch by batch. The iterator ends after the first error.
///
/// # Errors
/// [`ReadError`] if the file is too large or too small; the iterator yields all other errors.
pub fn rows_of(
    file: &Bytes,
    columns: Columns,
    limits: Limits,
) -> Result<impl Iterator<Item = Result<Rows, ReadError>> + '_, ReadError> {
    let mut reader = TripReader::new(file.len() as u64, columns, limits)?;
    let mut ended = false;
    Ok(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let next = next_rows(&mut reader, file);
        ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }))
}

fn next_rows(reader: &mut TripReader, file: &Bytes) -> Result<Option<Rows>, ReadError> {
    let mut needs: Vec<_> = reader.first_need().into_iter().collect();
    loop {
        for range in std::mem::take(&mut needs) {
            let bytes = file.slice(range.start as usize..range.end as usize);
            reader.supply(range, bytes)?;
        }
        match reader.step()? {
            Step::Need(ranges) => needs = ranges,
            Step::Rows(rows) => return Ok(Some(*rows)),
            Step::Done => return Ok(None),
        }
    }
}

/// Reads all rows of a file in memory, with their outcomes. The caller has to set `sha256` of the result.
///
/// # Errors
/// See [`ReadError`].
pub fn read_all(file: &Bytes, month: Option<Month>, limits: Limits) -> Result<LabelledTrips, ReadError> {
    let mut all = LabelledTrips { month, ..LabelledTrips::default() };
    for rows in rows_of(file, Columns::Labelled, limits)? {
        let rows = rows?;
        all.trips.extend(rows.trips);
        all.outcomes.extend(rows.outcomes);
        rows.rejected.iter().for_each(|rejected| all.rejections.add(rejected.rejection.reason));
    }
    Ok(all)
}

/// Reads the summary of a file in memory.
///
/// # Errors
/// See [`ReadError`].
pub fn summary_of(file: &Bytes, limits: Limits) -> Result<FileSummary, ReadError> {
    let mut reader = TripReader::new(file.len() as u64, Columns::Trips, limits)?;
    next_rows(&mut reader, file)?;
    reader.summary().ok_or_else(|| ReadError::NotParquet { detail: "it has no footer".into() })
}
