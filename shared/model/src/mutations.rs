//! Mutations of foreign models and of artifacts: nothing panics, and whatever is accepted predicts what can be. `MUTATIONS` sets how
//! many are made of each file, `MUTATIONS_SEED` where their seeds begin.

#![allow(clippy::print_stdout)]

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use trees::import::{lightgbm, sklearn, xgboost};

use crate::artifact::{Artifact, golden_trips};
use crate::candidates::soundness::DAY_MIN;
use crate::candidates::{Family, Model};
use crate::import::{FeatureMap, import};
use crate::outcome::Target;
use crate::testing;
use crate::trip::{Trip, Zone};

#[allow(clippy::disallowed_methods)]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

fn seeds() -> impl Iterator<Item = u64> {
    let (first, count) = (number("MUTATIONS_SEED", 1), number("MUTATIONS", 200));
    println!("seeds {first} .. {}", first + count);
    first..first + count
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../trees/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Trips of every kind that a model could be wrong about.
fn trips() -> Vec<Trip> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut trips = golden_trips();
    trips.extend((0..40).map(|_| Trip {
        pickup_zone: Zone::new(random.random_range(0..300)),
        dropoff_zone: Zone::new(random.random_range(0..300)),
        distance_miles: random.random_bool(0.8).then(|| random.random_range(0.0..99.0)),
        pickup: crate::request::local_time(&format!(
            "2023-05-{:02} {:02}:10:00",
            random.random_range(1..29),
            random.random_range(0..24)
        )),
        passengers: random.random_bool(0.8).then(|| random.random_range(0..9)),
        ..Trip::default()
    }));
    trips
}

fn assert_sound(model: &Model, name: &str) {
    match model {
        Model::Duration(model) => {
            let predicted = model.predict(&trips());
            let all = [predicted.minutes, predicted.lower_min, predicted.upper_min].concat();
            assert!(all.iter().all(|minutes| (0.0..=DAY_MIN).contains(minutes)), "{name}: {all:?}");
        }
        Model::Tip(model) => {
            let all = model.probabilities(&trips());
            assert!(all.iter().all(|p| (0.0..=1.0).contains(p)), "{name}: {all:?}");
        }
    }
}

fn hostile_number(random: &mut impl Rng, near: f64) -> Json {
    match random.random_range(0..9) {
        0 => json!(-1),
        1 => json!(i64::MAX),
        2 => json!(1e308),
        3 => json!(-1e30),
        4 => json!(0),
        5 => json!(near + f64::from(random.random_range(-2..3))),
        6 => json!(near * f64::from(random.random_range(2..1000))),
        7 => Json::Null,
        _ => json!(random.random_range(0..100_000)),
    }
}

/// Replaces a value somewhere in a document.
fn mutate(random: &mut impl Rng, value: &mut Json) {
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            let at = random.random_range(0..fields.len());
            let name = fields.keys().nth(at).unwrap().clone();
            match random.random_range(0..30) {
                0 => drop(fields.remove(&name)),
                _ => mutate(random, fields.get_mut(&name).unwrap()),
            }
        }
        Json::Array(elements) if !elements.is_empty() => {
            let at = random.random_range(0..elements.len());
            match random.random_range(0..12) {
                0 => drop(elements.remove(at)),
                1 => elements.truncate(at),
                2 => elements.push(elements[at].clone()),
                _ => mutate(random, &mut elements[at]),
            }
        }
        Json::Number(number) => *value = hostile_number(random, number.as_f64().unwrap_or_default()),
        Json::String(text) => {
            *value = match text.parse::<f64>() {
                Ok(near) => json!(hostile_number(random, near).to_string()),
                Err(_) => json!(format!("{text}x")),
            }
        }
        other => *other = json!(random.random_range(-2..9)),
    }
}

/// Replaces a number or a byte somewhere in a text.
fn mutate_text(random: &mut impl Rng, text: &str) -> String {
    let words: Vec<&str> = text.split_inclusive([' ', '\n', '=']).collect();
    let chosen = random.random_range(0..words.len());
    let mutated = words.iter().enumerate().map(|(at, word)| {
        let plain = word.trim_end_matches([' ', '\n', '=']);
        match plain.parse::<f64>() {
            Ok(near) if at == chosen => word.replace(plain, &hostile_number(random, near).to_string()),
            Err(_) if at == chosen => word.chars().rev().collect(),
            _ => (*word).to_string(),
        }
    });
    mutated.collect()
}

