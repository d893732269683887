//! Golden rows: trips with the source library's prediction, which the finished model has to repeat.
//!
//! A row states a trip as a message does, by the contract's names and units, or by names of features where the source was
//! trained on those; its prediction is in the contract's unit. So it tests the map and the output as well as the trees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use trees::import::{Column, Foreign, Golden, Value};

use super::{Absent, FeatureMap, GoldenRow, GoldenValue, MapError, Unit};
use crate::candidates::imported::{ImportedModel, Input, MappedColumn, Transform};
use crate::features;
use crate::request::{RIDE_FIELDS, TripRequest};

/// Tolerance of a golden row's prediction, relative to the larger of it and 1: XGBoost sums in f32.
const TOLERANCE: f64 = 1e-5;

/// A zone that the contract requires, where a row states none.
const NO_ZONE: u16 = 264;

/// Checks that `model` predicts what the golden rows of the map and of the file say. `columns` are those that the model reads, named
/// by the source, with what they mean.
///
/// # Errors
/// [`MapError::NoGolden`], [`MapError::GoldenRow`] for a row that is no trip, [`MapError::Golden`] for another prediction, and
/// [`MapError::Unproved`] for a column that no row states.
pub(super) fn check(
    model: &ImportedModel,
    foreign: &Foreign,
    columns: &[(String, MappedColumn)],
    map: &FeatureMap,
) -> Result<(), MapError> {
    let mut stated = BTreeSet::new();
    let mut rows = 0;
    for (row, golden) in map.golden.iter().enumerate() {
        let features = features_of(golden, map).map_err(|detail| MapError::GoldenRow { row, detail })?;
        compare(row, model, &features, golden.prediction, foreign)?;
        stated.extend(positions_of(&features));
        rows += 1;
    }
    // Rows that came with the file are in the source's columns and units. Those that are trips count like the others, unless the output
    // has a unit or a transformation, of which they say nothing.
    let is_plain =
        matches!(map.output.unit, None | Some(Unit::Minutes)) && map.output.transform == Transform::None;
    let mut remark = String::new();
    for (row, golden) in foreign.golden.iter().enumerate() {
        let row = map.golden.len() + row;
        compare_foreign(row, foreign, golden, map)?;
        let trip = match is_plain {
            true => trip_of_source(golden, foreign, map),
            false => Err("the output has a unit or a transformation".into()),
        };
        match trip.and_then(|trip| features_of(&trip, map)) {
            Ok(features) => {
                compare(row, model, &features, golden.prediction, foreign)?;
                stated.extend(positions_of(&features));
                rows += 1;
            }
            Err(reason) => remark = format!("; rows of the file do not count: {reason}"),
        }
    }
    if rows == 0 {
        return Err(MapError::NoGolden { remark });
    }
    let is_stated = |feature: &u32| stated.contains(&(*feature as usize));
    let unproved = columns.iter().find(|(_, column)| match &column.input {
        Input::Value { feature, .. } => !is_stated(feature),
        Input::Equals { all, .. } => !all.iter().all(|(feature, _)| is_stated(feature)),
    });
    match unproved {
        Some((column, _)) => Err(MapError::Unproved { column: column.clone(), remark }),
        None => Ok(()),
    }
}

/// Refuses predictions of golden rows that cannot be probabilities.
pub(super) fn check_probabilities(foreign: &Foreign, map: &FeatureMap) -> Result<(), MapError> {
    let predictions = map.golden.iter().map(|row| row.prediction);
    let mut predictions = predictions.chain(foreign.golden.iter().map(|row| row.prediction)).enumerate();
    match predictions.find(|(_, prediction)| !(0.0..=1.0).contains(prediction)) {
        Some((row, prediction)) => {
            let detail = format!("its prediction {prediction} is no probability, as a model of tips has");
            Err(MapError::GoldenRow { row, detail })
        }
        None => Ok(()),
    }
}

fn positions_of(features: &[f32]) -> impl Iterator<Item = usize> + '_ {
    features.iter().enumerate().filter(|(_, value)| !value.is_nan()).map(|(at, _)| at)
}

fn compare(
    row: usize,
    model: &ImportedModel,
    features: &[f32],
    expected: f64,
    foreign: &Foreign,
) -> Result<(), MapError> {
    let found = model.predict_features(features).first().copied().unwrap_or(f64::NAN);
    near(row, found, expected, foreign)
}

fn near(row: usize, found: f64, expected: f64, foreign: &Foreign) -> Result<(), MapError> {
    match (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0) {
        true => Ok(()),
        false => Err(MapError::Golden { row, found, expected, remark: foreign.remark.clone() }),
    }
}

/// Compares what the trees or coefficients predict for a row of the source's columns.
fn compare_foreign(row: usize, foreign: &Foreign, golden: &Golden, map: &FeatureMap) -> Result<(), MapError> {
    let absent = if map.one_hot_absent == Absent::Zero { 0.0 } else { f32::NAN };
    let is_one_hot = foreign.columns.iter().any(|column| column.equals.is_some());
    let stated = |name: &str| golden.row.iter().find(|(known, _)| known == name);
    let value = |column: &Column| match (stated(&column.name), &column.equals) {
        (Some((_, Some(Value::Text(value)))), Some(text)) if value == text => 1.0,
        (_, Some(_)) => absent,
        (Some((_, Some(Value::Number(number)))), None) => *number as f32,
        // A DictVectorizer leaves out what is not stated, and a text makes another column.
        (None | Some((_, Some(Value::Text(_)))), None) if is_one_hot => absent,
        _ => f32::NAN,
    };
    let found = foreign.predict_row(&foreign.columns.iter().map(value).collect::<Vec<f32>>());
    near(row, found, golden.prediction, foreign)
}

