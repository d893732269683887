//! Tests the whole system on the local AWS: the built packages, deployed from template.yaml, a stack for each test.

mod backfilled;
mod http;
mod recovered;
mod streamed;
mod tracked;
mod trained;
mod watched;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use registry::{NO_CARD, Registry};
use serde_json::{Value, json};
use store::{Store, conformance};
use tests::months;
use tests::needs::{Need, has};
use tests::release_binary;
use tests::stack::{Stack, attribute};

/// Returns `count` messages from trips of March 2021.
fn messages(count: usize) -> Vec<String> {
    let mut command = Command::new(release_binary("tripcast"));
    command.args(["data", "sample", "--rows", &count.to_string(), "--input"]).arg(months::green("2021-03"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn ids(messages: &[aws_sdk_sqs::types::Message]) -> Vec<String> {
    let id = |message: &aws_sdk_sqs::types::Message| {
        document(message.body().unwrap())["id"].as_str().unwrap().into()
    };
    messages.iter().map(id).collect()
}

#[tokio::test]
async fn a_thousand_messages_end_once_each() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("thousand");
    let run = stack.retrain().await;
    for target in run["targets"].as_array().unwrap() {
        assert_eq!(target["promoted"], true, "{target}");
    }
    let mut bodies = messages(1000);
    assert_eq!(bodies.len(), 1000);
    bodies[100] = "not json".into();
    bodies[500] = json!({"ride_id": 1, "ride": {"DOLocationID": 7}}).to_string();
    bodies[900] = json!({"ride_id": [1], "ride": {"PULocationID": 7, "DOLocationID": 7}}).to_string();
    stack.send("TripsQueueUrl", &bodies).await;
    let predictions = stack.receive("PredictionsQueueUrl", 997, 120).await;
    let distinct: HashSet<String> = ids(&predictions).into_iter().collect();
    assert_eq!((predictions.len(), distinct.len()), (997, 997), "each exactly once by id");
    let sent: HashSet<String> = bodies
        .iter()
        .filter_map(|body| model::TripRequest::decode(body).ok().filter(|request| request.parse().is_ok()))
        .map(|request| request.prediction_id())
        .collect();
    assert_eq!(distinct, sent, "the ids are those of what was sent");
    let example = document(predictions[0].body().unwrap());
    assert_eq!(example["versions"]["duration"], example["version"]);
    let probability = example["prediction"]["tip_probability"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&probability));
    let rejects = stack.receive("RejectsQueueUrl", 3, 30).await;
    let reasons: HashMap<&str, usize> = rejects.iter().map(|reject| attribute(reject, "reason")).fold(
        HashMap::new(),
        |mut counts, reason| {
            *counts.entry(reason).or_default() += 1;
            counts
        },
    );
    let expected = [("undecodable", 1), ("missing_pickup_zone", 1), ("invalid_ride_id", 1)];
    assert_eq!(reasons, expected.into_iter().collect());
    for reject in &rejects {
        assert!(
            !attribute(reject, "detail").is_empty() && !attribute(reject, "source_message_id").is_empty()
        );
        assert!(bodies.iter().any(|body| body == reject.body().unwrap()), "the body as it was sent");
    }
    assert_eq!(stack.depth("DeadLetterQueueUrl").await, 0, "a redrive would send rejected messages again");
    assert_eq!(stack.depth("TripsQueueUrl").await, 0);
}

#[tokio::test]
async fn a_failing_sink_is_retried_and_nothing_is_lost() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("failing-sink");
    stack.retrain().await;
    let queue = stack.output("PredictionsQueueUrl").to_string();
    let name = queue.rsplit('/').next().unwrap().to_string();
    stack.sqs.delete_queue().queue_url(&queue).send().await.unwrap();
    let bodies = messages(50);
    stack.send("TripsQueueUrl", &bodies).await;
    stack.wait_until_taken("TripsQueueUrl", 50).await;
    assert_eq!(stack.depth("TripsQueueUrl").await, 50, "what could not be delivered waits");
    stack.sqs.create_queue().queue_name(name).send().await.unwrap();
    let predictions = stack.receive("PredictionsQueueUrl", 50, 30).await;
    assert_eq!(ids(&predictions).into_iter().collect::<HashSet<_>>().len(), 50);
    assert_eq!((stack.depth("TripsQueueUrl").await, stack.depth("DeadLetterQueueUrl").await), (0, 0));
}

