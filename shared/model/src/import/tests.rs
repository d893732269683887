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

/// Returns the trip that a row of numbers is, if it is one: known zones, an hour of the day, a distance that can be planned.
fn trip(row: &Json) -> Option<Trip> {
    let values: Vec<f64> = row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect();
    let zone = |value: f64| Zone::new(value as u16).filter(|_| value.fract() == 0.0 && value < 266.0);
    let at = NaiveDate::from_ymd_opt(2023, 1, 2)?.and_hms_opt(values[3] as u32, 0, 0)?;
    let is_possible = values[2].is_nan() || values[2] > 0.0 && values[2] <= 100.0;
    let is_code = values[4].is_nan() || values[4].fract() == 0.0 && (0.0..=255.0).contains(&values[4]);
    (is_possible && is_code && values[3].fract() == 0.0).then_some(())?;
    Some(Trip {
        pickup_zone: Some(zone(values[0])?),
        dropoff_zone: Some(zone(values[1])?),
        pickup: Some(at),
        distance_miles: Some(values[2]).filter(|miles| !miles.is_nan()),
        passengers: (!values[4].is_nan()).then_some(values[4] as u8),
        ..Trip::default()
    })
}

/// Returns the rows of a golden file that are trips, with the predictions.
fn trips(golden: &Json) -> (Vec<Trip>, Vec<f64>) {
    let rows = golden["rows"].as_array().unwrap().iter().zip(golden["prediction"].as_array().unwrap());
    let (trips, predictions): (Vec<Trip>, Vec<f64>) =
        rows.filter_map(|(row, prediction)| Some((trip(row)?, prediction.as_f64()?))).unzip();
    assert!(trips.len() > 20, "{} rows are trips", trips.len());
    (trips, predictions)
}

/// Returns ten golden rows for a map, with numbers for all columns.
fn golden_rows(golden: &Json) -> Json {
    let names = golden["columns"].as_array().unwrap();
    let rows = golden["rows"].as_array().unwrap().iter().zip(golden["prediction"].as_array().unwrap());
    let is_stated = |row: &Json| row.as_array().unwrap().iter().all(Json::is_number);
    let row = |(row, prediction): (&Json, &Json)| -> Json {
        let cells = names.iter().zip(row.as_array().unwrap());
        let row: serde_json::Map<String, Json> =
            cells.map(|(name, value)| (name.as_str().unwrap().into(), value.clone())).collect();
        json!({"row": row, "prediction": prediction})
    };
    rows.filter(|(row, _)| is_stated(row) && trip(row).is_some()).take(10).map(row).collect()
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
                ["PULocationID", "DOLocationID"].iter().all(|zone| {
                    row[zone]
                        .as_str()
                        .is_some_and(|zone| zone.parse::<u16>().is_ok_and(|zone| Zone::new(zone).is_some()))
                })
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
            "[output] unit: Miles",
        ),
        (
            json!({"columns": numeric_columns(), "golden": rows, "output": {"interval_half_width_min": 0}}),
            "[output] interval_half_width_min: 0: expected more than 0",
        ),
        (
            json!({"columns": numeric_columns(), "golden": [{"row": {"PUlocationID": 1}, "prediction": 1}]}),
            "golden row 0: PUlocationID = Number(1.0) is no field of a trip: expected one of PULocationID",
        ),
        (
            json!({"columns": numeric_columns(), "golden": [{"row": {"trip_distance": -1}, "prediction": 1}]}),
            "golden row 0: trip_distance has a value that no trip has",
        ),
    ] {
        let refused = import(Target::Duration, foreign(), &map(map_json)).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused:?} should say {expected:?}");
    }
}

