//! Runs a handler, so that a panic or an error fails only its event, under a stable name.

use std::future::Future;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt;
use http::Request;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{BoxError, Client};
use serde::Serialize;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::env::{Env, Variable};
use crate::telemetry::now_ms;
use model::time::new_york;
use model::{Classified, chain};

/// The time at which Lambda ends an invocation, by the runtime's clock, which tests can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
}

/// Longer than any invocation, and short enough for every clock.
const LEFT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

impl Deadline {
    /// Returns the deadline of an invocation.
    pub fn from_context(context: &Context) -> Self {
        Self::after(Duration::from_millis(context.deadline.saturating_sub(now_ms())))
    }

    /// Creates a deadline `left` from now.
    pub fn after(left: Duration) -> Self {
        Self { at: Instant::now() + left.min(LEFT_MAX) }
    }

    /// Returns the time left, zero once the deadline has passed.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// Why a function did not start. `main` prints errors by `Debug`, so that is the readable form here.
pub struct StartError(String);

impl std::fmt::Debug for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl From<crate::env::EnvError> for StartError {
    fn from(error: crate::env::EnvError) -> Self {
        let error_message = chain(&error);
        tracing::error!(error_type = "Start.Configuration", error_message, "the function did not start");
        Self(error_message)
    }
}

/// Serves events until Lambda ends the process. The handler decodes the raw JSON, so that no shape of event can fail
/// before our code runs.
///
/// # Errors
/// [`StartError`] if the runtime interface cannot be reached.
pub async fn run<H, F, R, E>(handler: H) -> Result<(), StartError>
where
    H: Fn(LambdaEvent<Value>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<R, E>> + Send + 'static,
    R: Serialize + Send + 'static,
    E: Classified + Send + 'static,
{
    lambda_runtime::run_concurrent(service_fn(move |event: LambdaEvent<Value>| {
        let handler = handler.clone();
        async move { guarded(move || handler(event)).await }
    }))
    .await
    .map_err(|error| StartError(format!("serving events: {}", chain(error.as_ref()))))
}

/// Handles one event outside of Lambda, as a task of a container does, and prints the answer as the last line.
///
/// # Errors
/// [`StartError`] if the event is no JSON, or cannot be handled.
pub async fn run_once<H, F, R, E>(event: &str, deadline: Deadline, handler: H) -> Result<(), StartError>
where
    H: FnOnce(LambdaEvent<Value>) -> F,
    F: Future<Output = Result<R, E>>,
    R: Serialize,
    E: Classified,
{
    let payload = serde_json::from_str(event)
        .map_err(|error| StartError(format!("the argument: expected an event as JSON: {error}")))?;
    let mut context = Context::default();
    (context.request_id, context.deadline) = ("once".into(), now_ms() + deadline.left().as_millis() as u64);
    let answer = guarded(move || handler(LambdaEvent::new(payload, context)))
        .await
        .map_err(|failed| StartError(format!("{}: {}", failed.error_type, failed.error_message)))?;
    let text = serde_json::to_string(&answer).map_err(|error| StartError(error.to_string()))?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| StartError(format!("printing the answer: {error}")))
}

/// Returns the present day in New York, where taxis keep their time.
pub fn today() -> NaiveDate {
    day_of(Utc::now())
}

/// Returns the day in New York at a time.
pub fn day_of(time: DateTime<Utc>) -> NaiveDate {
    let time = time.naive_utc();
    new_york(time).unwrap_or(time).date()
}

/// The variable with which Lambda names its runtime interface.
const VARIABLES: [Variable; 1] = [Variable {
    name: "AWS_LAMBDA_RUNTIME_API",
    meaning: "host and port of the runtime interface",
    default: None,
}];
/// A runtime interface that does not know extensions may not answer at all.
const REGISTRATION: Duration = Duration::from_secs(1);

/// Runs `hook` when the environment ends, before the process does; Lambda leaves it 500 ms. Call it before [`run`].
///
/// Lambda sends SIGTERM only to an environment with an extension, so that one is registered, which asks for no event
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>). Where none can be registered, as in emulators, the hook
/// runs if the signal comes nevertheless.
pub async fn on_shutdown<F>(hook: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    match tokio::time::timeout(REGISTRATION, register()).await {
        Ok(Ok(waiting)) => drop(tokio::spawn(waiting)),
        Ok(Err(error)) => tracing::debug!(error_message = chain(&*error), "no extension was registered"),
        Err(_) => tracing::debug!("no extension was registered: there was no response"),
    }
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::spawn(async move {
        terminate.recv().await;
        hook().await;
        std::process::exit(0);
    });
}