#[tokio::test]
async fn without_a_model_messages_and_files_wait_or_say_so() {
    if !has(Need::LocalAws) {
        return;
    }
    // Messages must outlast a retraining on a slow machine.
    let stack = Stack::deploy_with("no-model", 20, &[]);
    stack.put("incoming/green_tripdata_2021-03.parquet", months::green_bytes("2021-03")).await;
    let why = stack.wait_for("quarantine/green_tripdata_2021-03.parquet.error.json", 30).await;
    assert_eq!(document(std::str::from_utf8(&why).unwrap())["outcome"], "no_model");
    let failed = stack.invoke("ScorerFunction", &sqs_event(&messages(1))).await.unwrap_err();
    assert_eq!(failed["errorType"], "Models.NoChampion");
    stack.send("TripsQueueUrl", &messages(5)).await;
    stack.wait_until_taken("TripsQueueUrl", 5).await;
    assert_eq!(stack.depth("TripsQueueUrl").await, 5, "they wait for a champion");
    stack.retrain().await;
    assert_eq!(stack.receive("PredictionsQueueUrl", 5, 60).await.len(), 5);
}

fn sqs_event(bodies: &[String]) -> Value {
    let record = |(at, body): (usize, &String)| json!({"messageId": format!("m{at}"), "body": body});
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()})
}

