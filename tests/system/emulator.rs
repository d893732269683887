//! Runs the built functions under AWS's own Runtime Interface Emulator, with every sample event of infra/events.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::needs::{Need, has};
use tests::{function_binary, root, variable};
use tokio::process::{Child, Command};

use crate::bootstraps::folder_with_trips;

/// A function in the emulator.
struct Emulated {
    emulator: Child,
    url: String,
}

/// Returns a port that nothing listens on now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Emulated {
    async fn start(binary: &Path, folder: &Path) -> Self {
        let emulator = variable("EMULATOR").expect("run `make test-rie`");
        let (runtime, invoke) = (free_port(), free_port());
        let mut command = Command::new(emulator);
        command.args(["--log-level", "error", "--runtime-api-address", &format!("127.0.0.1:{runtime}")]);
        command.args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{invoke}")]).arg(binary);
        let at = |name: &str| folder.join(name).display().to_string();
        command.env_clear().envs([
            ("DATA_STORE", at("data")),
            ("MODEL_STORE", at("models")),
            ("PREDICTIONS_QUEUE_URL", "http://127.0.0.1:9/0/predictions".into()),
            ("DLQ_URL", "http://127.0.0.1:9/0/rejects".into()),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
            // The timeout of the retrainer: of a shorter one it reserves everything for judging and promoting.
            ("AWS_LAMBDA_FUNCTION_TIMEOUT", "900".into()),
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).process_group(0);
        let started = Self {
            emulator: command.spawn().unwrap(),
            url: format!("http://127.0.0.1:{invoke}/2015-03-31/functions/function/invocations"),
        };
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", invoke)).is_err() {
            assert!(Instant::now() < until, "the emulator does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started
    }

    async fn invoke(&self, event: &Value) -> Value {
        let answer = reqwest::Client::new().post(&self.url).json(event).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Ends the emulator and the function, which is in the same process group.
    async fn stop(mut self) {
        let group = format!("-{}", self.emulator.id().unwrap());
        let killed = Command::new("kill").args(["-TERM", "--", &group]).status().await.unwrap();
        assert!(killed.success());
        let ended = tokio::time::timeout(Duration::from_secs(10), self.emulator.wait()).await;
        assert!(ended.is_ok(), "the emulator goes on after SIGTERM");
    }
}

fn sample(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("infra/events").join(name)).unwrap()).unwrap()
}

/// Returns the names of the samples for a function.
fn samples(function: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join("infra/events")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with(function));
    names.sort_unstable();
    names
}

#[tokio::test]
async fn every_sample_event_is_answered() {
    if !has(Need::Emulator) {
        return;
    }
    let folder = folder_with_trips();
    let retrainer = Emulated::start(&function_binary("retrainer"), folder.path()).await;
    for name in samples("retrainer") {
        let answer = retrainer.invoke(&sample(&name)).await;
        match name.as_str() {
            "retrainer-step.json" => assert!(answer["run"].is_string(), "{name}: {answer}"),
            "retrainer-report.json" => assert!(answer["retraining_hours"].is_number(), "{name}: {answer}"),
            _ => assert_eq!(answer["targets"].as_array().map(Vec::len), Some(2), "{name}: {answer}"),
        }
    }
    retrainer.stop().await;

    let predictor = Emulated::start(&function_binary("batch-predictor"), folder.path()).await;
    for name in samples("batch-predictor") {
        let answer = predictor.invoke(&sample(&name)).await;
        // The files that the samples name are gone or replaced, in another bucket, or not of the months asked for.
        let one = std::slice::from_ref(&answer);
        for outcome in answer.as_array().map_or(one, Vec::as_slice) {
            let ended = outcome["outcome"].as_str().unwrap_or_default();
            assert!(["predicted", "gone", "ignored", "outside"].contains(&ended), "{name}: {answer}");
        }
    }
    let mut event = sample("batch-predictor-eventbridge.json");
    event["detail"]["object"] = json!({"key": "incoming/green_tripdata_2021-03.parquet"});
    assert_eq!(predictor.invoke(&event).await[0]["outcome"], "predicted");
    predictor.stop().await;

    let scorer = Emulated::start(&function_binary("scorer"), folder.path()).await;
    for name in samples("scorer") {
        let answer = scorer.invoke(&sample(&name)).await;
        // The queues cannot be reached, so every message fails, and of a stream the first record from which it goes on.
        let failed = match name.as_str() {
            "scorer-kinesis.json" => 1,
            _ => sample(&name)["Records"].as_array().unwrap().len(),
        };
        assert_eq!(answer["batchItemFailures"].as_array().map(Vec::len), Some(failed), "{name}: {answer}");
    }
    scorer.stop().await;
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_next_event_is_served() {
    if !has(Need::Emulator) {
        return;
    }
    let probe = root().join("target/probe/scorer");
    assert!(probe.exists(), "the probe is not built: run `make probe`");
    let folder = folder_with_trips();
    let retrainer = Emulated::start(&function_binary("retrainer"), folder.path()).await;
    let run = retrainer.invoke(&sample("retrainer-now.json")).await;
    assert_eq!(run["targets"][0]["promoted"], true, "{run}");
    retrainer.stop().await;
    let scorer = Emulated::start(&probe, folder.path()).await;
    let mut event = sample("scorer-sqs.json");
    event["Records"][0]["body"] = json!("tripcast-panic-probe");
    let error = scorer.invoke(&event).await;
    assert_eq!(
        (&error["errorType"], &error["errorMessage"]),
        (&json!("Handler.Panic"), &json!("tripcast-panic-probe"))
    );
    let served = scorer.invoke(&sample("scorer-sqs.json")).await;
    assert_eq!(served["batchItemFailures"].as_array().map(Vec::len), Some(3), "{served}");
    scorer.stop().await;
}
