//! Reads a file of trips, row group by row group, and only the columns of the logical schema. The reader is sans I/O:
//! it requests byte ranges, and the caller supplies them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use model::{Outcome, Rejection, Trip};
use parquet::DecodeResult;
use parquet::arrow::push_decoder::ParquetPushDecoder;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

use crate::child::Unchecked;
use crate::columns::{FileReport, Located};
use crate::decode::{ROWS_AT_ONCE, ReadPlan};
use crate::guard::{PageGuard, ReadOptions};
use crate::rows::rows;

/// Bytes that are requested first, from the end of the file; they hold the footer of every TLC month.
const TAIL_BYTES: u64 = 64 << 10;

/// Why a file as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not a Parquet file.
    #[error("not a readable parquet file: {detail}")]
    NotParquet {
        /// What is wrong with the bytes.
        detail: String,
    },
    /// The file exceeds one of the [`Limits`].
    #[error("the file has {found} {what}: at most {limit} are read")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// Count that the file states.
        found: u64,
        /// Largest count that is allowed.
        limit: u64,
    },
    /// A zone column is missing, without which no row can be predicted.
    #[error("the file has no column {name}; its columns are: {found}")]
    MissingColumn {
        /// The column's usual name.
        name: &'static str,
        /// Columns of the file, comma-separated.
        found: String,
    },
    /// A column has a type that cannot hold its values.
    #[error("column {name} has type {found}: expected {expected}")]
    ColumnType {
        /// Name of the column in the file.
        name: String,
        /// The kind of values that it should hold.
        expected: &'static str,
        /// The type that it has.
        found: String,
    },
    /// Two columns have the same name, so that neither can be meant.
    #[error("the file has two columns called {name}")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// The file is encrypted.
    #[error("the file is encrypted (it ends with PARE): expected plain Parquet")]
    Encrypted,
    /// The bytes are damaged.
    #[error("decoding the parquet file")]
    Decode(#[source] ParquetError),
    /// A row group had to be decoded by a process of its own, which failed, or used more memory or time than it may.
    #[error("decoding row group {group} in a process of its own: {detail}")]
    Child {
        /// 0-based index of the row group.
        group: usize,
        /// How it ended.
        detail: String,
    },
    /// The machine did not let a process of its own decode a row group: it was not started, or was killed.
    #[error("row group {group} needs a process of its own: {detail}")]
    NoChild {
        /// 0-based index of the row group.
        group: usize,
        /// What happened.
        detail: String,
    },
    /// The decoder panicked on damaged bytes.
    #[error("decoding the parquet file: the decoder panicked: {detail}")]
    Panicked {
        /// Message of the panic.
        detail: String,
    },
}

impl ReadError {
    /// Returns a stable name for logs and reason files.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::NotParquet { .. } => "Dataset.NotParquet",
            Self::Limit { .. } => "Dataset.Limit",
            Self::MissingColumn { .. } => "Dataset.MissingColumn",
            Self::ColumnType { .. } => "Dataset.ColumnType",
            Self::DuplicateColumn { .. } => "Dataset.DuplicateColumn",
            Self::Encrypted => "Dataset.Encrypted",
            Self::Decode(_) => "Dataset.Decode",
            Self::Child { .. } => "Dataset.Child",
            Self::NoChild { .. } => "Dataset.NoChild",
            Self::Panicked { .. } => "Dataset.Panicked",
        }
    }

    /// Returns whether the same bytes may be read another time: the machine failed, and not they.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoChild { .. })
    }
}

/// Which columns are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Columns {
    /// The columns that are known before a trip.
    Trips,
    /// Those and the columns that are known only after it.
    Labelled,
}

/// A row that cannot be predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// 0-based position in the file.
    pub row: u64,
    /// Why it cannot be predicted.
    pub rejection: Rejection,
}

/// A batch of consecutive rows of a file: at most [`ROWS_MAX`], whatever the row groups.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// Trips that can be predicted.
    pub trips: Vec<Trip>,
    /// Outcome of each trip; all values are missing with [`Columns::Trips`].
    pub outcomes: Vec<Outcome>,
    /// 0-based position of each trip in the file.
    pub positions: Vec<u64>,
    /// Rows that cannot be predicted.
    pub rejected: Vec<RejectedRow>,
}

