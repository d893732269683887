//! Predictions over HTTP: the same router behind an API Gateway, as a Lambda function, and on a socket, by `tripcast serve`.
//!
//! [`router`] is the map of routes. [`body`] reads what comes, [`rows`] and [`trips`] make trips of it and predict them, [`predict`],
//! [`invocations`], [`inference`] and [`explain`] answer in their forms, [`models`] and [`operations`] say what answers, [`page`] is for people; every error is a [`problem`]. [`event`] is the way
//! from Lambda's events to the router and back.
//!
//! Deliberately absent: sockets and their limits (`cli`), who may ask (API Gateway), and what a feature is (`model`).

pub mod body;
pub mod config;
pub mod event;
pub mod explain;
pub mod inference;
pub mod invocations;
pub mod models;
pub mod openapi;
pub mod operations;
pub mod page;
pub mod predict;
pub mod problem;
pub mod rows;
pub mod trips;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::routing::{get, post};
use model::Bundle;
use platform::telemetry::{Metric, emit};
use registry::{Models, Registry, Reload};
use serde_json::json;
use tokio::sync::Semaphore;

use explain::Explainers;
use operations::Figures;
use problem::Problem;

/// The service with its ports; clones share them.
#[derive(Debug, Clone)]
pub struct App {
    models: Models,
    registry: Registry,
    figures: Figures,
    explainers: Explainers,
    /// Places for work that takes long.
    long_work: Arc<Semaphore>,
}

impl App {
    /// Creates a service that answers with the champions of a registry, which `models` keeps.
    pub fn new(registry: Registry, models: Models) -> Self {
        let places = std::thread::available_parallelism().map_or(1, usize::from);
        let (figures, explainers) = (Figures::default(), Explainers::default());
        Self { models, registry, figures, explainers, long_work: Arc::new(Semaphore::new(places)) }
    }
}

/// Creates the router of all routes.
pub fn router(app: App) -> Router {
    let figures = app.figures.clone();
    Router::new()
        .route("/", get(page::page))
        .route("/predict", post(predict::predict))
        .route("/invocations", post(invocations::invocations))
        .merge(inference())
        .route("/explain", post(explain::explain))
        .route("/models", get(models::models))
        .route("/models/{target}/{version}", get(models::card))
        .route("/health", get(operations::health))
        .route("/ping", get(operations::health))
        .route("/metrics", get(operations::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .method_not_allowed_fallback(async |method: Method| {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{method}: expected one of the methods in Allow"),
            )
        })
        .fallback(async || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; /openapi.json lists what there is",
            )
        })
        .layer(middleware::from_fn_with_state(figures, operations::counted))
        .with_state(app)
}

/// Creates the routes of the Open Inference Protocol, in which a version may be named.
fn inference() -> Router<App> {
    let (model, version) = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}");
    [model, version].into_iter().fold(
        Router::new()
            .route("/v2", get(inference::server))
            .route("/v2/health/live", get(inference::live))
            .route("/v2/health/ready", get(inference::ready)),
        |router, path| {
            router
                .route(path, get(inference::metadata))
                .route(&format!("{path}/ready"), get(inference::model_ready))
                .route(&format!("{path}/infer"), post(inference::infer))
        },
    )
}

/// Emits what a check for new champions came to.
pub fn emit_reload(reload: Reload, bundle: &Bundle) {
    let metric = match reload {
        Reload::Done => Metric::ModelReloads,
        Reload::Failed => Metric::ModelReloadFailures,
    };
    emit("web", &[(metric, 1.0)], &json!({"bundle": bundle.id()}));
}

#[cfg(test)]
mod tests;
