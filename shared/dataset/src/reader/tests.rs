use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, LargeStringArray, NullArray, TimestampMicrosecondArray,
};
use model::features::FeatureRows;
use model::request::local_time;
use model::{TripRequest, features};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::*;
use crate::{read_all, rows_of, summary_of};
use arrow_array::RecordBatch;
use model::LabelledTrips;
use model::{Reason, Zone};

/// Encodes a file with these columns.
pub(super) fn parquet(
    columns: Vec<(&str, ArrayRef)>,
    compression: Compression,
    rows_a_group: usize,
) -> Bytes {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(rows_a_group))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

pub(super) fn int32(values: Vec<Option<i32>>) -> ArrayRef {
    Arc::new(Int32Array::from(values))
}
fn int64(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}
pub(super) fn double(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}
pub(super) fn micros(values: &[&str]) -> ArrayRef {
    let micros = values.iter().map(|at| local_time(at).map(|at| at.and_utc().timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>())
}

fn read(file: &Bytes) -> Result<LabelledTrips, ReadError> {
    read_all(file, None, ReadOptions::default()).map(|(trips, _)| trips)
}

#[test]
fn the_tlc_s_physical_types_mean_the_same_trips() {
    let (from, to) =
        (&["2021-01-01 00:15:56", "2021-01-01 01:00:00"], &["2021-01-01 00:19:52", "2021-01-01 01:10:00"]);
    let before_2023 = parquet(
        vec![
            ("VendorID", int64(vec![Some(2), Some(1)])),
            ("lpep_pickup_datetime", micros(from)),
            ("lpep_dropoff_datetime", micros(to)),
            ("PULocationID", int64(vec![Some(43), Some(166)])),
            ("DOLocationID", int64(vec![Some(151), Some(239)])),
            ("passenger_count", double(vec![Some(1.0), None])),
            ("trip_distance", double(vec![Some(1.01), Some(2.53)])),
            ("payment_type", double(vec![Some(2.0), None])),
        ],
        Compression::GZIP(Default::default()),
        1000,
    );
    // Columns in another order, narrower types, text types in columns that are not read, and one row per row group.
    let since_2023 = parquet(
        vec![
            ("ehail_fee", Arc::new(NullArray::new(2))),
            ("trip_distance", double(vec![Some(1.01), Some(2.53)])),
            ("passenger_count", int64(vec![Some(1), None])),
            ("payment_type", int64(vec![Some(2), None])),
            ("store_and_fwd_flag", Arc::new(LargeStringArray::from(vec!["N", "Y"]))),
            ("DOLocationID", int32(vec![Some(151), Some(239)])),
            ("PULocationID", int32(vec![Some(43), Some(166)])),
            ("tpep_dropoff_datetime", micros(to)),
            ("tpep_pickup_datetime", micros(from)),
            ("VendorID", int32(vec![Some(2), Some(1)])),
        ],
        Compression::ZSTD(Default::default()),
        1,
    );
    let (one, other) = (read(&before_2023).unwrap(), read(&since_2023).unwrap());
    assert_eq!(one, other);
    assert_eq!([0, 1].map(|row: usize| one.trips[row].passengers), [Some(1), None]);
    assert_eq!([0, 1].map(|row: usize| one.outcomes[row].payment_type), [Some(2), None]);
    let minutes = one.label(model::Target::Duration, 0).unwrap();
    assert!((minutes - 3.0 - 56.0 / 60.0).abs() < 1e-12);
}

#[test]
fn rows_that_say_nothing_are_rejected_and_odd_ones_are_not() {
    let file = parquet(
        vec![
            ("PULocationID", double(vec![Some(1.0), None, Some(1.5), Some(999.0), Some(-1.0)])),
            ("DOLocationID", double(vec![None, Some(1.0), Some(1.0), Some(1.0), Some(264.0)])),
        ],
        Compression::SNAPPY,
        1000,
    );
    let rows = rows_of(&file, Columns::Trips, ReadOptions::default()).unwrap().next().unwrap().unwrap();
    let reasons: Vec<_> = rows.rejected.iter().map(|row| (row.row, row.rejection.reason)).collect();
    assert_eq!(
        reasons,
        [(0, Reason::MissingDropoffZone), (1, Reason::MissingPickupZone), (2, Reason::InvalidZone)]
    );
    assert_eq!(rows.positions, [3, 4]);
    assert_eq!(
        rows.trips[0].flags().collect::<Vec<_>>(),
        ["unknown_pickup_zone", "no_pickup_time", "no_distance"]
    );
    assert_eq!(summary_of(&file, ReadOptions::default()).unwrap().rows, 5);
}

#[test]
fn small_row_groups_are_gathered_into_batches() {
    let batches = |rows_a_group| -> Vec<Rows> {
        let zones = || int32((0..150_000).map(|row| (row % 1_000 != 0).then_some(row % 263 + 1)).collect());
        let columns = vec![("PULocationID", zones()), ("DOLocationID", zones())];
        let file = parquet(columns, Compression::UNCOMPRESSED, rows_a_group);
        rows_of(&file, Columns::Trips, ReadOptions::default()).unwrap().map(Result::unwrap).collect()
    };
    for (batches, expected) in [(batches(1 << 20), 10), (batches(700), 12)] {
        assert!(batches.iter().all(|rows| rows.len() <= ROWS_MAX));
        let positions: Vec<u64> = batches.iter().flat_map(|rows| rows.positions.clone()).collect();
        assert!(positions.is_sorted() && positions.len() == 149_850);
        assert_eq!(batches.len(), expected);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let only_one = parquet(vec![("PULocationID", int32(vec![Some(1)]))], Compression::SNAPPY, 9);
    let truths: ArrayRef = Arc::new(arrow_array::BooleanArray::from(vec![true]));
    let no_zone = parquet(
        vec![("PULocationID", truths), ("DOLocationID", int32(vec![Some(1)]))],
        Compression::SNAPPY,
        9,
    );
    let encrypted = Bytes::from_static(b"PARE....\x01\0\0\0PARE");
    let no_magic = Bytes::from_static(b"PAR1 and then nothing that ends alike");
    let forged_footer = Bytes::from_static(b"PAR1....\xff\xff\xff\x7fPAR1");
    for (file, kind, detail) in [
        (Bytes::from_static(b"x"), "Dataset.NotParquet", "expected a footer"),
        (no_magic, "Dataset.NotParquet", "PAR1"),
        (forged_footer, "Dataset.Limit", "2147483647 bytes of footer"),
        (only_one, "Dataset.MissingColumn", "no column DOLocationID; its columns are: PULocationID"),
        (no_zone, "Dataset.ColumnType", "column PULocationID has type Boolean"),
        (encrypted, "Dataset.Encrypted", "the file is encrypted"),
    ] {
        let error = read(&file).unwrap_err();
        assert_eq!(error.error_type(), kind);
        assert!(error.to_string().contains(detail), "{error} should say {detail:?}");
    }
}

#[test]
fn limits_hold_before_anything_is_decoded() {
    let file = parquet(
        vec![("PULocationID", int32(vec![Some(1); 50])), ("DOLocationID", int32(vec![Some(1); 50]))],
        Compression::SNAPPY,
        10,
    );
    let limits = ReadOptions::default();
    for (limits, what) in [
        (ReadOptions { file_bytes: 100, ..limits }, "bytes"),
        (ReadOptions { footer_bytes: 10, ..limits }, "bytes of footer"),
        (ReadOptions { rows: 49, ..limits }, "rows"),
        (ReadOptions { row_groups: 4, ..limits }, "row groups"),
        (ReadOptions { columns: 1, ..limits }, "columns"),
        (ReadOptions { group_bytes: 10, ..limits }, "decoded bytes in a row group"),
    ] {
        match read_all(&file, None, limits) {
            Err(ReadError::Limit { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(read(&file).unwrap().trips.len(), 50);
}

/// Generates trips as JSON, with values that a file can hold too.
fn any_trip() -> impl Strategy<Value = serde_json::Value> {
    let code = || prop::option::weighted(0.8, 0u8..10);
    let miles = prop::option::weighted(0.9, prop_oneof![-1.0..30.0f64, Just(0.0), 90.0..1e6]);
    let time = prop::option::weighted(0.9, 1_500_000_000i64..1_700_000_000);
    (0u16..300, 0u16..300, time, miles, code(), code(), code(), code()).prop_map(
        |(from, to, time, miles, p, r, t, v)| {
            let at = time.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
            serde_json::json!({"PULocationID": from, "DOLocationID": to, "trip_distance": miles,
            "pickup_datetime": at.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string()),
            "passenger_count": p, "RatecodeID": r, "trip_type": t, "VendorID": v})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Sends a ride as a message and stores it in a file: both give the same features, bit for bit.
    #[test]
    fn a_trip_has_the_same_features_by_message_and_by_file(rides in prop::collection::vec(any_trip(), 1..20)) {
        let parsed = rides.iter().map(|ride| {
            let body = serde_json::json!({"ride_id": 1, "ride": ride}).to_string();
            TripRequest::decode(&body).unwrap().parse().unwrap().trip
        });
        let by_message: Vec<Trip> = parsed.collect();
        let mut outcomes = Vec::new();
        (0..by_message.len()).for_each(|_| outcomes.push(Outcome::default()));
        let file = Bytes::from(crate::trips::to_parquet(&by_message, &outcomes).unwrap());
        let by_file = read(&file).unwrap().trips;
        let bits = |trips: &[Trip]| FeatureRows::from_trips(trips).values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&by_message).len(), rides.len() * features::NAMES.len());
        prop_assert_eq!(bits(&by_message), bits(&by_file));
        prop_assert_eq!(by_message, by_file);
    }

    /// Changes one byte of a file: reading ends with rows or with an error.
    #[test]
    fn a_damaged_byte_never_takes_the_reader_down(at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let trips: Vec<Trip> = (0..30).map(|row| Trip { pickup_zone: Zone::new(row), ..Trip::default() }).collect();
        let mut outcomes = Vec::new();
        (0..30).for_each(|_| outcomes.push(Outcome::default()));
        let mut file = crate::trips::to_parquet(&trips, &outcomes).unwrap();
        let at = at.index(file.len());
        file[at] ^= flip;
        let limits = ReadOptions { group_bytes: 1 << 20, ..ReadOptions::default() };
        match read_all(&Bytes::from(file), None, limits) {
            Ok((read, _)) => prop_assert!(read.trips.len() <= 30),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn predictions_are_written_alike_and_completely() {
    let rows = Rows {
        trips: [Trip {
            pickup_zone: Zone::new(7),
            pickup: local_time("2021-03-01 10:00:00"),
            ..Trip::default()
        }]
        .into_iter()
        .collect(),
        outcomes: {
            let outcomes = vec![Outcome { dropoff: local_time("2021-03-01 10:12:00"), ..Outcome::default() }];
            outcomes
        },
        positions: vec![4],
        rejected: vec![],
    };
    let predicted = model::PredictionBatch {
        duration_min: vec![10.0],
        lower_min: vec![5.0],
        upper_min: vec![15.0],
        tip_probability: None,
    };
    let versions = model::prediction::Versions { duration: "9f3c1a7be2d0".parse().unwrap(), tip: None };
    let write = || {
        let mut writer = crate::PredictionsWriter::new("2021/03".into(), "0123456789ab", &versions).unwrap();
        writer.append(writer.encoder().encode(&rows, &predicted).unwrap()).unwrap();
        let mut bytes = writer.take();
        bytes.extend(writer.finish().unwrap());
        Bytes::from(bytes)
    };
    assert_eq!(write(), write());
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(write()).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    use arrow_array::cast::AsArray;
    assert_eq!(batch.column_by_name("ride_id").unwrap().as_string::<i32>().value(0), "2021/03_4");
    let bundle = batch.column_by_name("bundle").unwrap().as_dictionary::<arrow_array::types::Int32Type>();
    assert_eq!(bundle.values().as_string::<i32>().value(0), "0123456789ab");
    let version = batch.column_by_name("duration_version").unwrap();
    assert_eq!(version.as_string::<i32>().value(0), "9f3c1a7be2d0");
    assert_eq!(batch.column_by_name("tip_version").unwrap().null_count(), 1, "there is no tip model");
    let diff = batch.column_by_name("diff").unwrap();
    assert_eq!(diff.as_primitive::<arrow_array::types::Float64Type>().value(0), 2.0);
    assert_eq!(
        batch.column_by_name("flags").unwrap().as_string::<i32>().value(0),
        "unknown_dropoff_zone,no_distance"
    );
}
