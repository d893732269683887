//! Reads bodies: of a known type, in UTF-8, no larger and no slower than they may be.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use mime::Mime;

use crate::problem::Problem;

/// Limit of a body; Lambda takes six million bytes, its envelope included.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Time in which a whole body has to come.
const BODY_SECONDS_MAX: u64 = 15;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON.
    Json,
    /// Comma-separated values with a line of names.
    Csv,
}

/// Reads the body of a request that may be one of `kinds`; without a type it is JSON.
///
/// # Errors
/// 415 for another type, charset or parameter, 413 for a larger body, 408 for one that does not come, 400 for an empty one or bytes that
/// are not UTF-8.
pub async fn read(request: Request, kinds: &[Kind]) -> Result<(Kind, String), Problem> {
    let (parts, body) = request.into_parts();
    let kind = kind_of(&parts.headers)?;
    if !kinds.contains(&kind) {
        return Err(unsupported("expected application/json"));
    }
    let bytes =
        tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), whole(body)).await.map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not come within {BODY_SECONDS_MAX} s"),
            )
        })??;
    let text = String::from_utf8(bytes.into()).map_err(|_| Problem::bad("body: expected UTF-8"))?;
    if text.trim().is_empty() {
        return Err(Problem::bad("body: expected a trip, found nothing"));
    }
    Ok((kind, text))
}

async fn whole(body: Body) -> Result<Bytes, Problem> {
    to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        let is_length = std::error::Error::source(&error)
            .is_some_and(|source| source.to_string().contains("length limit"));
        match is_length {
            true => Problem::too_large("body", BODY_BYTES_MAX),
            false => Problem::bad(format!("body: {error}")),
        }
    })
}

fn kind_of(headers: &HeaderMap) -> Result<Kind, Problem> {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(stated) = all.next() else { return Ok(Kind::Json) };
    if all.next().is_some() {
        return Err(unsupported("expected it once"));
    }
    let stated = stated.to_str().unwrap_or_default();
    let mime: Mime = stated.parse().map_err(|_| unsupported(&format!("{stated:?} is no media type")))?;
    let kind = match (mime.type_().as_str(), mime.subtype().as_str()) {
        ("application", "json") => Kind::Json,
        ("text", "csv") => Kind::Csv,
        _ => return Err(unsupported(&format!("expected application/json, found {}", mime.essence_str()))),
    };
    for (name, value) in mime.params() {
        // That of a CSV says whether its first line has names, which ours must.
        let is_known = match name.as_str() {
            "charset" => value.as_str().eq_ignore_ascii_case("utf-8"),
            "header" => kind == Kind::Csv && value == "present",
            _ => false,
        };
        if !is_known {
            return Err(unsupported(&format!("parameter {name}={value}: expected charset=utf-8")));
        }
    }
    Ok(kind)
}

fn unsupported(detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Type: {detail}")).of("Content-Type")
}