/// Returns a row of the source's columns as a golden row of a map: categories as texts and others as numbers, as a `DictVectorizer`
/// distinguishes them. Keys that no column has are not read by the source either.
///
/// # Errors
/// Why the row is no trip in the contract's fields and units.
fn trip_of_source(golden: &Golden, foreign: &Foreign, map: &FeatureMap) -> Result<GoldenRow, String> {
    let mut row = BTreeMap::new();
    for column in &foreign.columns {
        let name = &column.name;
        let found = golden.row.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_ref());
        let value = match (found, &column.equals) {
            (Some(Value::Text(text)), Some(_)) => GoldenValue::Text(text.clone()),
            (Some(Value::Number(number)), None) => GoldenValue::Number(*number),
            _ => return Err(format!("they do not all state {name} as the model takes it")),
        };
        let meaning = map.columns.get(name);
        if meaning.is_some_and(|meaning| meaning.unit.is_some() || !meaning.codes.is_empty()) {
            return Err(format!("{name} has a unit or codes of the source"));
        }
        // A column of another name is stated as the feature that it is.
        let feature = meaning.and_then(|meaning| meaning.feature.clone());
        let name = feature.filter(|_| !RIDE_FIELDS.contains(&name.as_str())).unwrap_or_else(|| name.clone());
        row.insert(name, value);
    }
    Ok(GoldenRow { row, prediction: golden.prediction })
}

/// Returns the features of the trip that a row states.
fn features_of(golden: &GoldenRow, map: &FeatureMap) -> Result<Vec<f32>, String> {
    let json = |value: &GoldenValue| match value {
        GoldenValue::Number(number) => Json::from(*number),
        GoldenValue::Text(text) => Json::from(text.as_str()),
    };
    let (mut ride, mut direct) = (Map::new(), Vec::new());
    for (name, value) in &golden.row {
        let feature = |name: &str| features::NAMES.iter().position(|known| *known == name);
        let joined = map.columns.get(name).filter(|meaning| !meaning.features.is_empty());
        if RIDE_FIELDS.contains(&name.as_str()) {
            ride.insert(name.clone(), json(value));
        } else if let (Some(feature), Some(number)) = (feature(name), value.number()) {
            direct.push((feature, number as f32));
        } else if let (Some(meaning), GoldenValue::Text(text)) = (joined, value) {
            let parts: Vec<&str> = text.split(meaning.separator.as_str()).collect();
            if parts.len() != meaning.features.len() {
                return Err(format!("{name}: {text:?} does not join {} features", meaning.features.len()));
            }
            for (name, part) in meaning.features.iter().zip(parts) {
                let at = feature(name).ok_or_else(|| format!("{name:?} is no feature"))?;
                direct.push((at, part.parse().unwrap_or(f32::NAN)));
            }
        } else {
            let fields = RIDE_FIELDS.join(", ");
            return Err(format!(
                "{name} = {value:?} is no field of a trip: expected one of {fields}, or a number for one of {}",
                features::NAMES.join(", ")
            ));
        }
    }
    let trip = trip_of(ride)?;
    // Times that are stated as features hold together: an hour is the first quarter hour of it.
    let hour = direct.iter().find(|(at, _)| features::NAMES[*at] == "hour").map(|(_, hour)| *hour);
    let quarter = direct.iter().find(|(at, _)| features::NAMES[*at] == "quarter_hour").map(|(_, of)| *of);
    let mut row = features::row(&trip).to_vec();
    for (at, name) in features::NAMES.iter().enumerate() {
        match (*name, hour, quarter) {
            ("hour", None, Some(quarter)) => row[at] = (quarter / 4.0).floor(),
            ("quarter_hour", Some(hour), None) => row[at] = hour * 4.0,
            _ => {}
        }
    }
    direct.into_iter().for_each(|(at, value)| row[at] = value);
    Ok(row)
}

/// Reads the fields of a trip as those of a message.
fn trip_of(mut ride: Map<String, Json>) -> Result<crate::Trip, String> {
    let has = |ride: &Map<String, Json>, name: &str| ride.contains_key(name);
    let (has_pickup, has_dropoff) = (has(&ride, "PULocationID"), has(&ride, "DOLocationID"));
    for (name, is_stated) in [("PULocationID", has_pickup), ("DOLocationID", has_dropoff)] {
        if !is_stated {
            ride.insert(name.into(), NO_ZONE.into());
        }
    }
    let message = serde_json::json!({"ride_id": "golden", "ride": ride}).to_string();
    let request = TripRequest::decode(&message).map_err(|rejection| rejection.detail)?;
    let parsed = request.parse().map_err(|rejection| rejection.detail)?;
    if !parsed.unusable.is_empty() {
        return Err(format!("{} has a value that no trip has", parsed.unusable.join(", ")));
    }
    let mut trip = parsed.trip;
    trip.pickup_zone = trip.pickup_zone.filter(|_| has_pickup);
    trip.dropoff_zone = trip.dropoff_zone.filter(|_| has_dropoff);
    Ok(trip)
}
