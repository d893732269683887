//! A backfill by the deployed state machine: stopped in the middle, and resumed by the same command.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Month, Target, testing};
use registry::{NO_CARD, Registry};
use serde_json::{Value, json};
use store::{Store, StoreUri};
use tests::needs::{Need, has};
use tests::stack::Stack;
use tests::{months, release_binary};

/// The months of a backfill of two years.
fn span() -> Vec<Month> {
    let all = (2023..2025).flat_map(|year| (1..=12).map(move |month| format!("{year}-{month:02}")));
    all.map(|month| month.parse().unwrap()).take(22).collect()
}

fn backfill(stack: &Stack) -> Child {
    let mut command = Command::new(release_binary("tripcast"));
    command.args(["--json", "backfill", "--from", "2023-01", "--to", "2024-10", "--state-machine"]);
    command.arg(stack.output("BackfillStateMachineArn"));
    command.env("AWS_ENDPOINT_URL", stack.config.endpoint_url().unwrap()).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the command and returns what it printed, and whether it ended well.
fn report(child: Child) -> (Value, bool) {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    (printed, output.status.success())
}

async fn promote(registry: &Registry) {
    let bytes = testing::constant_duration(10.0);
    let version = registry.publish(Target::Duration, bytes.into(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "2021-01-01T00:00:00Z").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_is_stopped_goes_on_and_predicts_each_file_once() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("backfilled");
    let directory = tempfile::tempdir().unwrap();
    // Dropped before there is a champion, so that no event predicts them.
    for month in span() {
        let name = format!("incoming/green_tripdata_{month}.parquet");
        let bytes = match months::any(&month.to_string()) {
            Some(path) => std::fs::read(path).unwrap().into(),
            None => months::green_bytes("2021-03"),
        };
        stack.put(&name, bytes.clone()).await;
        std::fs::create_dir_all(directory.path().join("data/incoming")).unwrap();
        std::fs::write(directory.path().join("data").join(name), bytes).unwrap();
    }
    stack.put("incoming/green_tripdata_2022-12.parquet", months::green_bytes("2021-03")).await;
    let refusal = "quarantine/green_tripdata_2022-12.parquet.error.json";
    stack.wait_for(refusal, 60).await;
    promote(&Registry::new(Arc::new(stack.models()))).await;

    let predicted = async || stack.data().list("summaries/").await.unwrap().len();
    let mut first = backfill(&stack);
    let mut line = String::new();
    BufReader::new(first.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let execution = line.trim().strip_prefix("started ").unwrap_or_else(|| panic!("{line}")).to_string();
    let until = Instant::now() + Duration::from_secs(60);
    while predicted().await < 4 {
        assert!(Instant::now() < until, "nothing is predicted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stack.steps("StopExecution", &json!({"executionArn": execution})).await;
    let output = first.wait_with_output().unwrap();
    assert!(!output.status.success(), "the command says that its execution was stopped");

    let (second, ended_well) = report(backfill(&stack));
    assert!(ended_well, "{second}");
    let count = |report: &Value, outcome: &str| report["outcomes"][outcome].as_u64().unwrap_or_default();
    assert!(count(&second, "unchanged") >= 4, "what the first had done is left as it is: {second}");
    assert_eq!(count(&second, "predicted") + count(&second, "unchanged"), 22, "{second}");
    assert_eq!((count(&second, "outside"), &second["objects"]), (1, &json!(23)), "{second}");

    let (third, ended_well) = report(backfill(&stack));
    assert!(ended_well && count(&third, "unchanged") == 22 && third["rows"] == 0, "{third}");

    // A directory is walked by the command itself, to the same bytes under the same keys.
    let here = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    let models: StoreUri = here("models").parse().unwrap();
    std::fs::create_dir_all(here("models")).unwrap();
    promote(&Registry::new(models.open().await)).await;
    let mut walk = Command::new(release_binary("tripcast"));
    walk.args(["--json", "backfill", "--data", &here("data"), "--models", &here("models")]);
    let (walked, ended_well) = report(walk.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(ended_well && count(&walked, "predicted") == 22, "{walked}");
    let written = stack.data().list("predictions/").await.unwrap();
    assert_eq!(written.len(), 22);
    for meta in written {
        let of_stack = stack.wait_for(meta.key.as_str(), 5).await;
        let of_directory = std::fs::read(directory.path().join("data").join(meta.key.as_str())).unwrap();
        assert!(of_stack == of_directory, "{}", meta.key);
    }

    // A file that can never be predicted is listed by its key, and the exit code says that there is one.
    stack.put("incoming/green_tripdata_2024-05.parquet", "no trips".into()).await;
    let (last, ended_well) = report(backfill(&stack));
    assert!(!ended_well && count(&last, "unchanged") == 21, "{last}");
    let failed = last["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{last}");
    assert_eq!(failed[0]["key"], "incoming/green_tripdata_2024-05.parquet");
    assert!(failed[0]["reason"].as_str().unwrap().starts_with("Dataset."), "{last}");
}
