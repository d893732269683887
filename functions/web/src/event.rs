//! From an event of an API Gateway's HTTP API to the router, and back.

use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::Adapter;
use lambda_http::request::LambdaRequest;
use lambda_runtime::LambdaEvent;
use model::Classified;
use platform::event::EventError;
use platform::telemetry::{Metric, emit};
use serde_json::{Value, json};
use tower::Service;

use crate::problem::Problem;

/// Limit of an answer in Lambda's envelope, whose own limit is six mebibytes.
const ANSWER_BYTES_MAX: usize = 6_000_000;

/// Why an invocation fails; requests that cannot be answered are no failure.
#[derive(Debug)]
pub struct NotHttp(EventError);

impl std::fmt::Display for NotHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for NotHttp {}

impl Classified for NotHttp {
    fn error_type(&self) -> &'static str {
        self.0.error_type()
    }
    fn is_transient(&self) -> bool {
        false
    }
}

/// Answers one event, and counts it by its status.
///
/// # Errors
/// [`NotHttp`] for an event of another kind.
pub async fn answer(router: Router, event: LambdaEvent<Value>) -> Result<Value, NotHttp> {
    let (payload, context) = event.into_parts();
    if !payload["requestContext"]["http"]["method"].is_string() {
        return Err(NotHttp(EventError::new("an event of an HTTP API (payload version 2.0)", &payload)));
    }
    let mut answered = match request(payload) {
        Ok(request) => {
            // A router is always ready.
            let answering = Adapter::from(router).call(LambdaEvent::new(request, context));
            let Ok(answered) = answering.await;
            serde_json::to_value(answered).unwrap_or_default()
        }
        Err(problem) => of_problem(&problem),
    };
    if answered.to_string().len() > ANSWER_BYTES_MAX {
        // Lambda would answer 502, and log why where no caller sees it.
        answered = of_problem(&Problem::too_large("the answer", ANSWER_BYTES_MAX));
    }
    let is_refused = answered["statusCode"].as_u64().is_none_or(|status| status >= 400);
    let metric = if is_refused { Metric::RequestsRefused } else { Metric::RequestsAnswered };
    emit("web", &[(metric, 1.0)], &json!({}));
    Ok(answered)
}

fn request(mut payload: Value) -> Result<LambdaRequest, Problem> {
    below_stage(&mut payload);
    let body = payload["body"].as_str().unwrap_or_default();
    // What is behind this would panic.
    if payload["isBase64Encoded"] == true && STANDARD.decode(body).is_err() {
        return Err(Problem::bad("body: expected base64, which the event says it is"));
    }
    serde_json::from_value(payload)
        .map_err(|error| Problem::bad(format!("the request cannot be read: {error}")))
}

/// Takes a named stage from the path, where API Gateway puts it; with a domain of one's own it does not.
fn below_stage(payload: &mut Value) {
    let stage = payload["requestContext"]["stage"].as_str().unwrap_or("$default").to_string();
    let path = payload["rawPath"].as_str().unwrap_or("/").to_string();
    let below =
        path.strip_prefix(&format!("/{stage}")).filter(|below| below.is_empty() || below.starts_with('/'));
    payload["rawPath"] = json!(match below {
        Some("") => "/",
        Some(below) => below,
        None => &path,
    });
    // What is behind this would put the stage before a path that lacks it.
    payload["requestContext"]["stage"] = json!("$default");
}

fn of_problem(problem: &Problem) -> Value {
    let status = problem.status().as_u16();
    let body = serde_json::to_string(problem).unwrap_or_default();
    json!({
        "statusCode": status, "headers": {"content-type": "application/problem+json"},
        "multiValueHeaders": {}, "cookies": [], "body": body, "isBase64Encoded": false,
    })
}
