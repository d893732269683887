//! What the clients of all services have: time limits, and one form of why a call failed.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use model::chain;

/// Time limits of an attempt of a call, and of a call with its attempts: a batch has seconds, and a call that hangs must not
/// take them all.
pub const ATTEMPT: Duration = Duration::from_secs(3);
/// See [`ATTEMPT`].
pub const CALL: Duration = Duration::from_secs(8);

/// Returns the time limits of a client.
pub fn timeouts(attempt: Duration, call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .operation_timeout(call)
        .build()
}

/// Returns why a call failed: the code and the message of the service, or what happened to the call.
pub fn detail<E>(error: &SdkError<E>) -> String
where
    SdkError<E>: ProvideErrorMetadata + std::error::Error,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => chain(error),
    }
}
