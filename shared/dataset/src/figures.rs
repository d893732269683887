//! Writes rows of figures as a Parquet file, which SQL engines read.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use chrono::{Datelike, NaiveDate};
use parquet::arrow::ArrowWriter;

use crate::predictions::{WriteError, properties};

const WHAT: &str = "figures";
/// Days from the first of January of the year 1 to that of 1970.
const DAYS_TO_1970: i32 = 719_163;

/// A figure of a day.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The day.
    pub day: NaiveDate,
    /// Where its rows come from.
    pub source: &'static str,
    /// What it belongs to, such as `performance`.
    pub signal: &'static str,
    /// Its name, such as `rmse_min`.
    pub name: String,
    /// The value; none if it could not be computed.
    pub value: Option<f64>,
    /// Rows that it was computed from.
    pub rows: u64,
}

/// Encodes a file with the columns `day`, `source`, `signal`, `name`, `value` and `rows`.
///
/// # Errors
/// [`WriteError`].
pub fn to_parquet(figures: &[Figure]) -> Result<Vec<u8>, WriteError> {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let schema = Schema::new(vec![
        Field::new("day", DataType::Date32, false),
        text("source"),
        text("signal"),
        text("name"),
        Field::new("value", DataType::Float64, true),
        Field::new("rows", DataType::Int64, false),
    ]);
    let day = |figure: &Figure| figure.day.num_days_from_ce() - DAYS_TO_1970;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(figures.iter().map(|figure| Some(day(figure))).collect::<Date32Array>()),
        Arc::new(figures.iter().map(|figure| Some(figure.source)).collect::<StringArray>()),
        Arc::new(figures.iter().map(|figure| Some(figure.signal)).collect::<StringArray>()),
        Arc::new(figures.iter().map(|figure| Some(figure.name.as_str())).collect::<StringArray>()),
        Arc::new(
            figures
                .iter()
                .map(|figure| figure.value.filter(|value| value.is_finite()))
                .collect::<Float64Array>(),
        ),
        Arc::new(figures.iter().map(|figure| Some(figure.rows as i64)).collect::<Int64Array>()),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).map_err(WriteError::arrow(WHAT))?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties()))
        .map_err(WriteError::while_doing(WHAT))?;
    writer.write(&batch).map_err(WriteError::while_doing(WHAT))?;
    writer.into_inner().map_err(WriteError::while_doing(WHAT))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Date32Type, Float64Type};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::*;

    #[test]
    fn figures_come_back_as_they_were() {
        let figure = |day: &str, value| Figure {
            day: day.parse().unwrap(),
            source: "batch",
            signal: "performance",
            name: "rmse_min".into(),
            value,
            rows: 1_834,
        };
        let figures = [figure("1970-01-02", Some(4.25)), figure("2025-02-05", Some(f64::NAN))];
        let bytes = Bytes::from(to_parquet(&figures).unwrap());
        let batch = ParquetRecordBatchReader::try_new(bytes, 10).unwrap().next().unwrap().unwrap();
        let days: Vec<i32> = batch.column(0).as_primitive::<Date32Type>().iter().flatten().collect();
        let values: Vec<Option<f64>> = batch.column(4).as_primitive::<Float64Type>().iter().collect();
        assert_eq!((days, values), (vec![1, 20_124], vec![Some(4.25), None]));
        assert_eq!(batch.column(3).as_string::<i32>().value(1), "rmse_min");
    }
}
