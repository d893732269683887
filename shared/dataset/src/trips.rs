//! Writes trips as a Parquet file in the TLC's green schema, for the generator of synthetic months.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema};
use chrono::NaiveDateTime;
use model::{OutcomeBatch, TripBatch, Zone};
use parquet::arrow::ArrowWriter;

use crate::predictions::{WriteError, properties};

const WHAT: &str = "trips";

/// Encodes `trips` with their `outcomes`, in the columns and physical types that the TLC has written since 2023-02.
///
/// # Errors
/// [`WriteError`].
pub fn to_parquet(trips: &TripBatch, outcomes: &OutcomeBatch) -> Result<Vec<u8>, WriteError> {
    let codes = |values: &[Option<u8>]| -> ArrayRef {
        Arc::new(values.iter().map(|value| value.map(i64::from)).collect::<Int64Array>())
    };
    let zones = |zones: &[Option<Zone>]| -> ArrayRef {
        // A zone that is not valid is written as 0, because readers would reject the row if it were missing.
        Arc::new(
            zones
                .iter()
                .map(|zone| Some(zone.map_or(0, |zone| i32::from(zone.id()))))
                .collect::<Int32Array>(),
        )
    };
    let times = |times: &[Option<NaiveDateTime>]| -> ArrayRef {
        let micros = times.iter().map(|at| at.map(|at| at.and_utc().timestamp_micros()));
        Arc::new(micros.collect::<TimestampMicrosecondArray>())
    };
    let numbers =
        |values: &[Option<f64>]| -> ArrayRef { Arc::new(values.iter().copied().collect::<Float64Array>()) };
    let vendors = trips.vendor.iter().map(|vendor| vendor.map(i32::from)).collect::<Int32Array>();
    let named: [(&str, ArrayRef); 12] = [
        ("VendorID", Arc::new(vendors)),
        ("lpep_pickup_datetime", times(&trips.pickup)),
        ("lpep_dropoff_datetime", times(&outcomes.dropoff)),
        ("RatecodeID", codes(&trips.rate_code)),
        ("PULocationID", zones(&trips.pickup_zone)),
        ("DOLocationID", zones(&trips.dropoff_zone)),
        ("passenger_count", codes(&trips.passengers)),
        ("trip_distance", numbers(&trips.distance_miles)),
        ("fare_amount", numbers(&outcomes.fare_amount)),
        ("tip_amount", numbers(&outcomes.tip_amount)),
        ("payment_type", codes(&outcomes.payment_type)),
        ("trip_type", codes(&trips.trip_type)),
    ];
    let fields = named.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = named.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(schema), columns).map_err(WriteError::arrow(WHAT))?;
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties())).map_err(WriteError::of(WHAT))?;
    writer.write(&batch).map_err(WriteError::of(WHAT))?;
    writer.into_inner().map_err(WriteError::of(WHAT))
}