impl Rows {
    /// Returns the number of rows, those that cannot be predicted among them.
    pub fn len(&self) -> usize {
        self.trips.len() + self.rejected.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn append(&mut self, mut next: Self) {
        self.trips.append(&mut next.trips);
        self.outcomes.append(&mut next.outcomes);
        self.positions.append(&mut next.positions);
        self.rejected.append(&mut next.rejected);
    }
}

/// Most rows of a batch.
pub const ROWS_MAX: usize = 16_384;

/// Result of a step of the reader.
#[derive(Debug)]
pub enum Step {
    /// The reader needs these byte ranges: pass them to [`TripReader::supply`], then step again.
    Need(Vec<Range<u64>>),
    /// The next rows.
    Rows(Box<Rows>),
    /// There are no more rows.
    Done,
}

/// Counts and columns of a file, as its footer states them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// Number of rows.
    pub rows: u64,
    /// Number of row groups.
    pub row_groups: u64,
    /// Names and physical types of all columns.
    pub columns: Vec<(String, String)>,
}

/// Reader of one file.
pub struct TripReader {
    file_bytes: u64,
    columns: Columns,
    limits: ReadOptions,
    next_row: u64,
    /// Rows of the next batch so far.
    gathered: Rows,
    state: State,
}

enum State {
    Tail,
    /// The range of the footer, which begins before the tail.
    Footer(Range<u64>),
    Start(Bytes),
    Rows(Box<Decoding>),
}

/// A file whose footer is decoded.
struct Decoding {
    footer: Bytes,
    metadata: Arc<ParquetMetaData>,
    decoder: ParquetPushDecoder,
    located: Located,
    guard: PageGuard,
    /// Chunks of a row group whose pages could not be checked completely, with the others of that group.
    unchecked: Unchecked,
}

impl TripReader {
    /// Makes a reader of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// [`ReadError::Limit`] or [`ReadError::NotParquet`] if the file is too large or too small.
    pub fn new(file_bytes: u64, columns: Columns, limits: ReadOptions) -> Result<Self, ReadError> {
        limits.check_file(file_bytes)?;
        if file_bytes < 12 {
            let detail = format!("expected a footer, found {file_bytes} bytes in all");
            return Err(ReadError::NotParquet { detail });
        }
        Ok(Self { file_bytes, columns, limits, next_row: 0, gathered: Rows::default(), state: State::Tail })
    }

    /// Returns the range to supply before the first step, at the end of the file; `None` once it has been supplied.
    pub fn first_need(&self) -> Option<Range<u64>> {
        let tail = self.file_bytes.saturating_sub(TAIL_BYTES)..self.file_bytes;
        matches!(self.state, State::Tail).then_some(tail)
    }

    /// Supplies the bytes of `range`.
    ///
    /// # Errors
    /// [`ReadError::NotParquet`] if the file does not end like a Parquet file, or if its footer or pages state what cannot
    /// be; [`ReadError::Limit`] for too much of anything; [`ReadError::Decode`] for a range that was not requested.
    pub fn supply(&mut self, range: Range<u64>, bytes: Bytes) -> Result<(), ReadError> {
        match &mut self.state {
            State::Tail => {
                let footer = self.limits.footer(&bytes, self.file_bytes)?;
                self.state = match footer.start.checked_sub(range.start) {
                    Some(at) => State::Start(bytes.slice(at as usize..bytes.len() - 8)),
                    None => State::Footer(footer),
                };
            }
            State::Footer(footer) if range == *footer => self.state = State::Start(bytes),
            State::Footer(_) | State::Start(_) => {}
            State::Rows(decoding) => {
                let (group, is_complete) = decoding.guard.check(&decoding.metadata, range.start, &bytes)?;
                decoding.unchecked.add(group, is_complete, (range.start, bytes.clone()));
                decoding.decoder.push_range(range, bytes).map_err(ReadError::Decode)?;
            }
        }
        Ok(())
    }

