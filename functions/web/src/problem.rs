//! Errors as RFC 9457 states them: problem details that name the field and what was expected.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Classified, Reason, Rejection, chain};
use registry::{ModelError, RegistryError};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request, or one trip of it, has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// Field, expected, found: for people.
    detail: String,
    /// A stable code of the reason, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The field that is concerned, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    /// Creates a problem.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: None,
            field: None,
        }
    }

    /// Creates the problem of a request that is not what was expected.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Creates the problem of a body that is larger than `limit` bytes.
    pub fn too_large(what: &str, limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what}: expected at most {limit} bytes"))
    }

    /// Names the field that is concerned.
    pub fn of(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// Names the row that is concerned.
    pub fn in_row(self, position: usize) -> Self {
        Self { detail: format!("row {position}: {}", self.detail), ..self }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let field = match rejection.reason {
            Reason::InvalidRideId => Some("ride_id".into()),
            Reason::MissingPickupZone => Some("PULocationID".into()),
            Reason::MissingDropoffZone => Some("DOLocationID".into()),
            // The detail begins with the zone that is concerned.
            Reason::InvalidZone => rejection.detail.split(':').next().map(String::from),
            _ => None,
        };
        let code = Some(rejection.reason.code());
        Self { code, field, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.detail) }
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        unavailable(&error)
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::UnknownVersion { .. } => Self::new(StatusCode::NOT_FOUND, chain(&error)),
            _ => unavailable(&error),
        }
    }
}

/// The causes go into the log; they may name what a caller should not see.
fn unavailable(error: &(impl Classified + 'static)) -> Problem {
    tracing::error!(error_type = error.error_type(), error_message = chain(error), "no model can answer");
    let code = Some(error.error_type());
    Problem {
        code,
        ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the models cannot be read at the moment")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (self.status(), [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
