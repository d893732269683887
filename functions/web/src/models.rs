//! `GET /models`: what is in the registry, and what the champions are like.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::artifact::sha256_hex;
use model::{ModelVersion, Target};
use registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::problem::Problem;

/// The models of both targets.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Listed {
    /// Models of durations.
    duration: ListedTarget,
    /// Models of tips.
    tip: ListedTarget,
}

/// The models of a target.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ListedTarget {
    /// The champion, which answers; null before the first promotion.
    champion: Option<ListedChampion>,
    /// The models in the shadow.
    challengers: Vec<ModelVersion>,
    /// All models, each with its card at `/models/<target>/<version>`.
    versions: Vec<ModelVersion>,
}

/// A champion.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ListedChampion {
    /// Its version.
    version: ModelVersion,
    /// When it was promoted, RFC 3339, UTC.
    since: String,
    /// Why.
    reason: String,
    /// The champion before it.
    previous: Option<ModelVersion>,
}

/// List the champions, the challengers and all versions.
#[utoipa::path(
    get, path = "/models", tag = "models",
    responses(
        (status = 200, description = "The models of both targets", body = Listed),
        (status = 304, description = "They are those whose ETag was stated"),
        (status = 503, description = "The registry cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn models(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let (duration, tip) =
        tokio::try_join!(listed(&app.registry, Target::Duration), listed(&app.registry, Target::Tip))?;
    let body = serde_json::to_vec(&Listed { duration, tip }).unwrap_or_default();
    Ok(tagged(&headers, "application/json", body.into()))
}

async fn listed(registry: &Registry, target: Target) -> Result<ListedTarget, Problem> {
    let champion = registry.champion(target).await?.map(|champion| ListedChampion {
        version: champion.alias.version,
        since: champion.alias.since,
        reason: champion.alias.reason,
        previous: champion.alias.previous,
    });
    let challengers = registry.challengers(target).await?.map(|(list, _)| list.versions).unwrap_or_default();
    let versions = registry.versions(target).await?.into_iter().map(|(version, _)| version).collect();
    Ok(ListedTarget { champion, challengers, versions })
}

/// Read the card of a model: what it learned from, and how it was judged.
#[utoipa::path(
    get, path = "/models/{target}/{version}", tag = "models",
    params(
        ("target" = crate::openapi::TargetName, Path, description = "What is predicted"),
        ("version" = crate::openapi::VersionName, Path, description = "Its version, 12 hex digits"),
    ),
    responses(
        (status = 200, description = "The card", body = serde_json::Value),
        (status = 304, description = "It is the one whose ETag was stated"),
        (status = 400, description = "No target or no version", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such model", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The registry cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn card(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((target, version)) = path.map_err(|error| Problem::bad(error.body_text()))?;
    let target = match target.as_str() {
        "duration" => Target::Duration,
        "tip" => Target::Tip,
        _ => {
            return Err(
                Problem::bad(format!("target: expected duration or tip, found {target:?}")).of("target")
            );
        }
    };
    let version: ModelVersion = version.parse().map_err(|_| {
        Problem::bad(format!("version: expected 12 hex digits, found {version:?}")).of("version")
    })?;
    let card = app.registry.card(target, &version).await?;
    Ok(tagged(&headers, "application/json", serde_json::to_vec(&card).unwrap_or_default().into()))
}

/// Answers with a body and its ETag, or with 304 if the caller has it.
pub(crate) fn tagged(headers: &HeaderMap, kind: &'static str, body: Bytes) -> Response {
    let tag = format!("\"{}\"", &sha256_hex(&body)[..32]);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = known
        .split(',')
        .any(|one| matches!(one.trim().trim_start_matches("W/"), one if one == tag || one == "*"));
    let tags = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_string())];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, tags).into_response(),
        false => (tags, [(header::CONTENT_TYPE, kind)], body).into_response(),
    }
}
