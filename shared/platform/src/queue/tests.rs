use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::testing::serve;

fn messages(count: usize, bytes: usize) -> Vec<Outgoing> {
    (0..count).map(|at| Outgoing::new(format!("{at}{}", "x".repeat(bytes)))).collect()
}

#[test]
fn calls_hold_ten_messages_and_a_mebibyte() {
    fn split(messages: &[Outgoing]) -> Vec<&[Outgoing]> {
        calls(messages, ENTRIES_A_CALL, BYTES_A_CALL, Outgoing::bytes)
    }
    let sizes = |messages: &[Outgoing]| split(messages).iter().map(|call| call.len()).collect::<Vec<_>>();
    assert_eq!(sizes(&messages(23, 10)), [10, 10, 3]);
    assert_eq!(sizes(&messages(5, 400 << 10)), [2, 2, 1]);
    assert_eq!(sizes(&messages(2, 2 << 20)), [1, 1], "too large goes alone, for the queue to refuse");
    assert!(sizes(&[]).is_empty());
    let all: Vec<Outgoing> = split(&messages(23, 10)).concat();
    assert_eq!(all, messages(23, 10), "in order, each once");
}

#[test]
fn only_xml_s_characters_are_sent() {
    assert_eq!(sendable("a\u{0}b\u{1b}c\n\u{ffff}ü", 100), "a?b?c\n?ü");
    assert_eq!(sendable("aüü", 4), "aü", "cut between characters");
}

#[test]
fn a_document_is_sent_without_the_characters_that_sqs_refuses() {
    let document = json!({"ride_id": "a\u{ffff}b"});
    let sent = Outgoing::json(&document).unwrap().body;
    assert_eq!(sent, r#"{"ride_id":"a\uffffb"}"#);
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), document);
}

/// Starts a server that speaks the SQS protocol and responds with `answer`.
async fn queue(answer: impl Fn(Value) -> Response + Clone + Send + Sync + 'static) -> SqsSink {
    let (url, config) = serve(answer).await;
    SqsSink::new(&config, format!("{url}/0/predictions"))
}

fn acknowledge(id: &str) -> Value {
    json!({"Id": id, "MessageId": id, "MD5OfMessageBody": "x"})
}

#[tokio::test]
async fn each_message_is_acknowledged_refused_or_forgotten_on_its_own() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let sink = queue(move |call| {
        counted.fetch_add(1, Ordering::SeqCst);
        let entries = call["Entries"].as_array().unwrap().clone();
        assert_eq!(entries[0]["MessageAttributes"]["reason"]["StringValue"], "undecodable");
        assert!(entries[0]["MessageAttributes"]["empty"].is_null());
        // The first is sent, the second refused, and the third not named in the response.
        let refused = json!({"Id": entries[1]["Id"], "SenderFault": true, "Code": "InvalidParameterValue"});
        let sent = acknowledge(entries[0]["Id"].as_str().unwrap());
        Json(json!({"Successful": [sent], "Failed": [refused]})).into_response()
    })
    .await;
    let attributes = vec![("reason", "undecodable".to_string()), ("empty", String::new())];
    let three =
        messages(3, 1).into_iter().map(|m| Outgoing { attributes: attributes.clone(), ..m }).collect();
    let results = sink.send(three).await;
    assert_eq!(results[0], Ok(()));
    assert!(results[1].as_ref().unwrap_err().to_string().contains("InvalidParameterValue"));
    assert!(results[2].as_ref().unwrap_err().to_string().contains("did not acknowledge"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_fails_fails_its_ten_alone() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let sink = queue(move |call| {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            return (StatusCode::SERVICE_UNAVAILABLE, "{}").into_response();
        }
        let ids = call["Entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| acknowledge(entry["Id"].as_str().unwrap()));
        Json(json!({"Successful": ids.collect::<Vec<_>>(), "Failed": []})).into_response()
    })
    .await;
    let results = sink.send(messages(12, 1)).await;
    assert_eq!(
        results.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [vec![false; 10], vec![true; 2]].concat()
    );
}