#[tokio::test]
async fn dropped_files_become_predictions_or_reasons() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("dropped");
    let run = stack.retrain().await;
    let version = &run["targets"][0]["version"];
    let month = months::green_bytes("2021-03");
    // A space, a plus and a percent sign are the hard cases of key encodings.
    stack.put("incoming/late trips + 100%/green_tripdata_2021-03.parquet", month.clone()).await;
    stack.put("incoming/notes.parquet", Bytes::from_static(b"these are notes and not parquet")).await;
    let why = stack.wait_for("quarantine/notes.parquet.error.json", 60).await;
    assert_eq!(document(std::str::from_utf8(&why).unwrap())["error_type"], "Dataset.NotParquet");
    let (predictions, summary) = results(&stack, "late trips + 100%/green_tripdata_2021-03.parquet").await;
    assert_eq!(&summary["versions"]["duration"], version);
    assert_eq!(summary["source"]["key"], "incoming/late trips + 100%/green_tripdata_2021-03.parquet");
    let rows = dataset::summary_of(&month, dataset::ReadOptions::default()).unwrap().rows;
    assert_eq!((summary["rows"].as_u64(), summary["predicted"].as_u64()), (Some(rows), Some(rows)));
    let rmse = summary["metrics"]["duration"]["rmse"].as_f64().unwrap();
    assert!((1.0..20.0).contains(&rmse), "{rmse}");

    // The same file again gives the same bytes at the same place, written anew.
    let key = predictions_key(&stack, "late trips + 100%/green_tripdata_2021-03.parquet").await;
    let before = version_of(&stack, &key).await;
    stack.put("incoming/late trips + 100%/green_tripdata_2021-03.parquet", month).await;
    let until = Instant::now() + Duration::from_secs(60);
    while version_of(&stack, &key).await == before {
        assert!(Instant::now() < until, "the second drop was not predicted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stack.wait_for(&key, 1).await, predictions);
    assert_eq!(stack.depth("BatchFailuresQueueUrl").await, 0);
}

async fn predictions_key(stack: &Stack, below: &str) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let found = stack.data().list("summaries/").await.unwrap();
        let ending = format!("/month=2021-03/{below}.json");
        if let Some(meta) = found.iter().find(|meta| meta.key.as_str().ends_with(&ending)) {
            let path = meta.key.as_str().trim_start_matches("summaries/").trim_end_matches(".json");
            return format!("predictions/{path}");
        }
        assert!(Instant::now() < until, "no predictions of {below}: {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the predictions of a file and their summary.
async fn results(stack: &Stack, below: &str) -> (Bytes, Value) {
    let key = predictions_key(stack, below).await;
    let summary = key.replacen("predictions/", "summaries/", 1) + ".json";
    let summary = stack.wait_for(&summary, 5).await;
    (stack.wait_for(&key, 5).await, document(std::str::from_utf8(&summary).unwrap()))
}

/// The version of an object; the buckets keep versions.
async fn version_of(stack: &Stack, key: &str) -> String {
    let head = stack.s3.head_object().bucket(stack.output("DataBucketName")).key(key).send().await.unwrap();
    head.version_id.unwrap()
}

#[tokio::test]
async fn a_promotion_reaches_a_warm_scorer_and_a_file_that_cannot_be_handled_is_kept() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("warm");
    let run = stack.retrain().await;
    let first = run["targets"][0]["version"].as_str().unwrap().to_string();
    stack.send("TripsQueueUrl", &messages(1)).await;
    let answered = stack.receive("PredictionsQueueUrl", 1, 30).await;
    assert_eq!(document(answered[0].body().unwrap())["version"], first.as_str());

    // Another model, trained and promoted from a terminal.
    let other = other_model();
    let registry = Registry::new(std::sync::Arc::new(stack.models()));
    let version = registry.publish(model::Target::Duration, other, &NO_CARD).await.unwrap();
    let store = format!("s3://{}", stack.output("ModelBucketName"));
    let mut command = Command::new(release_binary("tripcast"));
    command.args([
        "registry",
        "promote",
        "--target",
        "duration",
        "--store",
        &store,
        "--version",
        version.as_str(),
    ]);
    let endpoint = stack.config.endpoint_url().unwrap();
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", "us-east-1");
    let output =
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        stack.send("TripsQueueUrl", &messages(1)).await;
        let answered = stack.receive("PredictionsQueueUrl", 1, 30).await;
        if document(answered[0].body().unwrap())["version"] == version.as_str() {
            break;
        }
        assert!(Instant::now() < until, "the promoted model does not serve");
    }
    assert_eq!(registry.history(model::Target::Duration).await.unwrap().len(), 2);

    // An unknown event ends in the queue of failures after its retries, complete.
    stack.invoke_async("BatchPredictorFunction", &json!({"what": "is this"})).await;
    let failures = stack.receive("BatchFailuresQueueUrl", 1, 30).await;
    assert_eq!(document(failures[0].body().unwrap())["requestPayload"], json!({"what": "is this"}));
}

