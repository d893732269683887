//! A double of AWS's services for tests, behind the feature `testing`.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use serde_json::Value;

/// Starts a server that answers each call, given as its JSON, with `answer`; returns its address and a configuration
/// whose clients call it, without retries.
///
/// # Panics
/// If no port is free, or a call is no JSON.
#[allow(clippy::unwrap_used)]
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
