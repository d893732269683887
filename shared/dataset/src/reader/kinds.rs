//! Files of the kinds that programs other than the TLC's write.

use std::collections::BTreeMap;

use arrow_array::types::Int8Type;
use arrow_array::{
    BooleanArray, Decimal128Array, DictionaryArray, Float16Array, Int32Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};

use super::tests::{double, int32, micros, parquet};
use super::*;
use crate::guard::UtcTimes;
use crate::read_all;
use arrow_array::ArrayRef;
use model::{Reason, Zone};

/// Encodes a file of two rows with zones and these columns.
fn file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
    let zones = |name| (name, int32(vec![Some(130), Some(74)]));
    let mut all = vec![zones("PULocationID"), zones("DOLocationID")];
    all.extend(columns);
    parquet(all, parquet::basic::Compression::SNAPPY, 9)
}

fn read(file: &Bytes) -> (Vec<Trip>, Vec<Outcome>, FileReport) {
    let (read, report) = read_all(file, None, ReadOptions::default()).unwrap();
    (read.trips, read.outcomes, report)
}

fn miles(file: &Bytes) -> [Option<f64>; 2] {
    let (trips, ..) = read(file);
    [0, 1].map(|row: usize| trips[row].distance_miles)
}

#[test]
fn numbers_of_every_type_are_the_same_numbers() {
    let decimals = Decimal128Array::from(vec![Some(366), None]).with_precision_and_scale(9, 2).unwrap();
    let halves = Float16Array::from(vec![Some(half::f16::from_f32(3.5)), None]);
    let dictionary: DictionaryArray<Int8Type> = vec![Some("3.66"), None].into_iter().collect();
    let texts = StringArray::from(vec![Some(" 3.66 "), Some("")]);
    let columns: [(ArrayRef, f64); 5] = [
        (Arc::new(decimals), 3.66),
        (Arc::new(halves), 3.5),
        (Arc::new(dictionary), 3.66),
        (Arc::new(texts), 3.66),
        (Arc::new(UInt64Array::from(vec![Some(4), None])), 4.0),
    ];
    for (column, expected) in columns {
        let kind = column.data_type().clone();
        assert_eq!(miles(&file(vec![("trip_distance", column)])), [Some(expected), None], "{kind}");
    }
}

#[test]
fn names_are_found_in_other_spellings_and_what_is_not_is_named() {
    let both = Some(2.5);
    for name in ["Trip_distance", "TRIP DISTANCE", "trip-distance", "trip_miles"] {
        let file = file(vec![(name, double(vec![both, both]))]);
        assert_eq!(miles(&file), [both, both], "{name}");
        let (.., report) = read(&file);
        assert_eq!(report.found["trip_distance"], [name]);
        assert!(report.not_found.contains(&"VendorID") && !report.not_found.contains(&"trip_distance"));
        assert!(report.remarks()[0].starts_with("columns not found"), "{:?}", report.remarks());
    }
}

#[test]
fn green_and_yellow_columns_fill_each_other_and_twice_the_same_name_is_refused() {
    let green = micros(&["2021-03-01 10:00:00", "none"]);
    let yellow = micros(&["2021-03-02 10:00:00", "2021-03-03 11:00:00"]);
    let union = file(vec![("tpep_pickup_datetime", yellow), ("lpep_pickup_datetime", green)]);
    let (trips, _, report) = read(&union);
    let pickups = [0, 1].map(|row: usize| trips[row].pickup.unwrap().to_string());
    assert_eq!(pickups, ["2021-03-01 10:00:00", "2021-03-03 11:00:00"]);
    assert_eq!(report.found["lpep_pickup_datetime"], ["lpep_pickup_datetime", "tpep_pickup_datetime"]);
    let twice = file(vec![
        ("trip_distance", double(vec![Some(1.0), None])),
        ("trip_distance", double(vec![Some(2.0), None])),
    ]);
    let refused = read_all(&twice, None, ReadOptions::default()).unwrap_err();
    assert_eq!(refused.error_type(), "Dataset.DuplicateColumn");
    assert!(refused.to_string().contains("two columns called trip_distance"), "{refused}");
}

