//! Runs the built bootstraps as Lambda does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::{Value, json};
use tests::bootstrap::{Bootstrap, Reply};
use tests::functions::{Function, functions};
use tests::needs::{Need, has};
use tests::{function_binary, months, packages, root};

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join(format!("infra/events/{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns the event that a file was dropped under this key.
fn dropped(key: &str) -> Value {
    let mut event = sample("batch-predictor-eventbridge");
    event["detail"]["object"] = json!({"key": key});
    event
}

/// Returns variables with which each function works on directories below `folder`.
fn variables(folder: &Path) -> Vec<(&'static str, String)> {
    let at = |name: &str| folder.join(name).display().to_string();
    vec![
        ("DATA_STORE", at("data")),
        ("MODEL_STORE", at("models")),
        ("PREDICTIONS_QUEUE_URL", "http://127.0.0.1:9/0/predictions".into()),
        ("DLQ_URL", "http://127.0.0.1:9/0/rejects".into()),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9".into()),
    ]
}

async fn start(binary: &Path, folder: &Path) -> Bootstrap {
    let variables = variables(folder);
    let borrowed: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Bootstrap::start(binary, &borrowed).await
}

/// Creates a folder with two months of history.
fn folder_with_history() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("data/history");
    std::fs::create_dir_all(&history).unwrap();
    for name in months::SAMPLE[..2].iter().map(|month| months::file_name(month)) {
        std::fs::copy(months::sample_folder().join(&name), history.join(&name)).unwrap();
    }
    folder
}

/// Creates a folder with January to March 2021: two months of history, and a dropped file.
pub(crate) fn folder_with_trips() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (month, place) in [("2021-01", "history"), ("2021-02", "history"), ("2021-03", "incoming")] {
        let place = folder.path().join("data").join(place);
        std::fs::create_dir_all(&place).unwrap();
        let from = months::green(month);
        std::fs::copy(&from, place.join(from.file_name().unwrap())).unwrap();
    }
    folder
}

#[tokio::test]
async fn a_directory_is_enough_to_retrain_and_predict() {
    if !has(Need::Built) {
        return;
    }
    let folder = folder_with_trips();
    let mut retrainer = start(&function_binary("retrainer"), folder.path()).await;
    let run = retrainer.handle(sample("retrainer-now")).await.response();
    assert_eq!(
        run["targets"].as_array().unwrap().iter().filter(|target| target["promoted"] == true).count(),
        2
    );
    let mut predictor = start(&function_binary("batch-predictor"), folder.path()).await;
    let outcome = predictor.handle(dropped("incoming/green_tripdata_2021-03.parquet")).await.response();
    assert_eq!(outcome[0]["outcome"], "predicted");
    let predictions = folder.path().join("data").join(outcome[0]["predictions"].as_str().unwrap());
    let rows =
        dataset::summary_of(&months::green_bytes("2021-03"), dataset::ReadOptions::default()).unwrap().rows;
    assert_eq!(outcome[0]["rows"], rows, "{outcome}");
    // As the course's batch script names rides: year, month and the row's place in the file.
    let file = SerializedFileReader::new(File::open(predictions).unwrap()).unwrap();
    let id = |row: parquet::record::Row| row.get_string(0).unwrap().clone();
    let ids: Vec<String> = file.get_row_iter(None).unwrap().map(|row| id(row.unwrap())).collect();
    assert_eq!(ids, (0..rows).map(|row| format!("2021/03_{row}")).collect::<Vec<_>>());
    let none = predictor.handle(sample("batch-predictor-s3-test-event")).await;
    assert_eq!(none, Reply::Response(json!([])), "a test event tells of nothing");
}

/// Predicts a file of so many rows, those of a month again and again, and returns the most memory that this took, in MB.
async fn memory_of(folder: &Path, rows: usize) -> u64 {
    let (month, _) =
        dataset::read_all(&months::green_bytes("2021-03"), None, dataset::ReadOptions::default()).unwrap();
    let trips: Vec<_> = month.trips.into_iter().cycle().take(rows).collect();
    let outcomes: Vec<_> = month.outcomes.into_iter().cycle().take(rows).collect();
    let key = format!("incoming/{rows}-rows.parquet");
    let file = dataset::trips::to_parquet(&trips, &outcomes).unwrap();
    std::fs::write(folder.join("data").join(&key), file).unwrap();
    let mut predictor = start(&function_binary("batch-predictor"), folder).await;
    let outcome = predictor.handle(dropped(&key)).await.response();
    assert_eq!(outcome[0]["rows"], rows, "{outcome}");
    predictor.peak_memory() >> 20
}

