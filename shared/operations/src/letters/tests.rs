use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::*;
use platform::testing::serve;

const HIDDEN: Duration = Duration::from_secs(60);

fn letters(count: usize) -> Vec<Letter> {
    (0..count).map(|number| Letter { body: format!("body {number}"), ..Letter::default() }).collect()
}

fn bodies(letters: &[Letter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.body.as_str()).collect()
}

/// Opens a queue whose server answers each call with what `answer` makes of it; returns the calls so far, too.
async fn queue(
    answer: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static,
) -> (SqsLetters, Arc<Mutex<Vec<Value>>>) {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let (url, config) = serve(move |call| {
        let answered = answer(&call);
        noted.lock().unwrap().push(call);
        Json(answered).into_response()
    })
    .await;
    (SqsLetters::new(&config, format!("{url}/0/dead-letters")), asked)
}

#[tokio::test]
async fn a_message_is_received_with_all_that_it_has_and_sent_as_it_was() {
    let message = json!({"MessageId": "m1", "ReceiptHandle": "r1", "Body": "{}",
        "Attributes": {"ApproximateReceiveCount": "11", "SentTimestamp": "1615809600000",
            "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:0:trips"},
        "MessageAttributes": {
            "tries": {"DataType": "Number.int", "StringValue": "3"},
            "trace": {"DataType": "Binary", "BinaryValue": "AAH/"}}});
    let received = message.clone();
    let (queue, asked) = queue(move |call| match call["Entries"].as_array() {
        None => json!({"Messages": [received]}),
        Some(_) => {
            json!({"Successful": [{"Id": "0", "MessageId": "new", "MD5OfMessageBody": "x"}], "Failed": []})
        }
    })
    .await;
    let letters = queue.receive(50, HIDDEN).await.unwrap();
    let letter = &letters[0];
    assert_eq!((letter.id.as_str(), letter.receipt.as_str(), letter.receives), ("m1", "r1", 11));
    assert_eq!(letter.sent.unwrap().to_rfc3339(), "2021-03-15T12:00:00+00:00");
    assert_eq!(letter.moved_from.as_deref(), Some("arn:aws:sqs:us-east-1:0:trips"));
    assert_eq!((letter.attribute("tries"), letter.attribute("trace")), (Some("3"), None));
    assert_eq!(letter.attributes["trace"].shown(), "AAH/");
    assert_eq!(queue.send(&letters).await, [Ok("new".to_string())]);

    let asked = asked.lock().unwrap();
    assert_eq!((&asked[0]["MaxNumberOfMessages"], &asked[0]["VisibilityTimeout"]), (&json!(10), &json!(60)));
    let sent = &asked[1]["Entries"][0];
    assert_eq!(
        (&sent["MessageBody"], &sent["MessageAttributes"]),
        (&json!("{}"), &message["MessageAttributes"])
    );
}

#[tokio::test]
async fn what_sqs_does_not_name_as_done_was_not_done() {
    let (queue, _) = queue(|call| {
        let ids: Vec<&Value> = call["Entries"].as_array().unwrap().iter().map(|entry| &entry["Id"]).collect();
        let refused = json!({"Id": ids[1], "SenderFault": true, "Code": "ReceiptHandleIsInvalid"});
        json!({"Successful": [{"Id": ids[0]}], "Failed": [refused]})
    })
    .await;
    let receipts = ["a", "b", "c"].map(String::from);
    for results in [queue.delete(&receipts).await, queue.give_back(&receipts).await] {
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false]);
        assert!(results[1].as_ref().unwrap_err().to_string().contains("ReceiptHandleIsInvalid"));
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named() {
    let (url, config) = serve(|_| {
        let body = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    })
    .await;
    let url = format!("{url}/0/none");
    let queue = SqsLetters::new(&config, url.clone());
    let error = queue.depth().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("looking at {url}: ")) && error.contains("no such queue"), "{error}");
    let sent = queue.send(&letters(12)).await;
    assert!(sent.len() == 12 && sent.iter().all(Result::is_err), "{sent:?}");
}

#[tokio::test]
async fn a_scan_sees_each_message_once_and_gives_all_back() {
    let queue = MemoryLetters::new(letters(23));
    let mut scan = Scan::new(&queue, 100, HIDDEN);
    let mut seen = Vec::new();
    loop {
        let next = scan.next().await.unwrap();
        if next.is_empty() {
            break;
        }
        seen.extend(next);
        // As where the time is over for which they are hidden.
        queue.show_all();
    }
    assert_eq!(bodies(&seen), bodies(&letters(23)));
    scan.give_back().await;
    assert_eq!(queue.visible().len(), 23);

    let mut bounded = Scan::new(&queue, 12, HIDDEN);
    assert_eq!(bounded.next().await.unwrap().len(), 10);
    assert_eq!(bounded.next().await.unwrap().len(), 2);
    assert!(bounded.next().await.unwrap().is_empty());
    let ids: Vec<String> = seen[..2].iter().map(|letter| letter.id.clone()).collect();
    assert!(bounded.delete(&ids).await.iter().all(Result::is_ok));
    bounded.give_back().await;
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 21, hidden: 0 });
}

#[test]
fn a_rejection_is_known_by_its_attributes_and_sent_again_without_them() {
    let with = |names: &[&str]| {
        let attributes = names.iter().map(|name| (name.to_string(), Attribute::text("x"))).collect();
        Letter { attributes, ..Letter::default() }
    };
    assert!(with(&["reason", "source_message_id"]).is_rejection());
    assert!(!with(&["reason"]).is_rejection() && !with(&[]).is_rejection());
    assert!(with(&["cut_from_bytes"]).is_cut() && !with(&["reason"]).is_cut());
    let all = with(&["reason", "detail", "source_message_id", "sequence_number", "partition_key", "mine"]);
    assert_eq!(all.without_rejection(), with(&["mine"]));
}
