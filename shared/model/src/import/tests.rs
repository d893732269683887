use chrono::NaiveDate;
use serde_json::{Value as Json, json};
use trees::import::{lightgbm, sklearn, xgboost};

use super::*;
use crate::trip::{Trip, Zone};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../trees/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn golden(name: &str) -> Json {
    serde_json::from_slice(&fixture(name)).unwrap()
}

fn numeric_columns() -> Json {
    json!({
        "PULocationID": {"feature": "pickup_zone"}, "DOLocationID": {"feature": "dropoff_zone"},
        "trip_distance": {"feature": "distance_miles"}, "hour": {"feature": "hour"},
        "passenger_count": {"feature": "passengers"},
    })
}

fn map(json: Json) -> FeatureMap {
    serde_json::from_value(json).unwrap()
}

/// The rows of a golden file that are trips: known zones, an hour of the day, a distance that can be planned.
fn trips(golden: &Json) -> (Vec<Trip>, Vec<f64>) {
    let (mut trips, mut predictions) = (Vec::new(), Vec::new());
    for (row, prediction) in
        golden["rows"].as_array().unwrap().iter().zip(golden["prediction"].as_array().unwrap())
    {
        let values: Vec<f64> =
            row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect();
        let zone = |value: f64| Zone::new(value as u16).filter(|_| value.fract() == 0.0 && value < 266.0);
        let (Some(pickup_zone), Some(dropoff_zone)) = (zone(values[0]), zone(values[1])) else { continue };
        let at = NaiveDate::from_ymd_opt(2023, 1, 2).unwrap().and_hms_opt(values[3] as u32, 0, 0);
        if !(values[2].is_nan() || values[2] > 0.0 && values[2] <= 100.0)
            || values[3].fract() != 0.0
            || at.is_none()
        {
            continue;
        }
        trips.push(Trip {
            pickup_zone: Some(pickup_zone),
            dropoff_zone: Some(dropoff_zone),
            pickup: at,
            distance_miles: Some(values[2]).filter(|miles| !miles.is_nan()),
            passengers: (!values[4].is_nan()).then_some(values[4] as u8),
            ..Trip::default()
        });
        predictions.push(prediction.as_f64().unwrap());
    }
    assert!(trips.len() > 20, "{} rows are trips", trips.len());
    (trips, predictions)
}

fn golden_rows(golden: &Json) -> Json {
    let names = golden["columns"].as_array().unwrap();
    let row = |at: usize| -> Json {
        let cells = names.iter().zip(golden["rows"][at].as_array().unwrap());
        let stated = cells.filter(|(_, value)| value.is_number());
        let row: serde_json::Map<String, Json> =
            stated.map(|(name, value)| (name.as_str().unwrap().into(), value.clone())).collect();
        json!({"row": row, "prediction": golden["prediction"][at]})
    };
    (20..30).map(row).collect()
}

#[test]
fn trips_are_answered_as_the_library_answered_their_rows() {
    let read = |name: &str| match name.starts_with("lightgbm") {
        true => lightgbm::read(&String::from_utf8(fixture(&format!("{name}.txt"))).unwrap()).unwrap(),
        false => xgboost::read(&fixture(&format!("{name}.json"))).unwrap(),
    };
    for name in [
        "lightgbm-v4-regression",
        "lightgbm-v4-categorical",
        "xgboost-v3-regression",
        "xgboost-v3-categorical",
    ] {
        let golden = golden(&format!("{name}.golden.json"));
        let map = map(json!({"columns": numeric_columns(), "golden": golden_rows(&golden)}));
        let candidate = import(Target::Duration, read(name), &map).unwrap();
        let Model::Duration(model) = &candidate.model else { panic!("a duration model") };
        let (trips, expected) = trips(&golden);
        let answers = model.predict(&trips);
        for (predicted, expected) in answers.minutes.iter().zip(&expected) {
            assert!(
                (predicted - expected).abs() < 1e-5 * expected.max(1.0),
                "{name}: {predicted} is not {expected}"
            );
        }
        let written = postcard::to_stdvec(&candidate.model).unwrap();
        assert_eq!(postcard::from_bytes::<Model>(&written).unwrap(), candidate.model);
    }
}