#[tokio::test]
async fn a_file_ten_times_as_large_takes_hardly_more_memory() {
    if !has(Need::Built) {
        return;
    }
    let folder = folder_with_trips();
    let mut retrainer = start(&function_binary("retrainer"), folder.path()).await;
    retrainer.handle(sample("retrainer-now")).await.response();
    let (small, large) = (memory_of(folder.path(), 100_000).await, memory_of(folder.path(), 1_000_000).await);
    eprintln!("{small} MB, and {large} MB for ten times the rows");
    // Each processor has a batch of its own.
    let batches = 5 * std::thread::available_parallelism().unwrap().get() as u64;
    assert!(
        large < 200 + batches && large < small + 24 + batches,
        "{small} MB, and {large} MB for ten times the rows"
    );
}

/// Runs on this machine's processor, and by `make test-arm64` on the other one.
#[tokio::test]
async fn a_built_retrainer_comes_to_the_models_of_the_sample() {
    if !has(Need::Built) {
        return;
    }
    let folder = folder_with_history();
    let mut retrainer = start(&function_binary("retrainer"), folder.path()).await;
    let run = retrainer.handle(sample("retrainer-now")).await.response();
    let versions: Vec<_> =
        run["targets"].as_array().unwrap().iter().map(|target| &target["version"]).collect();
    assert_eq!(versions, months::SAMPLE_VERSIONS, "{run}");
}

#[test]
fn outside_of_lambda_a_retrainer_handles_the_event_of_its_argument() {
    if !has(Need::Built) {
        return;
    }
    let folder = folder_with_history();
    let run = |event: &str| {
        let mut retrainer = std::process::Command::new(function_binary("retrainer"));
        retrainer.arg(event).env_clear().envs(variables(folder.path())).output().unwrap()
    };
    let done = run(&sample("retrainer-now").to_string());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let answer = String::from_utf8(done.stdout).unwrap();
    let last: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
    let versions: Vec<_> =
        last["targets"].as_array().unwrap().iter().map(|target| &target["version"]).collect();
    assert_eq!(versions, months::SAMPLE_VERSIONS, "{last}");
    for bad in ["", "{", r#"{"now": "yesterday"}"#] {
        assert_eq!(run(bad).status.code(), Some(1), "{bad}");
    }
}

#[tokio::test]
async fn a_panic_costs_one_event_and_the_function_stays_alive() {
    if !has(Need::Built) {
        return;
    }
    let probe = root().join("target/probe/scorer");
    assert!(probe.exists(), "the probe is not built: run `make probe`");
    let folder = folder_with_trips();
    let mut retrainer = start(&function_binary("retrainer"), folder.path()).await;
    retrainer.handle(sample("retrainer-now")).await.response();
    let mut scorer = start(&probe, folder.path()).await;
    let mut event = sample("scorer-sqs");
    event["Records"][0]["body"] = json!("tripcast-panic-probe");
    let error = scorer.handle(event).await.error();
    assert_eq!(
        (&error["errorType"], &error["errorMessage"]),
        (&json!("Handler.Panic"), &json!("tripcast-panic-probe"))
    );
    // The queue cannot be reached, so every message of the next event fails; but the event is served.
    let served = scorer.handle(sample("scorer-sqs")).await.response();
    assert_eq!(served["batchItemFailures"].as_array().unwrap().len(), 3);
    assert!(scorer.is_alive());
}

#[tokio::test]
async fn what_is_missing_in_the_environment_ends_the_start() {
    if !has(Need::Built) {
        return;
    }
    for Function { name: function, .. } in functions() {
        let mut bootstrap = Bootstrap::start(&function_binary(&function), &[]).await;
        assert_ne!(bootstrap.exit_code().await, Some(0), "{function}");
    }
}

#[test]
fn packages_are_small_and_hold_no_probe() {
    if !has(Need::Built) {
        return;
    }
    let probe = b"tripcast-panic-probe";
    let contains = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(probe.len()).any(|window| window == probe)
    };
    assert!(
        contains(root().join("target/probe/scorer")),
        "the probe is in the build that is meant to have it"
    );
    for Function { name: function, .. } in functions() {
        // Of the scorer's, profiles take 0.07 MB and the client of Kinesis 0.25 MB.
        let bytes_max = if function == "scorer" { 5_200_000 } else { 10_000_000 };
        assert!(!contains(function_binary(&function)), "{function}");
        let package = packages().join(&function).join("bootstrap.zip");
        let bytes = std::fs::metadata(&package).unwrap_or_else(|_| panic!("run `make local`")).len();
        assert!(bytes < bytes_max, "{function}: {bytes} bytes, at most {bytes_max}");
    }
}

/// The time is printed, not asserted: a busy machine is not a defect.
#[tokio::test]
async fn the_start_to_the_first_poll_is_told() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for Function { name: function, .. } in functions() {
        let mut times = Vec::new();
        for _ in 0..9 {
            let mut bootstrap = start(&function_binary(&function), folder.path()).await;
            times.push(bootstrap.first_poll().await);
        }
        times.sort_unstable();
        eprintln!(
            "{function}: process start to first poll {:?} (median of {})",
            times[times.len() / 2],
            times.len()
        );
        assert!(times[0] < Duration::from_secs(60));
    }
}
