//! Writes trips as a Parquet file in the TLC's green schema, for the generator of synthetic months.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema};
use chrono::NaiveDateTime;
use model::{Outcome, Trip, Zone};
use parquet::arrow::ArrowWriter;

use crate::predictions::{WriteError, properties};

const WHAT: &str = "trips";

/// Encodes `trips` with their `outcomes`, in the columns and physical types that the TLC has written since 2023-02.
///
/// # Errors
/// [`WriteError`].
pub fn to_parquet(trips: &[Trip], outcomes: &[Outcome]) -> Result<Vec<u8>, WriteError> {
    let named: [(&str, ArrayRef); 12] = [
        ("VendorID", whole(trips.iter().map(|trip| trip.vendor))),
        ("lpep_pickup_datetime", times(trips.iter().map(|trip| trip.pickup))),
        ("lpep_dropoff_datetime", times(outcomes.iter().map(|outcome| outcome.dropoff))),
        ("RatecodeID", codes(trips.iter().map(|trip| trip.rate_code))),
        ("PULocationID", zones(trips.iter().map(|trip| trip.pickup_zone))),
        ("DOLocationID", zones(trips.iter().map(|trip| trip.dropoff_zone))),
        ("passenger_count", codes(trips.iter().map(|trip| trip.passengers))),
        ("trip_distance", numbers(trips.iter().map(|trip| trip.distance_miles))),
        ("fare_amount", numbers(outcomes.iter().map(|outcome| outcome.fare_amount))),
        ("tip_amount", numbers(outcomes.iter().map(|outcome| outcome.tip_amount))),
        ("payment_type", codes(outcomes.iter().map(|outcome| outcome.payment_type))),
        ("trip_type", codes(trips.iter().map(|trip| trip.trip_type))),
    ];
    let fields = named.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = named.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(schema), columns).map_err(WriteError::arrow(WHAT))?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties()))
        .map_err(WriteError::while_doing(WHAT))?;
    writer.write(&batch).map_err(WriteError::while_doing(WHAT))?;
    writer.into_inner().map_err(WriteError::while_doing(WHAT))
}

fn codes(values: impl Iterator<Item = Option<u8>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(i64::from)).collect::<Int64Array>())
}

fn whole(values: impl Iterator<Item = Option<u8>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(i32::from)).collect::<Int32Array>())
}

/// A zone that is not valid is written as 0, because readers would reject the row if it were missing.
fn zones(zones: impl Iterator<Item = Option<Zone>>) -> ArrayRef {
    Arc::new(zones.map(|zone| Some(zone.map_or(0, |zone| i32::from(zone.id())))).collect::<Int32Array>())
}

fn times(times: impl Iterator<Item = Option<NaiveDateTime>>) -> ArrayRef {
    let micros = times.map(|at| at.map(|at| at.and_utc().timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>())
}

fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}
