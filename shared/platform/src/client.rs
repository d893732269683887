//! What the clients of all services have: time limits, and one form of why a call failed.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use model::chain;

/// Time limits of an attempt of a call, and of a call with its attempts: a batch has seconds, and a call that hangs must not
/// take them all.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(3);
pub(crate) const CALL: Duration = Duration::from_secs(8);

/// Returns the time limits of a client.
pub(crate) fn timeouts(attempt: Duration, call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .operation_timeout(call)
        .build()
}

/// Returns why a call failed: the code and the message of the service, or what happened to the call.
pub(crate) fn detail<E>(error: &SdkError<E>) -> String
where
    SdkError<E>: ProvideErrorMetadata + std::error::Error,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => chain(error),
    }
}

/// Doubles of services for tests.
#[cfg(test)]
pub(crate) mod double {
    use aws_config::retry::RetryConfig;
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
    use axum::Router;
    use axum::extract::DefaultBodyLimit;
    use axum::response::Response;
    use serde_json::Value;

    /// Starts a server that answers each call, given as its JSON, with `answer`; returns its address and a configuration
    /// whose clients call it, without retries.
    pub async fn serve(
        answer: impl Fn(Value) -> Response + Clone + Send + Sync + 'static,
    ) -> (String, SdkConfig) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(move |call: String| async move { answer(serde_json::from_str(&call).unwrap()) })
            .layer(DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&url)
            .build();
        (url, config)
    }
}
