//! What failed for good is found and done again from a terminal: dead letters, failed events, records of a stream, lost events.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use model::{Target, testing};
use registry::{NO_CARD, Registry};
use serde_json::{Value, json};
use store::{Condition, ObjectKey, Store};
use tests::needs::{Need, has};
use tests::stack::Stack;
use tests::{months, release_binary};

use super::{document, ids, messages};

const ALIAS: &str = "duration/aliases/champion.json";

/// Runs `tripcast` on a stack and returns what it printed, and whether it ended well.
fn tripcast(stack: &Stack, arguments: &[&str]) -> (Value, bool) {
    let mut command = Command::new(release_binary("tripcast"));
    command.arg("--json").args(arguments);
    command.env("AWS_ENDPOINT_URL", stack.config.endpoint_url().unwrap()).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    (printed, output.status.success())
}

/// Waits until a queue has at least so many messages, and their number stays the same for some seconds.
async fn settled(stack: &Stack, queue: &str, count: usize, seconds: u64) -> usize {
    let (until, mut depth, mut since) = (Instant::now() + Duration::from_secs(seconds), 0, Instant::now());
    loop {
        let now = stack.depth(queue).await;
        if now != depth {
            (depth, since) = (now, Instant::now());
        }
        if depth >= count && since.elapsed() > Duration::from_secs(5) {
            return depth;
        }
        assert!(Instant::now() < until, "{queue} has {depth} messages of {count}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Puts what is no alias in the place of the champion's, so that everything fails; then a champion.
async fn break_models(stack: &Stack) {
    let key = ObjectKey::new(ALIAS).unwrap();
    stack.models().put(&key, "no alias".into(), Condition::Always).await.unwrap();
}

async fn mend_models(stack: &Stack) {
    let bucket = stack.output("ModelBucketName");
    stack.s3.delete_object().bucket(bucket).key(ALIAS).send().await.unwrap();
    let registry = Registry::new(Arc::new(stack.models()));
    let bytes = testing::constant_duration(10.0);
    let version = registry.publish(Target::Duration, bytes.into(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "2021-01-01T00:00:00Z").await.unwrap();
}

/// Sends the note that Lambda leaves of what the function called `function` failed on for good. The local AWS leaves none of an
/// alias, nor of records.
async fn send_note(stack: &Stack, function: &str, mut note: Value) {
    note["requestContext"] = json!({
        "functionArn": format!("arn:aws:lambda:us-east-1:000000000000:function:{function}:live"),
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    });
    stack.send("BatchFailuresQueueUrl", &[note.to_string()]).await;
}

/// Sends a message that looks as if the scorer had rejected it.
async fn send_rejection(stack: &Stack, queue: &str) {
    let mut send = stack.sqs.send_message().queue_url(stack.output(queue)).message_body("not json");
    for (name, value) in [("reason", "undecodable"), ("source_message_id", "m")] {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap();
        send = send.message_attributes(name, value);
    }
    send.send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_for_good_is_found_and_done_again() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy_with("recovered", 1, &["StreamShards=1"]);
    break_models(&stack).await;
    stack.send("TripsQueueUrl", &messages(3)).await;
    for name in ["green_tripdata_2021-02.parquet", "green_tripdata_2021-03.parquet"] {
        stack.put(&format!("incoming/{name}"), months::green_bytes("2021-03")).await;
    }
    assert_eq!(settled(&stack, "DeadLetterQueueUrl", 3, 120).await, 3);
    mend_models(&stack).await;

    dead_letters_go_back(&stack).await;
    failed_events_are_replayed(&stack).await;
    lost_events_are_found(&stack).await;
    records_are_replayed(&stack).await;
}

async fn dead_letters_go_back(stack: &Stack) {
    send_rejection(stack, "DeadLetterQueueUrl").await;
    let (queue, trips) = (stack.output("DeadLetterQueueUrl"), stack.output("TripsQueueUrl"));
    let (listed, _) = tripcast(stack, &["dlq", "list", "--queue", queue]);
    let counted = |is_rejection: bool| {
        let reasons = listed[0]["reasons"].as_array().unwrap().iter();
        let of_kind = reasons.filter(|one| one["is_rejection"] == is_rejection);
        of_kind.map(|one| one["messages"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((counted(false), counted(true)), (3, 1), "{listed}");
    let redrive = ["dlq", "redrive", "--queue", queue, "--to", trips];
    let (dry, _) = tripcast(stack, &[&redrive[..], &["--dry-run"]].concat());
    assert_eq!((&dry["moved"], &dry["rejections_left"]), (&json!(3), &json!(1)), "{dry}");
    let (redriven, ended_well) = tripcast(stack, &redrive);
    assert!(ended_well && redriven["moved"] == 3 && redriven["rejections_left"] == 1, "{redriven}");
    let predictions = stack.receive("PredictionsQueueUrl", 3, 60).await;
    assert_eq!(ids(&predictions).len(), 3);

    let (left, _) = tripcast(stack, &["dlq", "list", "--queue", queue]);
    let id = left[0]["sample"][0]["id"].as_str().unwrap();
    let (shown, _) = tripcast(stack, &["dlq", "show", "--queue", queue, "--id", id]);
    assert_eq!((&shown["body"], &shown["is_rejection"]), (&json!("not json"), &json!(true)), "{shown}");
    assert_eq!(stack.depth("DeadLetterQueueUrl").await, 1, "looking takes nothing away");
}

async fn failed_events_are_replayed(stack: &Stack) {
    let (queue, function) =
        (stack.output("BatchFailuresQueueUrl"), stack.output("BatchPredictorFunctionName"));
    let event = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {
        "bucket": {"name": stack.output("DataBucketName")}, "object": {"key": "incoming/green_tripdata_2021-03.parquet"}}});
    let error = json!({"errorType": "Models.Unusable", "errorMessage": "predicting it"});
    send_note(stack, function, json!({"requestPayload": event, "responsePayload": error})).await;
    let (listed, _) = tripcast(stack, &["failures", "list", "--queue", queue]);
    let is_march = |entry: &&Value| entry["about"][0].as_str().unwrap().ends_with("_2021-03.parquet");
    let entry = listed["entries"].as_array().unwrap().iter().find(is_march);
    let entry = entry.unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(
        (entry["function"].as_str(), &entry["can_be_replayed"]),
        (Some(format!("{function}:live").as_str()), &json!(true))
    );
    let replay = [
        "failures",
        "replay",
        "--queue",
        queue,
        "--function",
        function,
        "--id",
        entry["id"].as_str().unwrap(),
    ];
    let (replayed, ended_well) = tripcast(stack, &replay);
    assert!(ended_well && replayed["replayed"].as_array().unwrap().len() == 1, "{replayed}");
    super::predictions_key(stack, "green_tripdata_2021-03.parquet").await;
    // The other file's event is lost, if the local AWS has kept it.
    stack.receive("BatchFailuresQueueUrl", 0, 10).await;
}

async fn lost_events_are_found(stack: &Stack) {
    let [data, models] =
        ["DataBucketName", "ModelBucketName"].map(|name| format!("s3://{}", stack.output(name)));
    let reconcile = ["reconcile", "--data", &data, "--models", &models, "--grace-minutes", "0"];
    let (found, ended_well) = tripcast(stack, &reconcile);
    assert!(!ended_well && found["predicted"] == 1, "{found}");
    assert_eq!(found["missing"][0]["key"], "incoming/green_tripdata_2021-02.parquet", "{found}");
    let (young, ended_well) = tripcast(stack, &reconcile[..5]);
    assert!(ended_well && young["young"] == 1, "{young}");
    let function = format!("{}:live", stack.output("BatchPredictorFunctionName"));
    let resend = [&reconcile[..], &["--resend", "--function", &function]];
    let (resent, ended_well) = tripcast(stack, &resend.concat());
    assert!(ended_well && resent["resent"]["done"] == 1, "{resent}");
    let until = Instant::now() + Duration::from_secs(60);
    while !tripcast(stack, &reconcile).1 {
        assert!(Instant::now() < until, "the file is not predicted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn records_are_replayed(stack: &Stack) {
    let (trips, function) = (stack.output("TripsStreamName"), stack.output("ScorerFunctionName"));
    let put = stack.kinesis.put_record().stream_name(trips).partition_key("taxi-7");
    let put = put.data(Blob::new(messages(1).remove(0))).send().await.unwrap();
    let predicted = async |count: usize| {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let records = stack.records("PredictionsStreamName").await;
            if records.len() >= count {
                return records;
            }
            assert!(Instant::now() < until, "{} of {count} predictions", records.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    predicted(1).await;
    let about = stack.kinesis.describe_stream_summary().stream_name(trips).send().await.unwrap();
    let stream = about.stream_description_summary.unwrap().stream_arn;
    let info = json!({"shardId": put.shard_id, "startSequenceNumber": put.sequence_number,
        "endSequenceNumber": put.sequence_number, "batchSize": 1, "streamArn": stream});
    send_note(stack, function, json!({"KinesisBatchInfo": info})).await;
    let queue = stack.output("BatchFailuresQueueUrl");
    let (replayed, ended_well) = tripcast(
        stack,
        &["failures", "replay", "--queue", queue, "--function", function, "--stream", &stream],
    );
    assert!(ended_well && replayed["replayed"].as_array().unwrap().len() == 1, "{replayed}");
    let records = predicted(2).await;
    let id = |at: usize| document(&records[at].1)["id"].clone();
    assert_eq!((id(0), records[0].0.as_str()), (id(1), "taxi-7"), "the same prediction once more");
    assert_eq!(stack.depth("BatchFailuresQueueUrl").await, 0);
}
