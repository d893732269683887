//! Writes predictions as a Parquet file, part by part. The same rows give the same bytes, on however many threads they were encoded.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::outcome::duration_min;
use model::prediction::Versions;
use model::{ModelVersion, Month, PredictionBatch, Trip, Zone};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;

use crate::reader::Rows;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("encoding {what} as parquet")]
pub struct WriteError {
    /// Content of the file.
    what: &'static str,
    /// The encoder's reason.
    #[source]
    source: ParquetError,
}

impl WriteError {
    pub(crate) fn while_doing(what: &'static str) -> impl Fn(ParquetError) -> Self {
        move |source| Self { what, source }
    }
    pub(crate) fn arrow(what: &'static str) -> impl Fn(arrow_schema::ArrowError) -> Self {
        move |source| Self { what, source: source.into() }
    }
}

const WHAT: &str = "predictions";

/// Writes predictions: `ride_id`, `pickup_datetime`, `PULocationID`, `DOLocationID`, `predicted_duration`, `lower`,
/// `upper` (minutes), `tip_probability`, `actual_duration`, `diff` (actual minus predicted), `flags` (what was
/// missing or unusual, comma-separated), `bundle`, `duration_version`, `tip_version` (null without a tip model).
pub struct PredictionsWriter {
    writer: SerializedFileWriter<Vec<u8>>,
    encoder: Arc<PredictionsEncoder>,
}

/// Encodes rows of the file that a [`PredictionsWriter`] writes. It is shared by the threads that predict, since encoding takes about as
/// long as scoring does.
#[derive(Debug)]
pub struct PredictionsEncoder {
    row_groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    ride_id_prefix: String,
    bundle: String,
    versions: Versions,
}

/// Returns what the ride ids of a file begin with: `folder`, which is empty or ends with a slash, and the month (`2021/03`) for a file with the
/// TLC's name for a month of `taxi`, or of any taxis if none are given; the name without `.parquet` for any other. No two files have a
/// prefix in common, as of two taxis or two halves of one month: a name that could be taken for that of another ends with a slash.
pub fn ride_id_prefix(folder: &str, file: &str, taxi: Option<&str>) -> String {
    let month = || -> Option<Month> {
        let (of_file, month) = file.strip_suffix(".parquet")?.split_once("_tripdata_")?;
        let is_taxi = !of_file.is_empty() && of_file.bytes().all(|letter| letter.is_ascii_lowercase());
        month.parse().ok().filter(|_| is_taxi && taxi.is_none_or(|taxi| taxi == of_file))
    };
    // `2021/03.parquet` is no month of the folder above it.
    let is_month = |name: &str| name.bytes().all(|letter| letter.is_ascii_digit());
    match (month(), file.strip_suffix(".parquet")) {
        (Some(month), _) => format!("{folder}{:04}/{:02}", month.year(), month.month()),
        (None, Some(name)) if !is_month(name) => format!("{folder}{name}"),
        (None, _) => format!("{folder}{file}/"),
    }
}

/// A row group that is encoded and not yet part of a file.
pub struct EncodedRows(Vec<ArrowColumnChunk>);

impl PredictionsWriter {
    /// Makes a writer for predictions of a file by the models `versions`, which form the bundle `bundle`. A ride id is `ride_id_prefix`
    /// and the row.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn new(ride_id_prefix: String, bundle: &str, versions: &Versions) -> Result<Self, WriteError> {
        let schema = Arc::new(Schema::new(columns().map(|(field, _)| field).to_vec()));
        // Hardly a value of these occurs twice, so that dictionaries of them would cost bytes and memory.
        let distinct = ["ride_id", "predicted_duration", "lower", "upper", "tip_probability", "diff"];
        // What is stated of pages stays in memory until the file ends, and a row group has hardly more than one a column.
        let whole_columns = properties()
            .into_builder()
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        let properties = distinct.iter().fold(whole_columns, |properties, column| {
            properties.set_column_dictionary_enabled((*column).into(), false)
        });
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties.build()))
            .map_err(WriteError::while_doing(WHAT))?;
        let (writer, row_groups) = writer.into_serialized_writer().map_err(WriteError::while_doing(WHAT))?;
        let (bundle, versions) = (bundle.into(), versions.clone());
        let encoder = PredictionsEncoder { row_groups, schema, ride_id_prefix, bundle, versions };
        Ok(Self { writer, encoder: Arc::new(encoder) })
    }

    /// Returns what encodes its rows.
    pub fn encoder(&self) -> Arc<PredictionsEncoder> {
        Arc::clone(&self.encoder)
    }

    /// Appends a row group.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append(&mut self, rows: EncodedRows) -> Result<(), WriteError> {
        let failed = WriteError::while_doing(WHAT);
        let mut group = self.writer.next_row_group().map_err(&failed)?;
        for column in rows.0 {
            column.append_to_row_group(&mut group).map_err(&failed)?;
        }
        group.close().map(drop).map_err(&failed)
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

