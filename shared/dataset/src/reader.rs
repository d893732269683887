//! Reads a file of trips, row group by row group, and only the columns of the logical schema. The reader is sans I/O:
//! it requests byte ranges, and the caller supplies them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use model::{Outcome, Rejection, Trip};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};
use parquet::schema::types::SchemaDescriptor;

use crate::columns::{FileReport, Located, locate};
use crate::guard::ReadOptions;
use crate::rows::rows;
use crate::schema::{self, Column};

/// Bytes that are requested first, from the end of the file; they hold the footer of every TLC month.
const TAIL_BYTES: u64 = 64 << 10;
const ROWS_AT_ONCE: usize = 16_384;

/// Why a file as a whole cannot be read. No error is transient: the same bytes fail again.
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
            Self::Panicked { .. } => "Dataset.Panicked",
        }
    }
}

/// Which columns are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A batch of consecutive rows of a file.
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
    begun: bool,
    state: State,
}

enum State {
    Footer(ParquetMetaDataPushDecoder),
    Start(Arc<ParquetMetaData>),
    Rows { metadata: Arc<ParquetMetaData>, decoder: Box<ParquetPushDecoder>, located: Box<Located> },
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
        // Page indexes are unused, and the decoder would follow their offsets before any limit is checked.
        let footer = ParquetMetaDataPushDecoder::try_new(file_bytes).map_err(ReadError::Decode)?;
        let footer = footer.with_page_index_policy(PageIndexPolicy::Skip);
        Ok(Self { file_bytes, columns, limits, next_row: 0, begun: false, state: State::Footer(footer) })
    }

    /// Returns the range to supply before the first step, at the end of the file; `None` once it has been supplied.
    pub fn first_need(&self) -> Option<Range<u64>> {
        let tail = self.file_bytes.saturating_sub(TAIL_BYTES)..self.file_bytes;
        (matches!(self.state, State::Footer(_)) && !self.begun).then_some(tail)
    }

    /// Supplies the bytes of `range`.
    ///
    /// # Errors
    /// [`ReadError::NotParquet`] if the file does not end like a Parquet file, [`ReadError::Limit`] if its footer is
    /// too long, [`ReadError::Decode`] for a range that was not requested.
    pub fn supply(&mut self, range: Range<u64>, bytes: Bytes) -> Result<(), ReadError> {
        self.begun = true;
        match &mut self.state {
            State::Footer(footer) => {
                if range.end == self.file_bytes {
                    self.limits.check_tail(&bytes)?;
                }
                footer.push_range(range, bytes)
            }
            State::Start(_) => Ok(()),
            State::Rows { decoder, .. } => decoder.push_range(range, bytes),
        }
        .map_err(ReadError::Decode)
    }

    /// Returns the summary of the file, once its footer is decoded.
    pub fn summary(&self) -> Option<FileSummary> {
        let (State::Start(metadata) | State::Rows { metadata, .. }) = &self.state else { return None };
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
            State::Rows { located, .. } => located.report.clone(),
            State::Footer(_) | State::Start(_) => FileReport::default(),
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
        if let State::Footer(footer) = &mut self.state {
            match footer.try_decode().map_err(ReadError::Decode)? {
                DecodeResult::NeedsData(ranges) => return Ok(Step::Need(ranges)),
                DecodeResult::Finished => return Ok(Step::Done),
                DecodeResult::Data(metadata) => {
                    self.limits.check_metadata(&metadata, self.file_bytes)?;
                    self.state = State::Start(Arc::new(metadata));
                }
            }
        }
        if let State::Start(metadata) = &self.state {
            let metadata = Arc::clone(metadata);
            let (decoder, located) = decoder(&metadata, self.columns, self.limits)?;
            self.state = State::Rows { decoder: Box::new(decoder), located: Box::new(located), metadata };
        }
        let State::Rows { decoder, located, .. } = &mut self.state else { return Ok(Step::Done) };
        match decoder.try_decode().map_err(ReadError::Decode)? {
            DecodeResult::NeedsData(ranges) => Ok(Step::Need(ranges)),
            DecodeResult::Finished => Ok(Step::Done),
            DecodeResult::Data(batch) => {
                let rows = rows(&batch, located, self.limits.utc_times, self.next_row)
                    .map_err(|error| ReadError::Decode(error.into()))?;
                self.next_row += batch.num_rows() as u64;
                Ok(Step::Rows(Box::new(rows)))
            }
        }
    }
}

/// Makes the decoder of the columns that are read, and locates them.
fn decoder(
    metadata: &Arc<ParquetMetaData>,
    columns: Columns,
    options: ReadOptions,
) -> Result<(ParquetPushDecoder, Located), ReadError> {
    let parquet_schema = metadata.file_metadata().schema_descr();
    // Types follow from the Parquet schema; the Arrow schema that some writers embed is ignored.
    let plain = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let mut arrow = ArrowReaderMetadata::try_new(Arc::clone(metadata), plain()).map_err(ReadError::Decode)?;
    if let Some(schema) = without_int96(arrow.schema(), parquet_schema) {
        let options = plain().with_schema(Arc::new(schema));
        arrow = ArrowReaderMetadata::try_new(Arc::clone(metadata), options).map_err(ReadError::Decode)?;
    }
    let outcome = if columns == Columns::Labelled { &schema::OUTCOME[..] } else { &[] };
    let wanted = [&schema::TRIP[..], outcome].concat();
    let located = locate(arrow.schema(), &wanted, options.utc_times)?;
    let roots: BTreeSet<usize> = located.columns.iter().flat_map(|(_, found)| found).copied().collect();
    options.check_groups(metadata, |leaf| roots.contains(&parquet_schema.get_column_root_idx(leaf)))?;
    let projection = ProjectionMask::roots(parquet_schema, roots.iter().copied());
    // Positions among the columns that are read.
    let position = |root: &usize| roots.iter().position(|read| read == root).unwrap_or_default();
    let among = |(column, found): &(Column, Vec<usize>)| (*column, found.iter().map(position).collect());
    let located = Located { columns: located.columns.iter().map(among).collect(), report: located.report };
    let decoder = ParquetPushDecoderBuilder::new_with_metadata(arrow)
        .with_projection(projection)
        .with_batch_size(ROWS_AT_ONCE)
        .build()
        .map_err(ReadError::Decode)?;
    Ok((decoder, located))
}

/// Returns the schema with microseconds for INT96 times: as nanoseconds, which is the default, years beyond 2262 would become others.
/// `None` if the file has none.
fn without_int96(arrow: &Schema, parquet: &SchemaDescriptor) -> Option<Schema> {
    let is_int96 = |root: usize| {
        let leaves = parquet.columns().iter().enumerate();
        let mut own = leaves.filter(|(leaf, _)| parquet.get_column_root_idx(*leaf) == root);
        own.next().is_some_and(|(_, column)| column.physical_type() == parquet::basic::Type::INT96)
    };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let field = |(root, field): (usize, &Arc<Field>)| match field.data_type() {
        DataType::Timestamp(..) if is_int96(root) => field.as_ref().clone().with_data_type(micros.clone()),
        _ => field.as_ref().clone(),
    };
    let fields: Vec<Field> = arrow.fields().iter().enumerate().map(field).collect();
    let differs = fields.iter().zip(arrow.fields()).any(|(new, old)| new != old.as_ref());
    differs.then(|| Schema::new(fields))
}

#[cfg(test)]
mod kinds;
#[cfg(test)]
mod tests;
