//! Invokes functions, for the command line: no function invokes another.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use platform::client::{ATTEMPT, CALL, detail, timeouts};
use serde_json::Value;

/// Time limit of a call that waits for an answer: the longest that a function may have, and its start.
const ANSWER: Duration = Duration::from_secs(930);

/// Why a function was not invoked, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invoking {function}: {detail}")]
pub struct InvokeError {
    function: String,
    detail: String,
}

impl InvokeError {
    /// Creates the error for a function.
    pub fn new(function: &str, detail: String) -> Self {
        Self { function: function.into(), detail }
    }
}

/// What invokes functions, which are given by their names, with `:<alias>` where an alias or a version is meant.
#[async_trait]
pub trait Functions: std::fmt::Debug + Send + Sync {
    /// Hands an event to Lambda's own queue, as an event source does. What fails for good goes to the function's destination
    /// of failures.
    async fn send(&self, function: &str, event: &Value) -> Result<(), InvokeError>;

    /// Invokes a function, waits for its answer and returns it. An error of the function is an error.
    async fn call(&self, function: &str, event: &Value) -> Result<Value, InvokeError>;
}

/// The functions of an account.
#[derive(Debug, Clone)]
pub struct LambdaFunctions {
    client: Client,
    waiting: Client,
}

impl LambdaFunctions {
    /// Creates clients.
    pub fn new(config: &SdkConfig) -> Self {
        let client = |timeouts: TimeoutConfig| {
            Client::from_conf(aws_sdk_lambda::config::Builder::from(config).timeout_config(timeouts).build())
        };
        let limits = TimeoutConfig::builder().connect_timeout(ATTEMPT);
        let limits = limits.operation_attempt_timeout(ANSWER).operation_timeout(ANSWER).build();
        Self { client: client(timeouts(ATTEMPT, CALL)), waiting: client(limits) }
    }
}

#[async_trait]
impl Functions for LambdaFunctions {
    async fn send(&self, function: &str, event: &Value) -> Result<(), InvokeError> {
        let call = self.client.invoke().function_name(function).invocation_type(InvocationType::Event);
        let sent = call.payload(Blob::new(event.to_string())).send().await;
        sent.map(drop).map_err(|error| InvokeError::new(function, detail(&error)))
    }

    async fn call(&self, function: &str, event: &Value) -> Result<Value, InvokeError> {
        let failed = |detail| InvokeError::new(function, detail);
        let call = self.waiting.invoke().function_name(function).payload(Blob::new(event.to_string()));
        let answer = call.send().await.map_err(|error| failed(detail(&error)))?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
        match answer.function_error {
            None => Ok(payload),
            Some(kind) => Err(failed(reason(&payload).unwrap_or(kind))),
        }
    }
}

/// Returns the name and the message of a function's error, as it answers them.
pub fn reason(error: &Value) -> Option<String> {
    let text = |field: &str| error[field].as_str().filter(|text| !text.is_empty());
    let parts: Vec<&str> = [text("errorType"), text("errorMessage")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;
    use platform::testing::serve;

    #[tokio::test]
    async fn an_event_is_accepted_or_answered_and_an_error_is_named() {
        let (_, config) = serve(|event| {
            let error = json!({"errorType": "Batch.OutOfTime", "errorMessage": "predicting x"});
            match event["want"].as_str() {
                Some("error") => ([("x-amz-function-error", "Unhandled")], Json(error)).into_response(),
                Some("accepted") => (StatusCode::ACCEPTED, "").into_response(),
                _ => Json(json!({"batchItemFailures": []})).into_response(),
            }
        })
        .await;
        let functions = LambdaFunctions::new(&config);
        assert_eq!(functions.send("scorer", &json!({"want": "accepted"})).await, Ok(()));
        assert_eq!(functions.call("scorer", &json!({})).await, Ok(json!({"batchItemFailures": []})));
        let error = functions.call("scorer:live", &json!({"want": "error"})).await.unwrap_err();
        assert_eq!(error.to_string(), "invoking scorer:live: Batch.OutOfTime: predicting x");
    }

    #[tokio::test]
    async fn a_function_that_is_not_there_is_named() {
        let (_, config) = serve(|_| {
            let error = json!({"Type": "User", "Message": "Function not found: none"});
            let kind = [("x-amzn-errortype", "ResourceNotFoundException")];
            (StatusCode::NOT_FOUND, kind, Json(error)).into_response()
        })
        .await;
        let functions = LambdaFunctions::new(&config);
        let error = functions.send("none", &json!({})).await.unwrap_err().to_string();
        assert_eq!(error, "invoking none: ResourceNotFoundException: Function not found: none");
    }
}