#[test]
fn hvfhv_is_read_and_its_tips_count_as_those_of_cards() {
    // The columns and types of fhvhv_tripdata_2025-01.parquet, by the TLC's data dictionary of High Volume FHV trip records.
    let texts = |value: &str| Arc::new(StringArray::from(vec![value; 2])) as ArrayRef;
    let numbers = |value: f64| double(vec![Some(value); 2]);
    let at = |time: &str| micros(&[time, time]);
    let file = file(vec![
        ("hvfhs_license_num", texts("HV0003")),
        ("dispatching_base_num", texts("B03404")),
        ("originating_base_num", texts("B03404")),
        ("request_datetime", at("2025-01-01 10:01:00")),
        ("on_scene_datetime", at("2025-01-01 10:06:00")),
        ("pickup_datetime", at("2025-01-01 10:07:30")),
        ("dropoff_datetime", at("2025-01-01 10:20:00")),
        ("trip_miles", numbers(2.75)),
        ("trip_time", Arc::new(Int64Array::from(vec![750; 2]))),
        ("base_passenger_fare", numbers(17.4)),
        ("tolls", numbers(0.0)),
        ("bcf", numbers(0.5)),
        ("sales_tax", numbers(1.5)),
        ("congestion_surcharge", numbers(2.75)),
        ("airport_fee", numbers(0.0)),
        ("tips", double(vec![Some(3.0), None])),
        ("driver_pay", numbers(13.1)),
        ("shared_request_flag", texts("N")),
        ("shared_match_flag", texts("N")),
        ("access_a_ride_flag", texts("N")),
        ("wav_request_flag", texts("N")),
        ("wav_match_flag", texts("N")),
        ("cbd_congestion_fee", numbers(1.5)),
    ]);
    let (trips, outcomes, report) = read(&file);
    assert_eq!(trips[0].pickup.unwrap().to_string(), "2025-01-01 10:07:30");
    assert_eq!(trips[0].distance_miles, Some(2.75));
    assert_eq!(outcomes[0].dropoff.unwrap().to_string(), "2025-01-01 10:20:00");
    let paid = |outcome: &Outcome| (outcome.tip_amount, outcome.fare_amount, outcome.payment_type);
    assert_eq!(
        [0, 1].map(|row: usize| paid(&outcomes[row])),
        [(Some(3.0), Some(17.4), Some(1)), (None, Some(17.4), Some(1))]
    );
    assert_eq!(report.not_found, ["passenger_count", "RatecodeID", "trip_type", "VendorID"]);
    assert!(
        report.paid_by_app && report.remarks()[1].contains("paid through the app"),
        "{:?}",
        report.remarks()
    );
    // Another file that lacks its payment types, or whose types cannot be read, is another matter: cash tips are not recorded.
    let tips = || ("tips", double(vec![Some(3.0), None]));
    let unreadable = ("payment_type", Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef);
    for others in [vec![tips()], vec![tips(), ("hvfhs_license_num", texts("HV0003")), unreadable]] {
        let (_, outcomes, report) = read(&self::file(others));
        assert_eq!((outcomes[0].payment_type, report.paid_by_app), (None, false));
        assert!(report.not_found.contains(&"payment_type"));
    }
}

#[test]
fn instants_become_new_york_time_unless_they_are_labelled_wrong() {
    let utc = TimestampMicrosecondArray::from(vec![1_612_358_100_000_000; 2]).with_timezone("UTC");
    let file = file(vec![("lpep_pickup_datetime", Arc::new(utc))]);
    for (utc_times, expected) in
        [(UtcTimes::Convert, "2021-02-03 08:15:00"), (UtcTimes::Wall, "2021-02-03 13:15:00")]
    {
        let options = ReadOptions { utc_times, ..ReadOptions::default() };
        let (read, report) = read_all(&file, None, options).unwrap();
        assert_eq!(read.trips[0].pickup.unwrap().to_string(), expected);
        assert_eq!(report.utc_times, Some(utc_times), "it is said");
    }
}

#[test]
fn what_cannot_be_used_is_missing_and_counted() {
    let list = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>(vec![
        Some(vec![Some(1)]),
        Some(vec![Some(2)]),
    ]);
    let file = file(vec![
        ("passenger_count", Arc::new(list)),
        ("trip_type", Arc::new(BooleanArray::from(vec![true, false]))),
        ("trip_distance", Arc::new(StringArray::from(vec!["far", "NaN"]))),
        ("lpep_pickup_datetime", Arc::new(StringArray::from(vec!["2021-02-03T13:15:00Z", "soon"]))),
        ("VendorID", Arc::new(Int32Array::from(vec![2, 300]))),
        ("tip_amount", double(vec![Some(f64::INFINITY), Some(1.0)])),
    ]);
    let (trips, outcomes, report) = read(&file);
    assert_eq!((trips[0].passengers, trips[0].trip_type, trips[0].distance_miles), (None, None, None));
    assert_eq!(trips[0].pickup.unwrap().to_string(), "2021-02-03 08:15:00");
    assert_eq!((trips[0].vendor, trips[1].vendor, trips[1].pickup), (Some(2), None, None));
    assert_eq!((outcomes[0].tip_amount, outcomes[1].tip_amount), (None, Some(1.0)));
    let unreadable: Vec<&str> = report.unreadable.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(unreadable, ["passenger_count", "trip_type"]);
    let counted = [
        ("VendorID", "not_a_code"),
        ("lpep_pickup_datetime", "not_a_time"),
        ("tip_amount", "not_a_number"),
        ("trip_distance", "not_a_number"),
    ];
    let counted = counted.map(|(column, reason)| (column, BTreeMap::from([(reason, 1)])));
    assert_eq!(report.unusable, BTreeMap::from(counted));
}

#[test]
fn a_zone_that_is_no_number_rejects_its_row_alone() {
    let zones: ArrayRef = Arc::new(StringArray::from(vec!["130", "Astoria"]));
    let file = parquet(
        vec![("PULocationID", zones), ("DOLocationID", int32(vec![Some(1), Some(2)]))],
        parquet::basic::Compression::SNAPPY,
        9,
    );
    let (read, _) = read_all(&file, None, ReadOptions::default()).unwrap();
    assert_eq!((read.trips.len(), read.rejections.get(Reason::InvalidZone)), (1, 1));
}

#[test]
fn every_codec_that_others_write_is_read() {
    use parquet::basic::Compression::{BROTLI, GZIP, LZ4_RAW, SNAPPY, UNCOMPRESSED, ZSTD};
    for codec in [
        UNCOMPRESSED,
        SNAPPY,
        LZ4_RAW,
        GZIP(Default::default()),
        BROTLI(Default::default()),
        ZSTD(Default::default()),
    ] {
        let columns = vec![("PULocationID", int32(vec![Some(1)])), ("DOLocationID", int32(vec![Some(2)]))];
        let (read, _) = read_all(&parquet(columns, codec, 9), None, ReadOptions::default()).unwrap();
        assert_eq!(read.trips[0].dropoff_zone, Zone::new(2), "{codec:?}");
    }
}
