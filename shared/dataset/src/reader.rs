//! A file of trips, row group by row group, only the columns that mean something. Sans I/O: the reader says which
//! bytes it needs and the caller brings them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use bytes::Bytes;
use model::request::{code, zone_from};
use model::{LabelledTrips, Month, Outcome, Reason, Rejection, Trip, Zone};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use crate::guard::Limits;
use crate::schema::{self, Column, numbers, times};

/// How much of a file's end is asked for first: it holds the footer of every TLC month.
const TAIL_BYTES: u64 = 64 << 10;
const ROWS_AT_ONCE: usize = 16_384;

/// Why a file as a whole cannot be read. Never transient: the same bytes fail again.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Other bytes than a Parquet file's.
    #[error("not a readable parquet file: {detail}")]
    NotParquet {
        /// What was expected.
        detail: String,
    },
    /// More than is read.
    #[error("the file has {found} {what}: at most {limit} are read")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much it states.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// A file without a zone column says nothing.
    #[error("the file has no column {name}; its columns are: {found}")]
    MissingColumn {
        /// The column's usual name.
        name: &'static str,
        /// The columns it has.
        found: String,
    },
    /// A column of a type that cannot be meant.
    #[error("column {name} has type {found}: expected {expected}")]
    ColumnType {
        /// The column.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// The bytes are damaged.
    #[error("decoding the parquet file")]
    Decode(#[source] ParquetError),
    /// The decoder gave up on bytes that it did not foresee.
    #[error("decoding the parquet file: the decoder panicked: {detail}")]
    Panicked {
        /// What it said.
        detail: String,
    },
}

impl ReadError {
    pub(crate) fn column_type(name: &'static str, expected: &'static str, found: &DataType) -> Self {
        Self::ColumnType { name, expected, found: found.to_string() }
    }

    /// A stable name for logs and reason files.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::NotParquet { .. } => "Dataset.NotParquet",
            Self::Limit { .. } => "Dataset.Limit",
            Self::MissingColumn { .. } => "Dataset.MissingColumn",
            Self::ColumnType { .. } => "Dataset.ColumnType",
            Self::Decode(_) => "Dataset.Decode",
            Self::Panicked { .. } => "Dataset.Panicked",
        }
    }
}

/// Which columns are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// What is known before a trip.
    Trips,
    /// And what became of it.
    Labelled,
}

/// A row that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// 0-based position in the file.
    pub row: u64,
    /// Why.
    pub rejection: Rejection,
}

/// Some rows of a file, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// The trips that can be predicted.
    pub trips: Vec<Trip>,
    /// What became of each; all missing unless asked for.
    pub outcomes: Vec<Outcome>,
    /// 0-based position of each in the file.
    pub positions: Vec<u64>,
    /// The rows that say nothing.
    pub rejected: Vec<RejectedRow>,
}

/// What the reader does next.
#[derive(Debug)]
pub enum Step {
    /// It needs these bytes: pass them to [`TripReader::supply`], then step again.
    Need(Vec<Range<u64>>),
    /// The next rows.
    Rows(Box<Rows>),
    /// There are no more.
    Done,
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// Rows, as the footer states them.
    pub rows: u64,
    /// Row groups.
    pub row_groups: u64,
    /// Names and types of all columns, as written.
    pub columns: Vec<(String, String)>,
}

/// Reads one file of `file_bytes` bytes.
pub struct TripReader {
    file_bytes: u64,
    columns: Columns,
    limits: Limits,
    next_row: u64,
    begun: bool,
    state: State,
}

enum State {
    Footer(ParquetMetaDataPushDecoder),
    Start(Arc<ParquetMetaData>),
    Rows { metadata: Arc<ParquetMetaData>, decoder: Box<ParquetPushDecoder> },
}

impl TripReader {
    /// A reader of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// [`ReadError::Limit`] or [`ReadError::NotParquet`] if its size alone forbids reading.
    pub fn new(file_bytes: u64, columns: Columns, limits: Limits) -> Result<Self, ReadError> {
        limits.check_file(file_bytes)?;
        if file_bytes < 12 {
            let detail = format!("expected a footer, found {file_bytes} bytes in all");
            return Err(ReadError::NotParquet { detail });
        }
        // Page indexes are not used, and their places in the footer would be followed before any guard sees them.
        let footer = ParquetMetaDataPushDecoder::try_new(file_bytes).map_err(ReadError::Decode)?;
        let footer = footer.with_page_index_policy(PageIndexPolicy::Skip);
        Ok(Self { file_bytes, columns, limits, next_row: 0, begun: false, state: State::Footer(footer) })
    }

    /// The bytes to bring before the first step, the end of the file; none once they were brought.
    pub fn first_need(&self) -> Option<Range<u64>> {
        let tail = self.file_bytes.saturating_sub(TAIL_BYTES)..self.file_bytes;
        (matches!(self.state, State::Footer(_)) && !self.begun).then_some(tail)
    }

    /// Takes the bytes of `range`.
    ///
    /// # Errors
    /// [`ReadError::NotParquet`] for an end that is no footer's; [`ReadError::Decode`] for a range that was not asked
    /// for.
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

    /// What the file says of itself, once the footer is read.
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

