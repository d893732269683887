//! Makes the decoder of the columns that are read, and locates them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::SchemaDescriptor;

use crate::columns::{Located, locate};
use crate::guard::UtcTimes;
use crate::reader::{Columns, ReadError};
use crate::schema::{self, Column};

/// Rows that are decoded at once.
pub(crate) const ROWS_AT_ONCE: usize = 4_096;

/// What is read of a file.
pub(crate) struct ReadPlan {
    arrow: ArrowReaderMetadata,
    metadata: Arc<ParquetMetaData>,
    /// Root columns that are read.
    roots: BTreeSet<usize>,
    located: Located,
}

impl ReadPlan {
    /// Locates the columns in a file.
    ///
    /// # Errors
    /// [`ReadError::Decode`] for a schema that Arrow does not have, and errors of columns.
    pub(crate) fn new(
        metadata: &Arc<ParquetMetaData>,
        columns: Columns,
        utc_times: UtcTimes,
    ) -> Result<Self, ReadError> {
        let parquet_schema = metadata.file_metadata().schema_descr();
        // Types follow from the Parquet schema; the Arrow schema that some writers embed is ignored.
        let plain = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let mut arrow =
            ArrowReaderMetadata::try_new(Arc::clone(metadata), plain()).map_err(ReadError::Decode)?;
        if let Some(schema) = without_int96(arrow.schema(), parquet_schema) {
            let options = plain().with_schema(Arc::new(schema));
            arrow = ArrowReaderMetadata::try_new(Arc::clone(metadata), options).map_err(ReadError::Decode)?;
        }
        let outcome = if columns == Columns::Labelled { &schema::OUTCOME[..] } else { &[] };
        let wanted = [&schema::TRIP[..], outcome].concat();
        let located = locate(arrow.schema(), &wanted, utc_times)?;
        let roots: BTreeSet<usize> = located.columns.iter().flat_map(|(_, found)| found).copied().collect();
        // Positions among the columns that are read.
        let position = |root: &usize| roots.iter().position(|read| read == root).unwrap_or_default();
        let among = |(column, found): &(Column, Vec<usize>)| (*column, found.iter().map(position).collect());
        let located =
            Located { columns: located.columns.iter().map(among).collect(), report: located.report };
        Ok(Self { arrow, metadata: Arc::clone(metadata), roots, located })
    }

    /// Returns whether a leaf is read.
    pub(crate) fn reads(&self, leaf: usize) -> bool {
        let schema = self.metadata.file_metadata().schema_descr();
        self.roots.contains(&schema.get_column_root_idx(leaf))
    }

    /// Makes the decoder of all row groups, or of one.
    ///
    /// # Errors
    /// [`ReadError::Decode`].
    pub(crate) fn decoder(self, group: Option<usize>) -> Result<(ParquetPushDecoder, Located), ReadError> {
        let schema = self.metadata.file_metadata().schema_descr();
        let projection = ProjectionMask::roots(schema, self.roots.iter().copied());
        let mut decoder = ParquetPushDecoderBuilder::new_with_metadata(self.arrow)
            .with_projection(projection)
            .with_batch_size(ROWS_AT_ONCE);
        if let Some(group) = group {
            decoder = decoder.with_row_groups(vec![group]);
        }
        Ok((decoder.build().map_err(ReadError::Decode)?, self.located))
    }
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