#[test]
fn one_hot_columns_are_made_from_zones() {
    for (name, absent) in
        [("xgboost-v3-sparse", "missing"), ("sklearn-linear", "zero"), ("sklearn-gradient-boosting", "zero")]
    {
        let golden = golden(&format!("{name}.golden.json"));
        let foreign = match name.starts_with("xgboost") {
            true => xgboost::read(&fixture(&format!("{name}.json"))).unwrap(),
            false => sklearn::read(&fixture(&format!("{name}.json"))).unwrap(),
        };
        let rows: Vec<(&Json, f64)> = golden["rows"]
            .as_array()
            .unwrap()
            .iter()
            .zip(golden["prediction"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()))
            // "0" is a category of the made-up rows, but no zone.
            .filter(|(row, _)| {
                ["PULocationID", "DOLocationID"]
                    .iter()
                    .all(|zone| row[zone].as_str().is_some_and(|zone| zone != "0"))
            })
            .filter(|(row, _)| {
                row["trip_distance"].as_f64().is_some_and(|miles| miles > 0.0 && miles < 100.0)
            })
            .collect();
        let golden: Vec<Json> = rows
            .iter()
            .take(5)
            .map(|(row, prediction)| json!({"row": row, "prediction": prediction}))
            .collect();
        let map = map(json!({
            "column_names": if name.starts_with("xgboost") { self::golden("xgboost-v3-sparse.golden.json")["columns"].clone() } else { json!([]) },
            "columns": {"PULocationID": {"feature": "pickup_zone"}, "DOLocationID": {"feature": "dropoff_zone"},
                        "trip_distance": {"feature": "distance_miles"}},
            "one_hot_absent": absent, "golden": golden,
        }));
        let Model::Duration(model) = import(Target::Duration, foreign, &map).unwrap().model else {
            panic!("minutes")
        };
        let zone = |value: &Json| Zone::new(value.as_str()?.parse().ok()?);
        for (row, expected) in rows {
            let trip = Trip {
                pickup_zone: zone(&row["PULocationID"]),
                dropoff_zone: zone(&row["DOLocationID"]),
                distance_miles: row["trip_distance"].as_f64(),
                ..Trip::default()
            };
            let predicted = model.predict(&[trip]).minutes[0];
            assert!(
                (predicted - expected.max(0.0)).abs() < 1e-5 * expected.abs().max(1.0),
                "{name} {row}: {predicted}"
            );
        }
    }
}

#[test]
fn units_codes_and_transformations() {
    let value = |scale, codes, missing| Input::Value { feature: 2, scale, codes, missing };
    let parts = |input, transform, scale| Parts {
        source: "a test".into(),
        columns: vec![MappedColumn { input, reading: Default::default() }],
        body: Body::Linear { coefficients: vec![1.0], intercept: 0.0 },
        divisor: 1.0,
        link: import::Link::Identity,
        transform,
        scale,
    };
    let trip = |miles| Trip { distance_miles: miles, ..Trip::default() };
    for (input, transform, scale, miles, expected) in [
        (value(1.609_344, vec![], None), Transform::None, 1.0, Some(2.0), 3.218_688),
        (value(1.0, vec![], Some(-1.0)), Transform::None, 1.0, None, -1.0),
        (value(1.0, vec![(2.0, 7.0)], Some(-1.0)), Transform::None, 1.0, Some(2.0), 7.0),
        (value(1.0, vec![(2.0, 7.0)], Some(-1.0)), Transform::None, 1.0, Some(3.0), -1.0),
        (value(1.0, vec![], None), Transform::Exp, 1.0, Some(2.0), 2.0f64.exp()),
        (value(1.0, vec![], None), Transform::Expm1, 1.0 / 60.0, Some(6.0), (6.0f64.exp() - 1.0) / 60.0),
    ] {
        let model = ImportedModel::try_from(parts(input, transform, scale)).unwrap();
        let predicted = model.predict(&[trip(miles)])[0];
        assert!((predicted - expected).abs() < 1e-5, "{predicted} is not {expected}");
    }
    let joined = Input::Equals { all: vec![(2, 5.0), (3, 1.0)], otherwise: Some(0.0) };
    assert!(
        ImportedModel::try_from(parts(
            Input::Equals { all: vec![(99, 5.0)], otherwise: None },
            Transform::None,
            1.0
        ))
        .is_err()
    );
    assert!(
        ImportedModel::try_from(Parts { columns: vec![], ..parts(joined, Transform::None, 1.0) }).is_err()
    );
}

#[test]
fn a_map_that_says_too_little_or_the_wrong_thing_is_refused() {
    let foreign =
        || lightgbm::read(&String::from_utf8(fixture("lightgbm-v4-regression.txt")).unwrap()).unwrap();
    let rows = golden_rows(&golden("lightgbm-v4-regression.golden.json"));
    let with = |name: &str, meaning: Json| {
        let mut columns = numeric_columns();
        columns[name] = meaning;
        json!({"columns": columns, "golden": rows})
    };
    let mut off = rows.clone();
    off[3]["prediction"] = json!(99.0);
    for (map_json, expected) in [
        (json!({"columns": {}, "golden": rows}), "column \"PULocationID\": the map has no entry for it"),
        (json!({"columns": numeric_columns()}), "no golden rows"),
        (json!({"columns": numeric_columns(), "golden": off}), "golden row 3: the model predicts"),
        (
            json!({"columns": numeric_columns(), "golden": rows, "column_names": ["a"]}),
            "column_names has 1 names",
        ),
        (
            with("hour", json!({"feature": "fare"})),
            "column \"hour\": \"fare\" is no feature, expected one of pickup_zone",
        ),
        (with("hour", json!({})), "column \"hour\": expected `feature`"),
        (with("hour", json!({"feature": "hour", "unit": "hours"})), "Hours is no unit of a feature"),
        (with("hour", json!({"feature": "hour", "codes": {"noon": 12}})), "code \"noon\" is no number"),
        (
            json!({"columns": numeric_columns(), "golden": rows, "output": {"unit": "miles"}}),
            "output.unit Miles",
        ),
    ] {
        let refused = import(Target::Duration, foreign(), &map(map_json)).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused:?} should say {expected:?}");
    }
}
