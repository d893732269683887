//! Values of a column as the logical schema has them, whatever their physical type.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use chrono::{DateTime, NaiveDateTime};
use model::time::{local_time, new_york};

use crate::guard::UtcTimes;

/// One value of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<T> {
    /// Null, NaN or an empty text.
    Missing,
    /// A value that can be used.
    Value(T),
    /// A value that cannot be used.
    Unusable,
}

impl<T> Cell<T> {
    fn from_option(value: Option<T>) -> Self {
        value.map_or(Self::Unusable, Self::Value)
    }

    /// Returns the value, if it can be used.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Unusable => None,
        }
    }
}

/// Returns whether [`numbers`] reads columns of this type.
pub(crate) fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, kind) => is_number(kind),
        kind => kind.is_numeric() || is_text(kind) || *kind == DataType::Null,
    }
}

/// Returns whether [`times`] reads columns of this type.
pub(crate) fn is_time(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, kind) => is_time(kind),
        kind => matches!(kind, DataType::Timestamp(..) | DataType::Null) || is_text(kind),
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Reads numbers: integers and decimals of any width, floats, and texts by the rules of messages.
///
/// # Errors
/// [`ArrowError`] for a type that [`is_number`] does not name.
pub(crate) fn numbers(array: &ArrayRef) -> Result<Vec<Cell<f64>>, ArrowError> {
    macro_rules! values {
        ($kind:ty) => {
            array
                .as_primitive::<$kind>()
                .iter()
                .map(|value| number(value.map(|value| value as f64)))
                .collect()
        };
    }
    Ok(match array.data_type() {
        DataType::Null => vec![Cell::Missing; array.len()],
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
        kind if is_text(kind) => texts(array, |text| match text.parse::<f64>() {
            Ok(value) => number(Some(value)),
            Err(_) => Cell::Unusable,
        })?,
        // Decimals and half floats by way of Arrow's own conversion; a dictionary by that of its values.
        DataType::Dictionary(_, kind) if is_number(kind) => numbers(&arrow_cast::cast(array, kind)?)?,
        _ => numbers(&arrow_cast::cast(array, &DataType::Float64)?)?,
    })
}

fn number(value: Option<f64>) -> Cell<f64> {
    match value {
        None => Cell::Missing,
        Some(value) if value.is_nan() => Cell::Missing,
        Some(value) => Cell::from_option(Some(value).filter(|value| value.is_finite())),
    }
}

fn texts<T>(array: &ArrayRef, read: impl Fn(&str) -> Cell<T>) -> Result<Vec<Cell<T>>, ArrowError> {
    let array = arrow_cast::cast(array, &DataType::LargeUtf8)?;
    let read = |text: Option<&str>| match text.map(str::trim) {
        None | Some("") => Cell::Missing,
        Some(text) => read(text),
    };
    Ok(array.as_string::<i64>().iter().map(read).collect())
}

/// Reads times as New York local times. Timestamps that are adjusted to UTC are instants, which are converted unless `utc` says that
/// their writer only labelled local times so. Texts are read by the rules of messages.
///
/// # Errors
/// [`ArrowError`] for a type that [`is_time`] does not name.
pub(crate) fn times(array: &ArrayRef, utc: UtcTimes) -> Result<Vec<Cell<NaiveDateTime>>, ArrowError> {
    let (unit, zone) = match array.data_type() {
        DataType::Null => return Ok(vec![Cell::Missing; array.len()]),
        DataType::Timestamp(unit, zone) => (unit, zone),
        kind if is_text(kind) => return texts(array, |text| Cell::from_option(local_time(text))),
        DataType::Dictionary(_, kind) => return times(&arrow_cast::cast(array, kind)?, utc),
        kind => return Err(ArrowError::CastError(format!("{kind} is no time"))),
    };
    let local = |at: DateTime<chrono::Utc>| match (zone, utc) {
        (Some(_), UtcTimes::Convert) => new_york(at.naive_utc()),
        _ => Some(at.naive_utc()),
    };
    macro_rules! values {
        ($kind:ty, $read:expr) => {
            array
                .as_primitive::<$kind>()
                .iter()
                .map(|value| match value {
                    None => Cell::Missing,
                    Some(value) => Cell::from_option($read(value).and_then(local)),
                })
                .collect()
        };
    }
    Ok(match unit {
        TimeUnit::Second => values!(TimestampSecondType, |at| DateTime::from_timestamp(at, 0)),
        TimeUnit::Millisecond => values!(TimestampMillisecondType, DateTime::from_timestamp_millis),
        TimeUnit::Microsecond => values!(TimestampMicrosecondType, DateTime::from_timestamp_micros),
        TimeUnit::Nanosecond => {
            values!(TimestampNanosecondType, |at| Some(DateTime::from_timestamp_nanos(at)))
        }
    })
}