/// Trains a duration model of January with a ridge penalty, so that it differs from the champion.
fn other_model() -> Bytes {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.bin");
    let (january, february) = (months::green("2021-01"), months::green("2021-02"));
    let mut command = Command::new(release_binary("tripcast"));
    command.args(["train", "--target", "duration", "--ridge", "5", "--train"]).arg(january);
    command.arg("--validate").arg(february).arg("--out").arg(&path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = Bytes::from(std::fs::read(&path).unwrap());
    score_says(&path, &bytes);
    bytes
}

/// Checks that `tripcast score` predicts with the same model, and reports the line that it cannot score.
fn score_says(model_file: &std::path::Path, bytes: &[u8]) {
    let mut command = Command::new(release_binary("tripcast"));
    command.arg("score").arg("--model").arg(model_file);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = format!("{}\nnot json\n", messages(1)[0]);
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer = document(std::str::from_utf8(&output.stdout).unwrap().trim());
    assert_eq!(answer["version"], model::ModelVersion::from_bytes(bytes).as_str());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("\"line\":2") && stderr.contains("1 of 2 lines were rejected"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

/// Covers rare events in one run: a challenger in the shadow, a champion that a later month replaces after another
/// promoter has failed, a report, an event that names a version, and a file that is damaged in the middle.
#[tokio::test]
async fn a_later_month_replaces_a_champion_while_a_challenger_is_watched() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("later");
    let run = stack.retrain().await;
    let champion: model::ModelVersion = run["targets"][0]["version"].as_str().unwrap().parse().unwrap();
    let registry = Registry::new(std::sync::Arc::new(stack.models()));
    let target = model::Target::Duration;
    let linear = registry.versions(target).await.unwrap().into_iter().map(|(version, _)| version);
    let linear = linear.into_iter().find(|version| *version != champion).unwrap();

    let watch = [registry::Change::Add(linear.clone())];
    registry.challenge(target, &watch, "to compare", "2021-03-15T09:00:00Z").await.unwrap();
    stack.send("TripsQueueUrl", &messages(5)).await;
    assert_eq!(stack.receive("PredictionsQueueUrl", 5, 30).await.len(), 5);
    let until = Instant::now() + Duration::from_secs(30);
    let kept = loop {
        match stack.data().list("answers/").await.unwrap().into_iter().next() {
            Some(meta) => break stack.wait_for(meta.key.as_str(), 5).await,
            None => assert!(Instant::now() < until, "no predictions of the challenger"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let line = document(std::str::from_utf8(&kept).unwrap().lines().next().unwrap());
    assert_eq!(line["challengers"][0]["version"], linear.as_str());

    // The weaker model is promoted by hand; another promoter failed before it moved the alias further.
    let present = registry.champion(target).await.unwrap();
    registry.promote(target, &linear, present.as_ref(), "by hand", "2021-03-20T09:00:00Z").await.unwrap();
    let weaker = registry.champion(target).await.unwrap().unwrap().alias;
    let left = store::ObjectKey::new(format!("duration/history/{:08}.json", weaker.seq)).unwrap();
    let record = Bytes::from(serde_json::to_vec_pretty(&weaker).unwrap());
    stack.models().put(&left, record, store::Condition::IfAbsent).await.unwrap();
    stack.put("incoming/green_tripdata_2021-03.parquet", months::green_bytes("2021-03")).await;
    let later =
        stack.invoke("RetrainerFunction", &json!({"now": "2021-04-15", "target": "duration"})).await.unwrap();
    assert_eq!(later["targets"][0]["promoted"], true, "{later}");
    let history = registry.history(target).await.unwrap();
    assert_eq!(history.iter().map(|alias| alias.seq).collect::<Vec<_>>(), [1, 2, 3]);

    let age = stack.invoke("RetrainerFunction", &json!({"report": "age"})).await.unwrap();
    assert!(age["model_hours"].as_f64().is_some() && age["retraining_hours"].as_f64().is_some(), "{age}");

    let bucket = stack.output("DataBucketName");
    let key = "incoming/green_tripdata_2021-03.parquet";
    let month = months::green_bytes("2021-03");
    let put = stack.s3.put_object().bucket(bucket).key(key).body(month.clone().into()).send().await.unwrap();
    let object = json!({"key": key, "versionId": put.version_id, "eTag": put.e_tag});
    let record =
        json!({"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": object}});
    let outcome = stack.invoke("BatchPredictorFunction", &json!({"Records": [record]})).await.unwrap();
    assert_eq!(outcome[0]["outcome"], "predicted", "{outcome}");

    let mut damaged = month.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0xA5);
    stack.put("incoming/damaged.parquet", Bytes::from(damaged)).await;
    let why = stack.wait_for("quarantine/damaged.parquet.error.json", 60).await;
    let why = document(std::str::from_utf8(&why).unwrap());
    assert!(why["error_type"].as_str().unwrap().starts_with("Dataset."), "{why}");
}

#[tokio::test]
async fn a_store_in_s3_conforms() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("conformance");
    let bucket = stack.output("ModelBucketName").to_string();
    conformance::check(&store::S3Store::new(&stack.config, bucket, "some/prefix/".into())).await;
    assert_eq!(stack.models().list("whole/").await.unwrap(), [], "nothing lies outside of the prefix");
}