    /// Goes on as far as the bytes at hand allow.
    ///
    /// # Errors
    /// See [`ReadError`]; the file is then given up as a whole.
    pub fn step(&mut self) -> Result<Step, ReadError> {
        // The decoder panics on some damaged files; a bad file must not take the others with it.
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
            self.state = State::Rows { decoder: Box::new(decoder(&metadata, self.columns)?), metadata };
        }
        let State::Rows { decoder, .. } = &mut self.state else { return Ok(Step::Done) };
        match decoder.try_decode().map_err(ReadError::Decode)? {
            DecodeResult::NeedsData(ranges) => Ok(Step::Need(ranges)),
            DecodeResult::Finished => Ok(Step::Done),
            DecodeResult::Data(batch) => {
                let rows = rows(&batch, self.next_row)?;
                self.next_row += batch.num_rows() as u64;
                Ok(Step::Rows(Box::new(rows)))
            }
        }
    }
}

fn decoder(metadata: &Arc<ParquetMetaData>, columns: Columns) -> Result<ParquetPushDecoder, ReadError> {
    let parquet_schema = metadata.file_metadata().schema_descr();
    let has = |name: &str| parquet_schema.columns().iter().any(|column| column.path().string() == name);
    let mut wanted: Vec<&str> = Vec::new();
    let outcome = if columns == Columns::Labelled { &schema::OUTCOME[..] } else { &[] };
    for column in schema::TRIP.iter().chain(outcome) {
        match column.found(has) {
            Some(name) => wanted.push(name),
            None if column.required => return Err(missing(*column, metadata)),
            None => (),
        }
    }
    let projection = ProjectionMask::columns(parquet_schema, wanted);
    // The Arrow schema that some writers embed is theirs, not ours: types follow from Parquet's own.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata), options).map_err(ReadError::Decode)?;
    ParquetPushDecoderBuilder::new_with_metadata(metadata)
        .with_projection(projection)
        .with_batch_size(ROWS_AT_ONCE)
        .build()
        .map_err(ReadError::Decode)
}

fn missing(column: Column, metadata: &ParquetMetaData) -> ReadError {
    let names = metadata.file_metadata().schema_descr().columns().iter().map(|column| column.path().string());
    ReadError::MissingColumn { name: column.names[0], found: names.collect::<Vec<_>>().join(", ") }
}

fn rows(batch: &RecordBatch, first_row: u64) -> Result<Rows, ReadError> {
    let number = |column| numbers(batch, column);
    let (pickup_zones, dropoff_zones) = (number(schema::PICKUP_ZONE)?, number(schema::DROPOFF_ZONE)?);
    let (pickups, dropoffs) = (times(batch, schema::PICKUP)?, times(batch, schema::DROPOFF)?);
    let (distances, passengers) = (number(schema::DISTANCE)?, number(schema::PASSENGERS)?);
    let (rate_codes, trip_types) = (number(schema::RATE_CODE)?, number(schema::TRIP_TYPE)?);
    let (vendors, tips) = (number(schema::VENDOR)?, number(schema::TIP_AMOUNT)?);
    let (fares, payments) = (number(schema::FARE_AMOUNT)?, number(schema::PAYMENT_TYPE)?);
    let mut rows = Rows::default();
    for row in 0..batch.num_rows() {
        let position = first_row + row as u64;
        let zones = zone("PULocationID", pickup_zones[row], Reason::MissingPickupZone).and_then(|from| {
            Ok((from, zone("DOLocationID", dropoff_zones[row], Reason::MissingDropoffZone)?))
        });
        match zones {
            Err(rejection) => rows.rejected.push(RejectedRow { row: position, rejection }),
            Ok((pickup_zone, dropoff_zone)) => {
                rows.positions.push(position);
                rows.trips.push(Trip {
                    pickup_zone,
                    dropoff_zone,
                    pickup: pickups[row],
                    distance_miles: distances[row],
                    passengers: passengers[row].and_then(code),
                    rate_code: rate_codes[row].and_then(code),
                    trip_type: trip_types[row].and_then(code),
                    vendor: vendors[row].and_then(code),
                });
                rows.outcomes.push(Outcome {
                    dropoff: dropoffs[row],
                    tip_amount: tips[row],
                    fare_amount: fares[row],
                    payment_type: payments[row].and_then(code),
                });
            }
        }
    }
    Ok(rows)
}

/// The same acceptance as of a message: nothing stated is a rejection, a number that is no zone is missing.
fn zone(name: &str, stated: Option<f64>, missing: Reason) -> Result<Option<Zone>, Rejection> {
    match stated {
        None => Err(Rejection::new(missing, format!("{name}: expected a taxi zone, found nothing"))),
        Some(number) if number.fract() != 0.0 => Err(Rejection::new(
            Reason::InvalidZone,
            format!("{name}: expected a whole number, found {number}"),
        )),
        Some(number) => Ok(zone_from(number)),
    }
}

/// The rows of a file at hand, some at a time. Ends after the first error.
///
/// # Errors
/// [`ReadError`] if its size alone forbids reading; the iterator gives the others.
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

/// Reads all of a file at hand with its outcomes. `sha256` of the result is left empty for the caller, who knows it.
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

/// What a file at hand says of itself.
///
/// # Errors
/// See [`ReadError`].
pub fn summary_of(file: &Bytes, limits: Limits) -> Result<FileSummary, ReadError> {
    let mut reader = TripReader::new(file.len() as u64, Columns::Trips, limits)?;
    next_rows(&mut reader, file)?;
    reader.summary().ok_or_else(|| ReadError::NotParquet { detail: "it has no footer".into() })
}

#[cfg(test)]
mod tests;
