use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::testing::serve;

/// Starts a server that speaks the Kinesis protocol and responds with `answer` to the number of a call and its records.
async fn stream(
    answer: impl Fn(usize, &[Value]) -> Response + Clone + Send + Sync + 'static,
) -> (KinesisSink, Arc<Mutex<Vec<usize>>>) {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&sizes);
    let answer = move |call: Value| {
        assert_eq!(call["StreamName"], "predictions");
        let records = call["Records"].as_array().unwrap();
        let number = {
            let mut sizes = noted.lock().unwrap();
            sizes.push(records.len());
            sizes.len()
        };
        answer(number, records)
    };
    let (_, config) = serve(answer).await;
    (KinesisSink::new(&config, "predictions".into()), sizes)
}

fn records(count: usize, bytes: usize) -> Vec<Outgoing> {
    let record = |at: usize| Outgoing {
        partition_key: (at > 0).then(|| format!("key-{at}")),
        ..Outgoing::new(format!("{at:06}{}", "x".repeat(bytes)))
    };
    (0..count).map(record).collect()
}

fn put() -> Value {
    json!({"SequenceNumber": "21269319989653637946712965403778482977", "ShardId": "shardId-000000000001"})
}

fn answer_to(results: Vec<Value>) -> Response {
    let failed = results.iter().filter(|result| !result["ErrorCode"].is_null()).count();
    Json(json!({"FailedRecordCount": failed, "Records": results})).into_response()
}

#[tokio::test]
async fn calls_hold_five_hundred_records_and_five_mebibytes() {
    let (sink, sizes) = stream(|_, records| answer_to(vec![put(); records.len()])).await;
    assert!(sink.send(records(1_001, 10)).await.iter().all(Result::is_ok));
    assert_eq!(std::mem::take(&mut *sizes.lock().unwrap()), [500, 500, 1]);
    assert!(sink.send(records(11, 1_000_000)).await.iter().all(Result::is_ok));
    assert_eq!(*sizes.lock().unwrap(), [5, 5, 1]);
}

#[tokio::test]
async fn only_what_a_shard_refused_is_put_again() {
    let refused =
        json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"});
    let (sink, sizes) = stream(move |number, records| {
        let hot = |record: &Value| record["PartitionKey"] == "key-3" || record["PartitionKey"] == "tripcast";
        let result = |record| if hot(record) && number < 3 { refused.clone() } else { put() };
        answer_to(records.iter().map(result).collect())
    })
    .await;
    assert!(sink.send(records(5, 10)).await.iter().all(Result::is_ok));
    assert_eq!(*sizes.lock().unwrap(), [5, 2, 2], "a record without a key has one all the same");
}

#[tokio::test]
async fn what_is_never_taken_fails_alone_and_says_why() {
    let refused = json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."});
    let (sink, sizes) = stream(move |_, records| {
        let result = |record: &Value| if record["PartitionKey"] == "key-1" { refused.clone() } else { put() };
        answer_to(records.iter().map(result).collect())
    })
    .await;
    let results = sink.send(records(3, 10)).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let error = results[1].as_ref().unwrap_err().to_string();
    assert_eq!(error, "sending to predictions: InternalFailure: Internal service failure.");
    assert_eq!(*sizes.lock().unwrap(), [3, 1, 1, 1]);
}

#[tokio::test]
async fn a_call_that_fails_or_forgets_a_record_is_made_again() {
    let (sink, sizes) = stream(|number, records| match number {
        1 => (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response(),
        2 => answer_to(vec![put(); records.len() - 1]),
        _ => answer_to(vec![put(); records.len()]),
    })
    .await;
    assert!(sink.send(records(4, 10)).await.iter().all(Result::is_ok));
    assert_eq!(*sizes.lock().unwrap(), [4, 4, 1]);
}