/// Returns a map with three golden rows of the fixture.
fn map(name: &str) -> FeatureMap {
    let golden: Json = serde_json::from_slice(&fixture(&format!("{name}.golden.json"))).unwrap();
    let (rows, predictions) = (golden["rows"].as_array().unwrap(), golden["prediction"].as_array().unwrap());
    let names = ["PULocationID", "DOLocationID", "trip_distance", "hour", "passenger_count"];
    let row = |(row, prediction): (&Json, &Json)| {
        let values: Option<Vec<f64>> = row.as_array()?.iter().map(Json::as_f64).collect();
        let values = values?;
        let is_trip = values.iter().enumerate().all(|(at, value)| at == 2 || value.fract() == 0.0)
            && values[..2].iter().all(|zone| (1.0..266.0).contains(zone))
            && (0.1..100.0).contains(&values[2])
            && (0.0..24.0).contains(&values[3])
            && (0.0..200.0).contains(&values[4]);
        let row: serde_json::Map<String, Json> =
            names.iter().zip(&values).map(|(name, value)| ((*name).into(), json!(value))).collect();
        is_trip.then(|| json!({"row": row, "prediction": prediction}))
    };
    let golden: Vec<Json> = rows.iter().zip(predictions).filter_map(row).take(3).collect();
    serde_json::from_value(json!({"golden": golden, "columns": {
        "PULocationID": {"feature": "pickup_zone"}, "DOLocationID": {"feature": "dropoff_zone"},
        "trip_distance": {"feature": "distance_miles"}, "hour": {"feature": "hour"},
        "passenger_count": {"feature": "passengers"},
    }}))
    .unwrap()
}

#[test]
fn a_mutated_foreign_model_is_refused_or_predicts_what_can_be() {
    let mut accepted = 0;
    for (name, target) in [
        ("lightgbm-v4-regression", Target::Duration),
        ("lightgbm-v4-categorical", Target::Duration),
        ("lightgbm-v4-binary", Target::Tip),
        ("xgboost-v3-regression", Target::Duration),
        ("xgboost-v3-categorical", Target::Duration),
        ("xgboost-v2-logistic", Target::Tip),
        ("sklearn-forest", Target::Duration),
    ] {
        let is_text = name.starts_with("lightgbm");
        let bytes = fixture(&format!("{name}.{}", if is_text { "txt" } else { "json" }));
        let map = map(name);
        let document = || serde_json::from_slice::<Json>(&bytes).unwrap();
        for seed in seeds() {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let read = if is_text {
                lightgbm::read(&mutate_text(&mut random, str::from_utf8(&bytes).unwrap()))
            } else {
                let mut document = document();
                (0..random.random_range(1..3)).for_each(|_| mutate(&mut random, &mut document));
                let bytes = document.to_string().into_bytes();
                if name.starts_with("xgboost") { xgboost::read(&bytes) } else { sklearn::read(&bytes) }
            };
            if let Ok(candidate) =
                read.map_err(drop).and_then(|foreign| import(target, foreign, &map).map_err(drop))
            {
                accepted += 1;
                assert_sound(&candidate.model, &format!("{name}, seed {seed}"));
            }
        }
    }
    assert!(accepted > 0, "mutations of what no split reads are accepted");
}

#[test]
fn a_mutated_artifact_is_refused_or_predicts_what_can_be() {
    let trip = |row: u16| Trip {
        pickup_zone: Zone::new(row % 20 + 1),
        dropoff_zone: Zone::new(9),
        distance_miles: Some(f64::from(row % 7) + 0.5),
        pickup: crate::request::local_time(&format!("2021-03-{:02} 10:00:00", row % 28 + 1)),
        ..Trip::default()
    };
    let trips = || (0..600).map(trip).collect::<Vec<_>>();
    let minutes = |row: u16| f64::from(row % 7) * 3.0 + f64::from(row % 20) / 5.0;
    let artifacts = [
        testing::artifact(Target::Duration, Family::Boosted, trips(), (0..600).map(minutes).collect()),
        testing::artifact(Target::Duration, Family::Linear, trips(), (0..600).map(minutes).collect()),
        testing::artifact(
            Target::Tip,
            Family::Boosted,
            trips(),
            (0..600).map(|row| f64::from(row % 2)).collect(),
        ),
    ];
    for (at, bytes) in artifacts.iter().enumerate() {
        for seed in seeds() {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut mutated = bytes[..bytes.len() - 32].to_vec();
            for _ in 0..random.random_range(1..4) {
                let byte = random.random_range(12..mutated.len());
                mutated[byte] = if random.random_bool(0.5) {
                    random.random()
                } else {
                    mutated[byte] ^ 1 << random.random_range(0..8)
                };
            }
            let digest = Sha256::digest(&mutated);
            mutated.extend_from_slice(&digest);
            if let Ok(artifact) = Artifact::from_bytes(&mutated) {
                assert_sound(&artifact.model, &format!("artifact {at}, seed {seed}"));
            }
        }
    }
}
