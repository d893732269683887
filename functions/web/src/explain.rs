//! `POST /explain`: what each feature of a trip adds to its predictions.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use model::Bundle;
use model::explanation::{Explanation, ModelExplainer};
use model::prediction::Versions;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::body::{Kind, read};
use crate::predict::json;
use crate::problem::Problem;
use crate::trips::{parsed, stated};

/// What each feature of a trip adds to its predictions.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Explained {
    /// Of its duration; null if the model's family is not explained by feature.
    duration: Option<Explanation>,
    /// Of its tip; null without such a model, too.
    tip: Option<Explanation>,
    /// Which models predicted.
    versions: Versions,
}

/// Explainers of the duration model and of the tip model, where they can be explained.
type OfBundle = Arc<[Option<ModelExplainer>; 2]>;

/// The explainers of the champions, which are made once for each bundle.
#[derive(Debug, Clone, Default)]
pub struct Explainers(Arc<Mutex<Option<(String, OfBundle)>>>);

impl Explainers {
    fn of(&self, bundle: &Bundle) -> OfBundle {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = bundle.id();
        match &*last {
            Some((known, explainers)) if *known == id => Arc::clone(explainers),
            _ => {
                let explainers = Arc::new(bundle.explainers());
                *last = Some((id, Arc::clone(&explainers)));
                explainers
            }
        }
    }
}

/// Explain the predictions for a trip: its Shapley values (TreeSHAP), which with the expected prediction add up to it.
#[utoipa::path(
    post, path = "/explain", tag = "predictions",
    request_body(content = crate::openapi::Trip, content_type = "application/json"),
    responses(
        (status = 200, description = "What each feature adds", body = Explained),
        (status = 400, description = "No JSON, or no trip", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The trip cannot be predicted", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no model", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn explain(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (_, text) = read(request, &[Kind::Json]).await?;
    let trip = stated(&parsed(&text)?, 0)?.trip;
    let bundle = app.models.bundle().await?;
    let explainers = app.explainers.clone();
    let _place = app.long_work.acquire().await;
    // Thousands of trees take milliseconds.
    let done = tokio::task::spawn_blocking(move || {
        let explainers = explainers.of(&bundle);
        let [duration, tip] =
            explainers.each_ref().map(|explainer| explainer.as_ref()?.explain(&[trip]).pop());
        Explained { duration, tip, versions: bundle.versions() }
    });
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the trip could not be explained");
    Ok(json(serde_json::to_vec(&done.await.map_err(failed)?).unwrap_or_default().into()))
}
