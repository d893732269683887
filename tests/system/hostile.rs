//! Hostile Parquet, in process and through the built batch predictor and retrainer. `HOSTILE_FILES` sets how many files are made,
//! `HOSTILE_SEED` where their seeds begin; `make verify` makes 100,000 and 20,000.

use std::time::{Duration, Instant};

use dataset::{ReadOptions, read_all};
use serde_json::{Value, json};
use tests::bootstrap::Bootstrap;
use tests::hostile::{Base, bases, forged, handmade};
use tests::needs::{Need, has};
use tests::{function_binary, months, variable};

/// Longest time for one file, on a machine that does other things as well.
const TIME_MAX: Duration = Duration::from_secs(5);

fn number(name: &str, default: u64) -> u64 {
    variable(name).map_or(default, |value| value.parse().unwrap())
}

/// Yields forged files, each with its name.
fn files(bases: &[Base], count: u64) -> impl Iterator<Item = (String, Vec<u8>)> {
    let first = number("HOSTILE_SEED", 1);
    println!("seeds {first} .. {}", first + count);
    (first..first + count).map(|seed| {
        let base = &bases[seed as usize % bases.len()];
        let (what, file) = forged(base, seed);
        (format!("seed {seed}, {}: {what}", base.name), file)
    })
}

#[test]
fn forged_files_are_read_or_refused_and_never_end_the_process() {
    let bases = bases();
    let (mut read, mut refused, mut longest) = (0, 0, Duration::ZERO);
    for (name, file) in files(&bases, number("HOSTILE_FILES", 3_000)).chain(handmade()) {
        let began = Instant::now();
        match read_all(&file.into(), None, ReadOptions::default()) {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty(), "{name}");
            }
        }
        longest = longest.max(began.elapsed());
        assert!(began.elapsed() < TIME_MAX, "{name} took {:?}", began.elapsed());
    }
    println!("{read} read, {refused} refused, longest {longest:?}");
}

/// With built functions: `make e2e` and `make hostile` run these.
mod built {
    use super::*;

    /// Memory of the batch predictor in the template, and what a file may take of it.
    const MEMORY: u64 = 2_048 << 20;
    const PEAK_MAX: u64 = 512 << 20;

    fn history(folder: &std::path::Path) -> std::path::PathBuf {
        let history = folder.join("data/history");
        std::fs::create_dir_all(&history).unwrap();
        for name in months::SAMPLE[..2].iter().map(|month| months::file_name(month)) {
            std::fs::copy(months::sample_folder().join(&name), history.join(&name)).unwrap();
        }
        history
    }

    async fn retrain(folder: &std::path::Path, now: &str) -> Value {
        let mut retrainer = start("retrainer", folder).await;
        retrainer.handle(json!({"now": now})).await.response()
    }

    async fn start(function: &str, folder: &std::path::Path) -> Bootstrap {
        let (data, models) = (folder.join("data"), folder.join("models"));
        let variables = [("DATA_STORE", data.to_str().unwrap()), ("MODEL_STORE", models.to_str().unwrap())];
        Bootstrap::start(&function_binary(function), &variables).await
    }

    #[tokio::test]
    async fn a_batch_predictor_refuses_forged_files_with_a_reason_and_serves_the_next_event() {
        if !has(Need::Built) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        history(folder.path());
        retrain(folder.path(), "2021-03-15").await;
        let mut predictor = start("batch-predictor", folder.path()).await;
        predictor.limit_memory(MEMORY);
        let key = "incoming/green_tripdata_2021-03.parquet";
        let dropped = folder.path().join("data").join(key);
        std::fs::create_dir_all(dropped.parent().unwrap()).unwrap();
        let event = json!({"source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "any"}, "object": {"key": key}}});
        let bases = bases();
        // Each base file can be read, those among them that only another process may decode.
        let valid = bases.iter().map(|base| (base.name.clone(), base.bytes.to_vec()));
        let count = number("HOSTILE_FILES", 300) / 5;
        let forged = valid.chain(handmade()).chain(files(&bases, count));
        let (mut predicted, mut refused, mut longest) = (0, 0, Duration::ZERO);
        for (at, (name, file)) in forged.enumerate() {
            std::fs::write(&dropped, file).unwrap();
            let began = Instant::now();
            let outcome = predictor.handle(event.clone()).await.response();
            longest = longest.max(began.elapsed());
            assert!(began.elapsed() < TIME_MAX, "{name} took {:?}", began.elapsed());
            match outcome[0]["outcome"].as_str() {
                Some("predicted") => predicted += 1,
                Some("refused") => {
                    refused += 1;
                    assert!(at >= bases.len(), "{name}: {outcome}");
                    assert!(
                        outcome[0]["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
                        "{outcome}"
                    );
                }
                _ => panic!("{name}: {outcome}"),
            }
            assert!(predictor.is_alive(), "{name}");
        }
        let peak = predictor.peak_memory();
        println!("{predicted} predicted, {refused} refused, longest {longest:?}, peak {} MB", peak >> 20);
        assert!(peak < PEAK_MAX);
    }

    #[tokio::test]
    async fn a_forged_month_is_left_out_of_a_retraining_by_name() {
        if !has(Need::Built) {
            return;
        }
        for (name, file) in
            handmade().into_iter().filter(|(name, _)| name.contains("deep") || name.contains("of 1073"))
        {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(history(folder.path()).join("green_tripdata_2020-12.parquet"), file).unwrap();
            let run = retrain(folder.path(), "2021-03-15").await;
            let left_out = run["left_out"].as_array().unwrap();
            assert_eq!(left_out[0]["key"], "history/green_tripdata_2020-12.parquet", "{name}: {run}");
            assert!(
                run["targets"].as_array().unwrap().iter().all(|target| target["promoted"] == true),
                "{name}"
            );
        }
    }
}
