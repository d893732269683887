//! What operators and their programs ask: `/health`, `/metrics`, and the requests that are counted for them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::prediction::Versions;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::predict::json;
use crate::problem::Problem;

/// Upper bounds of the buckets of answers' times, seconds.
const SECONDS: [f64; 10] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

/// Whether there are models to answer with.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`; without a model the status is 503.
    status: &'static str,
    /// The pair of models.
    bundle: String,
    /// Their versions.
    versions: Versions,
}

type Labels = [(&'static str, String); 2];

/// What was answered so far.
#[derive(Debug, Clone, Default)]
pub struct Figures(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: Family<Labels, Counter<u64, AtomicU64>>,
    predictions: Counter<u64, AtomicU64>,
    seconds: Histogram,
}

impl Default for Inner {
    fn default() -> Self {
        let seconds = Histogram::new(SECONDS);
        Self { requests: Family::default(), predictions: Counter::default(), seconds }
    }
}

impl Figures {
    /// Counts trips that were predicted.
    pub fn predicted(&self, n: usize) {
        self.0.predictions.inc_by(n as u64);
    }

    fn text(&self) -> String {
        let mut registry = Registry::with_prefix("tripcast_web");
        registry.register("requests", "Requests by route and status", self.0.requests.clone());
        registry.register("predictions", "Trips that were predicted", self.0.predictions.clone());
        registry.register("answer_seconds", "Time to an answer", self.0.seconds.clone());
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// Counts a request by its route, its status and its time.
pub(crate) async fn counted(State(figures): State<Figures>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    // Of an unknown path only that it is unknown: callers must not make up series.
    let route =
        request.extensions().get::<MatchedPath>().map_or("none".into(), |path| path.as_str().to_string());
    let response = next.run(request).await;
    figures
        .0
        .requests
        .get_or_create(&[("route", route), ("status", response.status().as_u16().to_string())])
        .inc();
    figures.0.seconds.observe(started.elapsed().as_secs_f64());
    response
}

/// Say whether there are models to answer with.
#[utoipa::path(
    get, path = "/health", tag = "operations",
    responses(
        (status = 200, description = "There are", body = Health),
        (status = 503, description = "There is no champion, or it cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn health(State(app): State<App>) -> Result<Response, Problem> {
    let bundle = app.models.bundle().await?;
    let health = Health { status: "ok", bundle: bundle.id(), versions: bundle.versions() };
    Ok(json(serde_json::to_vec(&health).unwrap_or_default().into()))
}

/// Count requests, predictions and times, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"))
)]
pub async fn metrics(State(app): State<App>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.figures.text()).into_response()
}
