//! Writes rejected rows as a Parquet file for the quarantine.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::predictions::{WriteError, properties};
use crate::reader::RejectedRow;

const WHAT: &str = "rejected rows";

/// Encodes a file with `row` (0-based position in the source file), `reason` and `detail` of each rejected row.
///
/// # Errors
/// [`WriteError`].
pub fn to_parquet(rejected: &[RejectedRow]) -> Result<Vec<u8>, WriteError> {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let schema = Schema::new(vec![Field::new("row", DataType::Int64, false), text("reason"), text("detail")]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rejected.iter().map(|row| Some(row.row as i64)).collect::<Int64Array>()),
        Arc::new(rejected.iter().map(|row| Some(row.rejection.reason.code())).collect::<StringArray>()),
        Arc::new(rejected.iter().map(|row| Some(row.rejection.detail.as_str())).collect::<StringArray>()),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).map_err(WriteError::arrow(WHAT))?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties()))
        .map_err(WriteError::while_doing(WHAT))?;
    writer.write(&batch).map_err(WriteError::while_doing(WHAT))?;
    writer.into_inner().map_err(WriteError::while_doing(WHAT))
}
