//! Everything that touches the outside, so that nothing else has to.
//!
//! Map: [`env`] reads configuration, [`telemetry`] writes logs and metrics, [`lambda`] runs a handler; [`store`] keeps
//! objects (S3, a directory, memory) and [`registry`] keeps models on a store; [`models`] serves the champions of a
//! registry, warm, and [`shadows`] its challengers; [`queue`] sends messages; [`event`] is what wakes a function, [`outcome`] how each message ended.
//!
//! Deliberately absent: what a trip is worth. Nothing here reads Parquet, and no AWS type is in an interface that a
//! walk sees.

pub mod env;
pub mod event;
pub mod lambda;
pub mod models;
pub mod outcome;
pub mod queue;
pub mod registry;
pub mod shadows;
pub mod store;
pub mod telemetry;
pub mod tracking;

/// What callers ask of an error at an edge.
pub trait Classified: std::error::Error {
    /// A stable name such as `Store.Throttled`, for logs, alarms and reason files.
    fn error_type(&self) -> &'static str;
    /// Whether the same call may succeed later.
    fn is_transient(&self) -> bool;
}

/// An error with all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    line
}

/// Configuration of the AWS SDK from the environment, with bounded waits. Calls carry `caller` in their user agent, so that
/// who made them can be told in CloudTrail and in access logs.
pub async fn aws_config(caller: &'static str) -> aws_config::SdkConfig {
    use aws_config::timeout::TimeoutConfig;
    use std::time::Duration;
    // A call that hangs must not eat the time of a whole batch; the SDK tries three times.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(30))
        .build();
    let defaults = aws_config::defaults(aws_config::BehaviorVersion::latest()).timeout_config(timeouts);
    match aws_config::AppName::new(caller) {
        Ok(name) => defaults.app_name(name).load().await,
        Err(_) => defaults.load().await,
    }
}
