//! Writes rejected rows as a Parquet file for the quarantine.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::predictions::{WriteError, properties};
use crate::reader::RejectedRow;

const WHAT: &str = "rejected rows";

/// Encodes a file with `row` (0-based position in the source file), `reason` and `detail` of each rejected row.
pub struct RejectedWriter {
    writer: ArrowWriter<Vec<u8>>,
    schema: Arc<Schema>,
}

impl RejectedWriter {
    /// Makes a writer of a file without rows.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn new() -> Result<Self, WriteError> {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let columns = vec![Field::new("row", DataType::Int64, false), text("reason"), text("detail")];
        let schema = Arc::new(Schema::new(columns));
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties()))
            .map_err(WriteError::while_doing(WHAT))?;
        Ok(Self { writer, schema })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append(&mut self, rejected: &[RejectedRow]) -> Result<(), WriteError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rejected.iter().map(|row| Some(row.row as i64)).collect::<Int64Array>()),
            Arc::new(rejected.iter().map(|row| Some(row.rejection.reason.code())).collect::<StringArray>()),
            Arc::new(rejected.iter().map(|row| Some(row.rejection.detail.as_str())).collect::<StringArray>()),
        ];
        let batch =
            RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(WriteError::arrow(WHAT))?;
        self.writer.write(&batch).map_err(WriteError::while_doing(WHAT))
    }

    /// Takes the bytes that have been encoded since the last call: whole row groups, in order.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Finishes the file and returns the bytes that have not been taken yet.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(&mut self) -> Result<Vec<u8>, WriteError> {
        self.writer.finish().map_err(WriteError::while_doing(WHAT))?;
        Ok(self.take())
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use bytes::Bytes;
    use model::rejection::{Reason, Rejection};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn rejected_rows_come_back_in_their_order() {
        let mut writer = RejectedWriter::new().unwrap();
        let mut bytes = Vec::new();
        for batch in [0..70_000, 70_000..70_001, 70_001..140_000] {
            let rejection = || Rejection::new(Reason::MissingPickupZone, "PULocationID");
            let rows: Vec<RejectedRow> =
                batch.map(|row| RejectedRow { row, rejection: rejection() }).collect();
            writer.append(&rows).unwrap();
            bytes.append(&mut writer.take());
        }
        bytes.append(&mut writer.finish().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap();
        let mut next = 0;
        for batch in reader.map(Result::unwrap) {
            let rows = batch.column_by_name("row").unwrap().as_primitive::<Int64Type>();
            assert!(rows.values().iter().all(|row| std::mem::replace(&mut next, row + 1) == *row));
            let reasons = batch.column_by_name("reason").unwrap().as_string::<i32>();
            assert!(reasons.iter().all(|reason| reason == Some("missing_pickup_zone")));
        }
        assert_eq!(next, 140_000);
    }
}
