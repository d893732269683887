//! Reads files that are in memory as a whole.

use bytes::Bytes;
use model::{LabelledTrips, Month};

use crate::columns::FileReport;
use crate::guard::ReadOptions;
use crate::reader::{Columns, FileSummary, ReadError, Rows, Step, TripReader};

/// The rows of a file in memory, batch by batch. The iterator ends after the first error.
pub struct FileRows<'a> {
    reader: TripReader,
    file: &'a Bytes,
    ended: bool,
}

impl FileRows<'_> {
    /// Returns what was found of the logical columns, and the values that could not be used in the rows so far.
    pub fn report(&self) -> FileReport {
        self.reader.report()
    }
}

impl Iterator for FileRows<'_> {
    type Item = Result<Rows, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = next_rows(&mut self.reader, self.file);
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// Reads the rows of a file in memory.
///
/// # Errors
/// [`ReadError`] if the file is too large or too small; the iterator yields all other errors.
pub fn rows_of(file: &Bytes, columns: Columns, options: ReadOptions) -> Result<FileRows<'_>, ReadError> {
    Ok(FileRows { reader: TripReader::new(file.len() as u64, columns, options)?, file, ended: false })
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
pub fn read_all(
    file: &Bytes,
    month: Option<Month>,
    options: ReadOptions,
) -> Result<(LabelledTrips, FileReport), ReadError> {
    let mut all = LabelledTrips { month, ..LabelledTrips::default() };
    let mut batches = rows_of(file, Columns::Labelled, options)?;
    for rows in &mut batches {
        let rows = rows?;
        all.trips.extend(rows.trips);
        all.outcomes.extend(rows.outcomes);
        rows.rejected.iter().for_each(|rejected| all.rejections.add(rejected.rejection.reason));
    }
    Ok((all, batches.report()))
}

/// Reads the summary of a file in memory.
///
/// # Errors
/// See [`ReadError`].
pub fn summary_of(file: &Bytes, options: ReadOptions) -> Result<FileSummary, ReadError> {
    let mut reader = TripReader::new(file.len() as u64, Columns::Trips, options)?;
    next_rows(&mut reader, file)?;
    reader.summary().ok_or_else(|| ReadError::NotParquet { detail: "it has no footer".into() })
}
