//! The logical schema: the TLC's columns by name, independent of their physical type, their order and other columns.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDateTime};

use crate::reader::ReadError;

/// A logical column, with the names that it has in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Names in files; the first one found is used.
    pub names: &'static [&'static str],
    /// Whether a file without the column is refused.
    pub required: bool,
}

const fn column(names: &'static [&'static str], required: bool) -> Column {
    Column { names, required }
}

/// Zone where the trip starts.
pub const PICKUP_ZONE: Column = column(&["PULocationID"], true);
/// Zone where the trip ends.
pub const DROPOFF_ZONE: Column = column(&["DOLocationID"], true);
/// Time when the trip starts, as named in green files, in yellow files and in the course.
pub const PICKUP: Column =
    column(&["lpep_pickup_datetime", "tpep_pickup_datetime", "pickup_datetime"], false);
/// Time when the trip ends.
pub const DROPOFF: Column =
    column(&["lpep_dropoff_datetime", "tpep_dropoff_datetime", "dropoff_datetime"], false);
/// Distance by the meter, miles.
pub const DISTANCE: Column = column(&["trip_distance"], false);
/// Number of passengers.
pub const PASSENGERS: Column = column(&["passenger_count"], false);
/// Rate code.
pub const RATE_CODE: Column = column(&["RatecodeID", "RateCodeID"], false);
/// Street hail or dispatch; only in green files.
pub const TRIP_TYPE: Column = column(&["trip_type"], false);
/// Technology provider.
pub const VENDOR: Column = column(&["VendorID"], false);
/// Tip, dollars.
pub const TIP_AMOUNT: Column = column(&["tip_amount"], false);
/// Fare by the meter, dollars.
pub const FARE_AMOUNT: Column = column(&["fare_amount"], false);
/// Code of the payment method.
pub const PAYMENT_TYPE: Column = column(&["payment_type"], false);

/// Columns that are known before a trip.
pub const TRIP: [Column; 8] =
    [PICKUP_ZONE, DROPOFF_ZONE, PICKUP, DISTANCE, PASSENGERS, RATE_CODE, TRIP_TYPE, VENDOR];
/// Columns that are known only after a trip.
pub const OUTCOME: [Column; 4] = [DROPOFF, TIP_AMOUNT, FARE_AMOUNT, PAYMENT_TYPE];

impl Column {
    /// Returns the column's name in a file, or `None` if the file lacks it; `names` tells whether a file has a name.
    pub fn found<'a>(&self, names: impl Fn(&str) -> bool) -> Option<&'a str> {
        self.names.iter().copied().find(|name| names(name))
    }
}

/// Returns the values of a logical column as numbers, without loss for every integer that the TLC writes. All values
/// are missing if the file lacks the column or its type is null.
pub(crate) fn numbers(batch: &RecordBatch, column: Column) -> Result<Vec<Option<f64>>, ReadError> {
    let Some((name, array)) = array(batch, column) else { return Ok(vec![None; batch.num_rows()]) };
    macro_rules! values {
        ($kind:ty) => {
            array.as_primitive::<$kind>().iter().map(|value| value.map(|value| value as f64)).collect()
        };
    }
    let values: Vec<Option<f64>> = match array.data_type() {
        DataType::Null => vec![None; array.len()],
        DataType::Int8 => values!(Int8Type),
        DataType::Int16 => values!(Int16Type),
        DataType::Int32 => values!(Int32Type),
        DataType::Int64 => values!(Int64Type),
        DataType::UInt8 => values!(UInt8Type),
        DataType::UInt16 => values!(UInt16Type),
        DataType::UInt32 => values!(UInt32Type),
        DataType::UInt64 => values!(UInt64Type),
        DataType::Float32 => values!(Float32Type),
        DataType::Float64 => values!(Float64Type),
        other => return Err(ReadError::column_type(name, "a number", other)),
    };
    Ok(values.into_iter().map(|value| value.filter(|value| !value.is_nan())).collect())
}

/// Returns the values of a logical column as New York local times.
pub(crate) fn times(batch: &RecordBatch, column: Column) -> Result<Vec<Option<NaiveDateTime>>, ReadError> {
    let Some((name, array)) = array(batch, column) else { return Ok(vec![None; batch.num_rows()]) };
    macro_rules! values {
        ($kind:ty, $read:expr) => {
            array.as_primitive::<$kind>().iter().map(|value| Some($read(value?)?.naive_utc())).collect()
        };
    }
    Ok(match array.data_type() {
        DataType::Null => vec![None; array.len()],
        DataType::Timestamp(TimeUnit::Second, None) => {
            values!(TimestampSecondType, |at| DateTime::from_timestamp(at, 0))
        }
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            values!(TimestampMillisecondType, DateTime::from_timestamp_millis)
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            values!(TimestampMicrosecondType, DateTime::from_timestamp_micros)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            values!(TimestampNanosecondType, |at| Some(DateTime::from_timestamp_nanos(at)))
        }
        other => return Err(ReadError::column_type(name, "a timestamp without time zone", other)),
    })
}

fn array(batch: &RecordBatch, column: Column) -> Option<(&'static str, &dyn Array)> {
    let name = column.found(|name| batch.column_by_name(name).is_some())?;
    Some((name, batch.column_by_name(name)?.as_ref()))
}
