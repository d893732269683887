//! Replays the seeds of the fuzz targets, and what was found before; `FUZZ_CORPUS` names a folder to write the seeds to.

use std::path::PathBuf;

use model::testing::artifact;
use model::{Family, Target, Trip, Zone};
use tests::fuzz::TARGETS;
use tests::hostile::{bases, handmade};
use tests::{root, variable};

/// Returns small inputs of a target that are right, from which a fuzzer finds wrong ones.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = |folder: &str, is_wanted: &dyn Fn(&str) -> bool| -> Vec<Vec<u8>> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let wanted = paths.iter().filter(|path| is_wanted(path.file_name().unwrap().to_str().unwrap()));
        wanted.map(|path| std::fs::read(path).unwrap()).collect()
    };
    let fixtures = "shared/trees/tests/fixtures";
    match target {
        "envelope" => files("infra/events", &|name| name.ends_with(".json")),
        "trip" => [
            r#"{"ride_id": 1, "ride": {"PULocationID": 130, "DOLocationID": 205, "trip_distance": 3.66, "VendorID": 2}}"#,
            r#"{"ride_id": "a", "ride": {"PULocationID": "74", "DOLocationID": 75.0, "pickup_datetime": "2021-02-03T08:47:00Z"}}"#,
            r#"{"Type": "Notification", "TopicArn": "a", "Message": "{\"ride_id\": 256.0, \"ride\": {\"trip_distance\": NaN}}"}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "artifact" => {
            let trips = |rows: u16| -> Vec<Trip> {
                let miles = |row: u16| Some(f64::from(row % 7));
                let trip = |row| Trip { pickup_zone: Zone::new(row % 90), distance_miles: miles(row), ..Trip::default() };
                (1..rows).map(trip).collect()
            };
            let labels = |rows: u16| -> Vec<f64> { (1..rows).map(|row| f64::from(row % 7)).collect() };
            let tipped = |rows: u16| -> Vec<f64> { (1..rows).map(|row| f64::from(row % 7 / 4)).collect() };
            [
                model::testing::constant_duration(10.0),
                artifact(Target::Duration, Family::Boosted, trips(200), labels(200)),
                artifact(Target::Tip, Family::Boosted, trips(200), tipped(200)),
                artifact(Target::Tip, Family::Tree, trips(400), tipped(400)),
            ]
            .map(|whole| whole[..whole.len() - 32].to_vec())
            .to_vec()
        }
        "parquet" => bases()
            .into_iter()
            .map(|base| base.bytes.to_vec())
            .chain(handmade().into_iter().map(|(_, file)| file).filter(|file| file.len() < 20_000))
            .collect(),
        library => files(fixtures, &|name| {
            name.starts_with(library) && (name.ends_with(".txt") || name.ends_with(".json")) && !name.contains("golden")
        }),
    }
}

#[test]
fn seeds_and_what_was_found_before_end_no_target() {
    let corpus = variable("FUZZ_CORPUS").map(PathBuf::from);
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name}");
        for (at, seed) in seeds.iter().enumerate() {
            if let Some(corpus) = &corpus {
                std::fs::create_dir_all(corpus.join(name)).unwrap();
                std::fs::write(corpus.join(name).join(format!("seed-{at}")), seed).unwrap();
            }
            target(seed);
        }
        let found = std::fs::read_dir(root().join("tests/fuzz").join(name));
        for file in found.into_iter().flatten() {
            target(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