/// Mutations of a right map: each is refused, by what the golden rows predict or because they do not state what it needs.
#[test]
fn golden_rows_prove_the_map() {
    let foreign =
        || lightgbm::read(&String::from_utf8(fixture("lightgbm-v4-regression.txt")).unwrap()).unwrap();
    let rows = golden_rows(&golden("lightgbm-v4-regression.golden.json"));
    let right = json!({"columns": numeric_columns(), "golden": rows});
    assert!(import(Target::Duration, foreign(), &map(right.clone())).is_ok());
    let mut refused = 0;
    let names: Vec<String> = numeric_columns().as_object().unwrap().keys().cloned().collect();
    for column in &names {
        for feature in features::NAMES {
            let mut mutated = right.clone();
            if mutated["columns"][column]["feature"] == feature {
                continue;
            }
            mutated["columns"][column]["feature"] = json!(feature);
            assert!(import(Target::Duration, foreign(), &map(mutated)).is_err(), "{column} as {feature}");
            refused += 1;
        }
    }
    for (at, value) in [
        ("/columns/trip_distance/unit", json!("kilometres")),
        ("/columns/trip_distance/unit", json!("metres")),
        ("/columns/passenger_count/codes", json!({"1": 2, "2": 1})),
        ("/output", json!({"unit": "seconds"})),
        ("/output", json!({"unit": "hours"})),
        ("/output", json!({"transform": "exp"})),
        ("/output", json!({"transform": "expm1"})),
    ] {
        let mut mutated = right.clone();
        let (parent, field) = at.rsplit_once('/').unwrap();
        mutated.pointer_mut(parent).unwrap()[field] = value.clone();
        assert!(import(Target::Duration, foreign(), &map(mutated)).is_err(), "{at} is {value}");
        refused += 1;
    }
    assert!(refused > 70, "{refused}");
    let mut swapped = right;
    swapped["columns"]["PULocationID"]["feature"] = json!("dropoff_zone");
    swapped["columns"]["DOLocationID"]["feature"] = json!("pickup_zone");
    assert!(matches!(import(Target::Duration, foreign(), &map(swapped)), Err(MapError::Golden { .. })));
}

/// Rows that come with a file are in the source's columns and units: they are no evidence for a unit, codes or a transformation.
#[test]
fn rows_of_the_file_prove_only_what_they_state() {
    let with = |mut foreign: Foreign| {
        let golden = golden("lightgbm-v4-regression.golden.json");
        let row = |row: &Json| {
            let stated = row["row"].as_object().unwrap().iter();
            let stated =
                stated.map(|(name, value)| (name.clone(), value.as_f64().map(import::Value::Number)));
            // What no column takes is not read.
            let more = [("tip_amount".to_string(), Some(import::Value::Number(1.0)))];
            import::Golden {
                row: stated.chain(more).collect(),
                prediction: row["prediction"].as_f64().unwrap(),
            }
        };
        foreign.golden = golden_rows(&golden).as_array().unwrap().iter().map(row).collect();
        foreign
    };
    let foreign =
        || with(lightgbm::read(&String::from_utf8(fixture("lightgbm-v4-regression.txt")).unwrap()).unwrap());
    assert!(import(Target::Duration, foreign(), &map(json!({"columns": numeric_columns()}))).is_ok());
    let mut kilometres = numeric_columns();
    kilometres["trip_distance"]["unit"] = json!("kilometres");
    for (map_json, expected) in [
        (json!({"columns": kilometres}), "do not count: trip_distance has a unit or codes of the source"),
        (
            json!({"columns": numeric_columns(), "output": {"unit": "seconds"}}),
            "do not count: the output has a unit or a transformation",
        ),
    ] {
        let refused = import(Target::Duration, foreign(), &map(map_json)).unwrap_err().to_string();
        assert!(refused.starts_with("no golden rows") && refused.contains(expected), "{refused}");
    }
    let refused = import(Target::Tip, foreign(), &map(json!({"columns": numeric_columns()}))).unwrap_err();
    assert!(refused.to_string().contains("is no probability"), "minutes are no tips: {refused}");
}

#[test]
fn codes_name_the_categories_of_a_data_frame() {
    let meaning = |codes: Json| -> Meaning {
        serde_json::from_value(json!({"feature": "vendor", "codes": codes})).unwrap()
    };
    let texts = ["CMT".to_string(), "VeriFone".to_string()];
    let numbers = ["2".to_string(), "1".to_string()];
    assert_eq!(
        codes_of(&meaning(json!({"1": "CMT", "2": "VeriFone"})), &texts).unwrap(),
        [(1.0, 0.0), (2.0, 1.0)]
    );
    assert_eq!(codes_of(&meaning(json!({})), &numbers).unwrap(), [(2.0, 0.0), (1.0, 1.0)]);
    assert_eq!(codes_of(&meaning(json!({"6": 1})), &numbers).unwrap(), [(6.0, 1.0)]);
    assert_eq!(codes_of(&meaning(json!({"1": 7})), &[]).unwrap(), [(1.0, 7.0)]);
    for (codes, categories, expected) in [
        (json!({}), &texts, "none of its categories (CMT, VeriFone) is a number: expected codes"),
        (json!({"1": 0}), &texts, "is none of its categories (CMT, VeriFone)"),
        (json!({"1": "Creative"}), &texts, "is none of its categories"),
    ] {
        let refused = codes_of(&meaning(codes), categories).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}