impl PredictionsEncoder {
    /// Encodes rows with the predictions for their trips as one row group.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn encode(&self, rows: &Rows, predictions: &PredictionBatch) -> Result<EncodedRows, WriteError> {
        self.chunks(&Predicted { encoder: self, rows, predictions })
            .map(EncodedRows)
            .map_err(WriteError::while_doing(WHAT))
    }

    fn chunks(&self, predicted: &Predicted<'_>) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
        // The index matters to encryption alone.
        let mut writers = self.row_groups.create_column_writers(0)?.into_iter();
        let mut chunks = Vec::with_capacity(self.schema.fields().len());
        // One column after the other: all of them at once would be most of the memory that predicting takes.
        for (field, values) in columns() {
            for leaf in compute_leaves(&field, &values(predicted))? {
                let Some(mut writer) = writers.next() else { break };
                writer.write(&leaf)?;
                chunks.push(writer.close()?);
            }
        }
        Ok(chunks)
    }
}

/// Rows with their predictions, about to be encoded.
struct Predicted<'a> {
    encoder: &'a PredictionsEncoder,
    rows: &'a Rows,
    predictions: &'a PredictionBatch,
}

impl Predicted<'_> {
    fn minutes(&self) -> impl Iterator<Item = Option<f64>> {
        let trips = self.rows.trips.iter().zip(&self.rows.outcomes);
        trips.map(|(trip, outcome)| duration_min(trip.pickup, outcome.dropoff))
    }

    fn zones(&self, zone: fn(&Trip) -> Option<Zone>) -> ArrayRef {
        let ids = self.rows.trips.iter().map(|trip| zone(trip).map(|zone| i32::from(zone.id())));
        Arc::new(ids.collect::<Int32Array>())
    }

    fn same(&self, text: Option<&str>) -> ArrayRef {
        Arc::new(std::iter::repeat_n(text, self.rows.trips.len()).collect::<StringArray>())
    }
}

/// The values of a column.
type Values = fn(&Predicted<'_>) -> ArrayRef;

/// Returns the columns of the file, in order.
fn columns() -> [(Field, Values); 14] {
    let column = |name: &str, kind: DataType, nullable: bool, values: Values| {
        (Field::new(name, kind, nullable), values)
    };
    [
        column("ride_id", DataType::Utf8, false, |of| {
            let ids =
                of.rows.positions.iter().map(|row| Some(format!("{}_{row}", of.encoder.ride_id_prefix)));
            Arc::new(ids.collect::<StringArray>())
        }),
        column("pickup_datetime", DataType::Timestamp(TimeUnit::Microsecond, None), true, |of| {
            let pickups =
                of.rows.trips.iter().map(|trip| trip.pickup.map(|at| at.and_utc().timestamp_micros()));
            Arc::new(pickups.collect::<TimestampMicrosecondArray>())
        }),
        column("PULocationID", DataType::Int32, true, |of| of.zones(|trip| trip.pickup_zone)),
        column("DOLocationID", DataType::Int32, true, |of| of.zones(|trip| trip.dropoff_zone)),
        column("predicted_duration", DataType::Float64, false, |of| floats(&of.predictions.duration_min)),
        column("lower", DataType::Float64, false, |of| floats(&of.predictions.lower_min)),
        column("upper", DataType::Float64, false, |of| floats(&of.predictions.upper_min)),
        column("tip_probability", DataType::Float64, true, |of| match &of.predictions.tip_probability {
            Some(probabilities) => floats(probabilities),
            None => Arc::new(Float64Array::new_null(of.rows.trips.len())),
        }),
        column("actual_duration", DataType::Float64, true, |of| {
            Arc::new(of.minutes().collect::<Float64Array>())
        }),
        column("diff", DataType::Float64, true, |of| {
            let pairs = of.minutes().zip(&of.predictions.duration_min);
            Arc::new(pairs.map(|(actual, predicted)| Some(actual? - predicted)).collect::<Float64Array>())
        }),
        column("flags", DataType::Utf8, false, |of| {
            let flags = of.rows.trips.iter().map(|trip| Some(trip.flags().collect::<Vec<_>>().join(",")));
            Arc::new(flags.collect::<StringArray>())
        }),
        column("bundle", partition_type(), false, |of| {
            let bundles = std::iter::repeat_n(of.encoder.bundle.as_str(), of.rows.trips.len());
            Arc::new(bundles.collect::<DictionaryArray<Int32Type>>())
        }),
        column("duration_version", DataType::Utf8, false, |of| {
            of.same(Some(of.encoder.versions.duration.as_str()))
        }),
        column("tip_version", DataType::Utf8, true, |of| {
            of.same(of.encoder.versions.tip.as_ref().map(ModelVersion::as_str))
        }),
    ]
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values.iter().copied()))
}

/// Returns the type of a column that is also a partition in object keys: pyarrow reads partitions as dictionaries,
/// and refuses to merge a dictionary with a string column.
fn partition_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(crate) fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_max_row_group_row_count(Some(65_536))
        .set_created_by(concat!("tripcast ", env!("CARGO_PKG_VERSION")).into())
        .build()
}
