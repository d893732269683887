//! HTTP client of a tracking server: authentication, retries and error codes.

use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::{Credentials, TrackingError};

/// The error codes of MLflow that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// `RESOURCE_DOES_NOT_EXIST`.
    Unknown,
    /// `RESOURCE_ALREADY_EXISTS`.
    Exists,
}

/// Largest number of attempts at a call that may be repeated.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(300);
/// Error messages are cut at this length: they can be long, and contain SQL statements of the server's database.
const MESSAGE_CHARS_MAX: usize = 300;

#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    who: Credentials,
}

impl TrackingError {
    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { message, .. } if message.starts_with("RESOURCE_DOES_NOT_EXIST") => {
                Some(Code::Unknown)
            }
            Self::Refused { message, .. } if message.starts_with("RESOURCE_ALREADY_EXISTS") => {
                Some(Code::Exists)
            }
            _ => None,
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Call { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

impl Client {
    pub(super) fn new(uri: &str, who: Credentials, timeout: Duration) -> Result<Self, TrackingError> {
        let scheme = uri.split_once(':').map_or(uri, |(scheme, _)| scheme);
        let unknown = || TrackingError::Uri { scheme: scheme.to_string() };
        let base = uri.trim_end_matches('/').to_string();
        let host = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        host.filter(|host| !host.is_empty()).ok_or_else(unknown)?;
        let http = reqwest::Client::builder().timeout(timeout).build();
        let http = http.map_err(|source| TrackingError::Call { doing: "preparing calls", source })?;
        Ok(Self { http, base, who })
    }

    /// Sends a GET request, with retries.
    pub(super) async fn get(
        &self,
        doing: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Value, TrackingError> {
        let query: Vec<String> = query
            .iter()
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        let url = format!("{}/api/2.0/mlflow/{path}?{}", self.base, query.join("&"));
        json(doing, self.again(doing, || self.request(Method::GET, &url)).await?).await
    }

    /// Sends a POST request that is idempotent, with retries.
    pub(super) async fn post(
        &self,
        doing: &'static str,
        path: &str,
        body: &Value,
    ) -> Result<Value, TrackingError> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.base);
        json(doing, self.again(doing, || self.request(Method::POST, &url).json(body)).await?).await
    }

    /// Sends a POST request that is not idempotent, without retries.
    pub(super) async fn post_once(
        &self,
        doing: &'static str,
        path: &str,
        body: &Value,
    ) -> Result<Value, TrackingError> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.base);
        json(doing, answered(doing, self.request(Method::POST, &url).json(body).send().await).await?).await
    }

    /// Uploads a file below a run's artifact URI, with retries.
    pub(super) async fn put_artifact(
        &self,
        artifact_uri: &str,
        path: &str,
        bytes: Bytes,
    ) -> Result<(), TrackingError> {
        let below =
            artifact_uri.strip_prefix("mlflow-artifacts:/").map(|below| below.trim_start_matches('/'));
        let Some(below) = below.filter(|_| !artifact_uri.starts_with("mlflow-artifacts://")) else {
            return Err(TrackingError::Artifacts { uri: artifact_uri.to_string() });
        };
        let url = format!("{}/api/2.0/mlflow-artifacts/artifacts/{below}/{path}", self.base);
        self.again("sending a file", || self.request(Method::PUT, &url).body(bytes.clone())).await.map(drop)
    }

    async fn again(
        &self,
        doing: &'static str,
        call: impl Fn() -> RequestBuilder,
    ) -> Result<Response, TrackingError> {
        for attempt in 1..ATTEMPTS {
            match answered(doing, call().send().await).await {
                Err(error) if error.may_pass() => tokio::time::sleep(PAUSE * attempt).await,
                other => return other,
            }
        }
        answered(doing, call().send().await).await
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.http.request(method, url);
        match (&self.who.username, &self.who.token) {
            (name, _) if !name.is_empty() => request.basic_auth(name, Some(&self.who.password)),
            (_, token) if !token.is_empty() => request.bearer_auth(token),
            _ => request,
        }
    }
}

async fn json(doing: &'static str, answer: Response) -> Result<Value, TrackingError> {
    answer.json().await.map_err(|source| TrackingError::Call { doing, source })
}

/// Returns the response if its status is a success.
async fn answered(doing: &'static str, sent: reqwest::Result<Response>) -> Result<Response, TrackingError> {
    let answer = sent.map_err(|source| TrackingError::Call { doing, source })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    // Errors of MLflow are JSON; those of a proxy before it are not.
    let text = answer.text().await.unwrap_or_default();
    let message = match serde_json::from_str::<Value>(&text) {
        Ok(document) => {
            let part = |name: &str| document[name].as_str().unwrap_or_default().to_string();
            format!("{}: {}", part("error_code"), part("message"))
        }
        Err(_) => text,
    };
    let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
    Err(TrackingError::Refused { doing, status: status.as_u16(), message })
}