/// Registers an extension inside of this process, and returns its wait for an event, which never comes.
async fn register() -> Result<impl Future<Output = ()> + Send, BoxError> {
    let api: String = Env::of_process(&VARIABLES)?.get("AWS_LAMBDA_RUNTIME_API")?;
    let client = Client::builder().with_endpoint(format!("http://{api}").parse()?).build()?;
    let request = Request::post("/2020-01-01/extension/register").header("Lambda-Extension-Name", "tripcast");
    let response = client.call(request.body(Body::from(r#"{"events":[]}"#))?).await?;
    let id = response.headers().get("Lambda-Extension-Identifier").ok_or("no identifier came back")?;
    let next = Request::get("/2020-01-01/extension/event/next")
        .header("Lambda-Extension-Identifier", id)
        .body(Body::empty())?;
    Ok(async move { drop(client.call(next).await) })
}

// Catches panics and reports them under a name of their own, so that the next event is served.
async fn guarded<F, R, E>(start: impl FnOnce() -> F) -> Result<R, Diagnostic>
where
    F: Future<Output = Result<R, E>>,
    E: Classified,
{
    let outcome = AssertUnwindSafe(async move { start().await }).catch_unwind().await;
    match outcome {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => {
            let (error_type, error_message) = (error.error_type().to_string(), chain(&error));
            // The runtime logs the error that it posts as one text; this line has its parts as fields.
            tracing::warn!(error_type, error_message, transient = error.is_transient(), "the event failed");
            Err(Diagnostic { error_type, error_message })
        }
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().map(ToString::to_string);
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::warn!(error_type = "Handler.Panic", error_message = message, "the handler panicked");
            Err(Diagnostic { error_type: "Handler.Panic".into(), error_message: message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("sending to the queue")]
    struct Throttled(#[source] std::fmt::Error);
    impl Classified for Throttled {
        fn error_type(&self) -> &'static str {
            "Queue.Throttled"
        }
        fn is_transient(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn an_error_keeps_its_name_and_its_causes() {
        let failed = guarded(|| async { Err::<(), _>(Throttled(std::fmt::Error)) }).await.unwrap_err();
        assert_eq!(failed.error_type, "Queue.Throttled");
        assert!(failed.error_message.starts_with("sending to the queue: an error occurred"), "{failed:?}");
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_of_that_event() {
        let failed = guarded(|| async {
            if true {
                panic!("out of {}", 7)
            }
            Ok::<(), Throttled>(())
        })
        .await
        .unwrap_err();
        assert_eq!(
            (failed.error_type.as_str(), failed.error_message.as_str()),
            ("Handler.Panic", "out of 7")
        );
        assert_eq!(guarded(|| async { Ok::<_, Throttled>(3) }).await.unwrap(), 3);
    }

    #[test]
    fn a_deadline_passes() {
        assert!(Deadline::after(Duration::from_secs(9)).left() > Duration::from_secs(8));
        let mut context = Context::default();
        context.deadline = 5;
        assert_eq!(Deadline::from_context(&context).left(), Duration::ZERO);
        context.deadline = u64::MAX;
        assert!(Deadline::from_context(&context).left() <= LEFT_MAX);
    }
}
