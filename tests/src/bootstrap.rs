//! Runs a built bootstrap as Lambda does, against a test double of the Runtime API.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tokio::process::{Child, Command};

/// The reply of a bootstrap to one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It responded.
    Response(Value),
    /// It reported an error.
    Error(Value),
}

impl Reply {
    /// Returns the response.
    ///
    /// # Panics
    /// If it reported an error, with that error.
    pub fn response(self) -> Value {
        match self {
            Self::Response(answer) => answer,
            Self::Error(error) => panic!("expected an answer, got the error {error}"),
        }
    }

    /// Returns the reported error.
    ///
    /// # Panics
    /// If it responded, with that response.
    pub fn error(self) -> Value {
        match self {
            Self::Error(error) => error,
            Self::Response(answer) => panic!("expected an error, got the answer {answer}"),
        }
    }
}

#[derive(Default)]
struct Api {
    waiting: VecDeque<Value>,
    replies: Vec<Reply>,
    first_poll: Option<Instant>,
}

type Shared = Arc<Mutex<Api>>;

/// A running bootstrap.
pub struct Bootstrap {
    api: Shared,
    child: Child,
    started: Instant,
}

impl Bootstrap {
    /// Starts `binary` with these variables and nothing else of our environment.
    pub async fn start(binary: &Path, variables: &[(&str, &str)]) -> Self {
        let api = Shared::default();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(Arc::clone(&api));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut command = command(binary);
        command.env_clear().kill_on_drop(true).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("AWS_LAMBDA_RUNTIME_API", address).env("AWS_LAMBDA_FUNCTION_NAME", "test");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        let started = Instant::now();
        let child = command.envs(variables.iter().copied()).spawn().unwrap();
        Self { api, child, started }
    }

    /// Passes one event on and waits for the reply.
    pub async fn handle(&mut self, event: Value) -> Reply {
        let already = self.api.lock().unwrap().replies.len();
        self.api.lock().unwrap().waiting.push_back(event);
        self.wait("an answer", |api| api.replies.get(already).cloned()).await
    }

    /// Passes one event on, and kills the process with SIGKILL unless it has replied within `after`; then returns none.
    pub async fn handle_or_die(&mut self, event: Value, after: Duration) -> Option<Reply> {
        match tokio::time::timeout(after, self.handle(event)).await {
            Ok(reply) => Some(reply),
            Err(_) => {
                self.child.kill().await.unwrap();
                None
            }
        }
    }

    /// Returns the time from the start of the process to its first poll.
    pub async fn first_poll(&mut self) -> Duration {
        let at = self.wait("a first poll", |api| api.first_poll).await;
        at - self.started
    }

    /// Returns whether the process is running.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Limits the memory that the process may map, in bytes.
    pub fn limit_memory(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(self.pid(), Resource::As, limit).unwrap();
    }

    /// Returns the most memory that the process has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()))
    }

    /// Returns the exit code of a process that is expected to end.
    pub async fn exit_code(&mut self) -> Option<i32> {
        tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await.unwrap().unwrap().code()
    }

    async fn wait<T>(&mut self, what: &str, look: impl Fn(&Api) -> Option<T>) -> T {
        let until =
            Instant::now() + Duration::from_secs(if crate::variable("RUNNER").is_some() { 600 } else { 180 });
        loop {
            if let Some(found) = look(&self.api.lock().unwrap()) {
                return found;
            }
            assert!(Instant::now() < until, "the bootstrap gave no {what}");
            assert!(self.is_alive(), "the bootstrap ended before it gave {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Returns the command that runs `binary`, by the emulator in RUNNER if it is for another processor.
fn command(binary: &Path) -> Command {
    let runner = crate::variable("RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(binary) };
    let mut command = Command::new(emulator);
    command.args(words).arg(binary);
    command
}

async fn next(State(api): State<Shared>) -> Response {
    api.lock().unwrap().first_poll.get_or_insert_with(Instant::now);
    loop {
        let event = api.lock().unwrap().waiting.pop_front();
        if let Some(event) = event {
            let mut headers = HeaderMap::new();
            headers.insert("lambda-runtime-aws-request-id", HeaderValue::from_static("request-1"));
            let deadline = (platform::telemetry::now_ms() + 600_000).to_string();
            headers.insert("lambda-runtime-deadline-ms", HeaderValue::from_str(&deadline).unwrap());
            let arn = "arn:aws:lambda:us-east-1:123456789012:function:test";
            headers.insert("lambda-runtime-invoked-function-arn", HeaderValue::from_static(arn));
            return (headers, event.to_string()).into_response();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn response(State(api): State<Shared>, UrlPath(_): UrlPath<String>, body: String) -> StatusCode {
    let replies = Reply::Response(serde_json::from_str(&body).unwrap_or(Value::Null));
    api.lock().unwrap().replies.push(replies);
    StatusCode::ACCEPTED
}

async fn error(State(api): State<Shared>, UrlPath(_): UrlPath<String>, body: String) -> StatusCode {
    let replies = Reply::Error(serde_json::from_str(&body).unwrap_or(Value::Null));
    api.lock().unwrap().replies.push(replies);
    StatusCode::ACCEPTED
}
