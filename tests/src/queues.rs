//! A double of SQS that built functions send to, over HTTP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use serde_json::{Value, json};

/// One call in so many is carried out and not answered.
const ANSWERS_LOST: u64 = 50;

/// Queues of one account; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    sent: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
    calls: Arc<AtomicU64>,
    refused: &'static str,
}

impl Queues {
    /// Serves queues on a free port of this machine, which refuse messages that contain `refused`; returns them with their address.
    pub async fn serve(refused: &'static str) -> (Self, String) {
        let queues = Self { refused, ..Self::default() };
        let router = Router::new().fallback(post(call)).with_state(queues.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (queues, address)
    }

    /// Returns what was sent to a queue, as entries of SendMessageBatch.
    pub fn sent(&self, queue: &str) -> Vec<Value> {
        self.sent.lock().unwrap().get(queue).cloned().unwrap_or_default()
    }
}

async fn call(State(queues): State<Queues>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let action = headers.get("x-amz-target").and_then(|action| action.to_str().ok()).unwrap_or_default();
    assert_eq!(action, "AmazonSQS.SendMessageBatch");
    let queue = request["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in request["Entries"].as_array().unwrap() {
        if entry["MessageBody"].as_str().unwrap().contains(queues.refused) {
            failed.push(json!({"Id": entry["Id"], "Code": "InternalError", "SenderFault": false}));
        } else {
            successful.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "d"}));
            queues.sent.lock().unwrap().entry(queue.clone()).or_default().push(entry.clone());
        }
    }
    if queues.calls.fetch_add(1, Ordering::Relaxed) % ANSWERS_LOST == ANSWERS_LOST - 1 {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    Json(json!({"Successful": successful, "Failed": failed})).into_response()
}