    /// Returns the summary of the file, once its footer is decoded.
    pub fn summary(&self) -> Option<FileSummary> {
        let State::Rows(decoding) = &self.state else { return None };
        let metadata = &decoding.metadata;
        let columns = metadata.file_metadata().schema_descr();
        let named = |column: &parquet::schema::types::ColumnDescPtr| {
            (column.path().string(), column.physical_type().to_string())
        };
        Some(FileSummary {
            rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default(),
            row_groups: metadata.num_row_groups() as u64,
            columns: columns.columns().iter().map(named).collect(),
        })
    }

    /// Returns what was found of the logical columns, and the values that could not be used in the rows so far; empty until the footer
    /// is decoded.
    pub fn report(&self) -> FileReport {
        match &self.state {
            State::Rows(decoding) => decoding.located.report.clone(),
            _ => FileReport::default(),
        }
    }

    /// Decodes as far as the supplied bytes allow.
    ///
    /// # Errors
    /// See [`ReadError`]; the whole file is then unreadable.
    pub fn step(&mut self) -> Result<Step, ReadError> {
        // The decoder panics on some damaged files, and a bad file must not prevent others from being read.
        let step = catch_unwind(AssertUnwindSafe(|| self.advance())).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<&str>().map(ToString::to_string);
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(ReadError::Panicked { detail: message.unwrap_or_else(|| "no message".into()) })
        })?;
        match &step {
            Step::Need(ranges)
                if ranges.iter().any(|range| range.start >= range.end || range.end > self.file_bytes) =>
            {
                let detail = format!("it refers to bytes outside of its {}: {ranges:?}", self.file_bytes);
                Err(ReadError::NotParquet { detail })
            }
            _ => Ok(step),
        }
    }

    fn advance(&mut self) -> Result<Step, ReadError> {
        match &self.state {
            State::Tail => return Ok(Step::Need(self.first_need().into_iter().collect())),
            State::Footer(footer) => return Ok(Step::Need(vec![footer.clone()])),
            State::Start(footer) => self.state = State::Rows(Box::new(self.decode_footer(footer)?)),
            State::Rows(_) => {}
        }
        let State::Rows(decoding) = &mut self.state else { return Ok(Step::Done) };
        let Decoding { footer, unchecked, decoder, located, .. } = decoding.as_mut();
        unchecked.decode_elsewhere(footer, self.columns)?;
        // Files of many small row groups give batches, and predictions, of the same size as others.
        while self.gathered.len() + ROWS_AT_ONCE <= ROWS_MAX {
            match decoder.try_decode().map_err(ReadError::Decode)? {
                DecodeResult::NeedsData(ranges) => return Ok(Step::Need(ranges)),
                DecodeResult::Finished if self.gathered.is_empty() => return Ok(Step::Done),
                DecodeResult::Finished => break,
                DecodeResult::Data(batch) => {
                    let rows = rows(&batch, located, self.limits.utc_times, self.next_row)
                        .map_err(|error| ReadError::Decode(error.into()))?;
                    self.next_row += batch.num_rows() as u64;
                    self.gathered.append(rows);
                }
            }
        }
        Ok(Step::Rows(Box::new(std::mem::take(&mut self.gathered))))
    }

    fn decode_footer(&self, footer: &Bytes) -> Result<Decoding, ReadError> {
        self.limits.check_footer(footer)?;
        let metadata = Arc::new(ParquetMetaDataReader::decode_metadata(footer).map_err(ReadError::Decode)?);
        self.limits.check_metadata(&metadata, self.file_bytes)?;
        let plan = ReadPlan::new(&metadata, self.columns, self.limits.utc_times)?;
        let guard = self.limits.check_chunks(&metadata, self.file_bytes, |leaf| plan.reads(leaf))?;
        let (decoder, located) = plan.decoder(None)?;
        let unchecked = Unchecked::default();
        Ok(Decoding { footer: footer.clone(), metadata, decoder, located, guard, unchecked })
    }
}

#[cfg(test)]
mod kinds;
#[cfg(test)]
mod tests;
