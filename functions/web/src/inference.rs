//! `/v2`: the Open Inference Protocol over REST, for clients of KServe, Triton, MLServer or Seldon
//! (<https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>).
//!
//! The pair of champions is one model, [`MODEL`], whose version is the bundle. A tensor is a column of trips by the TLC's name. The
//! protocol has no error of a single row: a request with a trip that cannot be predicted has no answer, and its error names the row.
//! Values are in the JSON: the extension for binary ones behind it is not spoken, and `parameters`, which are hints, are ignored.

mod tensors;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::{Bundle, PredictionBatch};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::App;
use crate::body::{Kind, read};
use crate::problem::Problem;
use crate::trips::{Predicted, Stated, parsed, with};

use tensors::{INPUTS, InferenceRequest, OUTPUTS, Output};

/// The name of the model.
pub const MODEL: &str = "tripcast";

/// A problem in this protocol: with a member `error`, which its clients show.
#[derive(Debug)]
pub struct Refused(Problem);

impl<E: Into<Problem>> From<E> for Refused {
    fn from(problem: E) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut body = serde_json::to_value(&self.0).unwrap_or_default();
        body["error"] = body["detail"].clone();
        (self.0.status(), [(header::CONTENT_TYPE, "application/problem+json")], body.to_string())
            .into_response()
    }
}

/// What serves.
#[derive(Debug, Serialize, ToSchema)]
pub struct Server {
    /// Always `tripcast`.
    name: &'static str,
    /// The version of the program.
    version: &'static str,
    /// Names of extensions; none is spoken.
    extensions: [String; 0],
}

/// Whether the server lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    /// Always true.
    live: bool,
}

/// Whether there are models to answer with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// The model, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    /// Always true; where there are no models, the status is 503.
    ready: bool,
}

/// A tensor that is taken or answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TensorMetadata {
    /// Its name.
    name: &'static str,
    /// The type of its values.
    datatype: &'static str,
    /// -1: any number of trips.
    shape: [i64; 1],
}

/// The model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelMetadata {
    /// Always `tripcast`.
    name: &'static str,
    /// The bundle that answers.
    versions: [String; 1],
    /// The form of the model.
    platform: &'static str,
    /// What is taken. Only the zones must be there.
    inputs: Vec<TensorMetadata>,
    /// What is answered.
    outputs: Vec<TensorMetadata>,
}

/// An answered tensor.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tensor {
    /// Its name.
    name: &'static str,
    /// The type of its values.
    datatype: &'static str,
    /// How many trips.
    shape: [usize; 1],
    /// A value for each trip.
    data: Vec<Value>,
}

/// The answer to a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct Inferred {
    /// Always `tripcast`.
    model_name: &'static str,
    /// The bundle that answered.
    model_version: String,
    /// That of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Those that the request names, or all.
    outputs: Vec<Tensor>,
}

/// Read what serves.
#[utoipa::path(
    get, path = "/v2", tag = "open inference protocol",
    responses((status = 200, description = "The server", body = Server))
)]
pub async fn server() -> Response {
    answered(&Server { name: MODEL, version: env!("CARGO_PKG_VERSION"), extensions: [] })
}

/// Say whether the server lives.
#[utoipa::path(
    get, path = "/v2/health/live", tag = "open inference protocol",
    responses((status = 200, description = "It does", body = Live))
)]
pub async fn live() -> Response {
    answered(&Live { live: true })
}

/// Say whether there are models to answer with.
#[utoipa::path(
    get, path = "/v2/health/ready", tag = "open inference protocol",
    responses(
        (status = 200, description = "There are", body = Ready),
        (status = 503, description = "There is no champion, or it cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn ready(State(app): State<App>) -> Result<Response, Refused> {
    app.models.bundle().await?;
    Ok(answered(&Ready { name: None, ready: true }))
}

/// Say whether the model can answer.
#[utoipa::path(
    get, path = "/v2/models/{model}/ready", tag = "open inference protocol",
    params(("model" = crate::openapi::InferenceModel, Path, description = "The model")),
    responses(
        (status = 200, description = "It can", body = Ready),
        (status = 404, description = "There is no such model", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no champion, or it cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn model_ready(State(app): State<App>, model: ModelPath) -> Result<Response, Refused> {
    bundle(&app, model).await?;
    Ok(answered(&Ready { name: Some(MODEL), ready: true }))
}

/// Read what the model takes and answers.
#[utoipa::path(
    get, path = "/v2/models/{model}", tag = "open inference protocol",
    params(("model" = crate::openapi::InferenceModel, Path, description = "The model")),
    responses(
        (status = 200, description = "Names, types and shapes", body = ModelMetadata),
        (status = 404, description = "There is no such model", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no champion, or it cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn metadata(State(app): State<App>, model: ModelPath) -> Result<Response, Refused> {
    let bundle = bundle(&app, model).await?;
    let tensor = |(name, datatype)| TensorMetadata { name, datatype, shape: [-1] };
    let outputs = OUTPUTS.iter().filter(|output| output.is_of(&bundle));
    Ok(answered(&ModelMetadata {
        name: MODEL,
        versions: [bundle.id()],
        platform: "tripcast_bundle",
        inputs: INPUTS.map(tensor).into(),
        outputs: outputs.map(|output| tensor((output.name(), output.datatype()))).collect(),
    }))
}

/// Predict trips whose columns are tensors of the same length. Values are numbers or texts, null where they are missing.
#[utoipa::path(
    post, path = "/v2/models/{model}/infer", tag = "open inference protocol",
    params(("model" = crate::openapi::InferenceModel, Path, description = "The model")),
    request_body(content = crate::openapi::Inference, content_type = "application/json"),
    responses(
        (status = 200, description = "The outputs, a value for each trip in its order", body = Inferred),
        (status = 400, description = "Not the form, or no such tensor", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such model", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body or the answer is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A trip cannot be predicted, or there are too many", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no model", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn infer(State(app): State<App>, model: ModelPath, request: Request) -> Result<Response, Refused> {
    let bundle = bundle(&app, model).await?;
    let (_, text) = read(request, &[Kind::Json]).await?;
    let (n, answer) = with(&app, bundle, text, |bundle, text| {
        let request = InferenceRequest::from_json(parsed(text)?, bundle)?;
        let (n, inferred) = inferred(bundle, request)?;
        Ok((n, Bytes::from(serde_json::to_vec(&inferred).unwrap_or_default())))
    })
    .await?;
    app.figures.predicted(n);
    Ok(crate::predict::json(answer))
}

/// The name of a model and, in half of the routes, its version.
type ModelPath = Result<Path<HashMap<String, String>>, PathRejection>;

/// Returns the champions if it is they whom the path names.
async fn bundle(app: &App, model: ModelPath) -> Result<Arc<Bundle>, Problem> {
    let Path(named) = model.map_err(|error| Problem::bad(error.body_text()))?;
    let text = |name: &str| named.get(name).map(String::as_str);
    if text("model") != Some(MODEL) {
        let detail = format!("model: expected {MODEL}, which is the only one");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail).of("model"));
    }
    let bundle = app.models.bundle().await?;
    match text("version") {
        Some(version) if version != bundle.id() => {
            let detail = format!("version: expected {}, the bundle that serves", bundle.id());
            Err(Problem::new(StatusCode::NOT_FOUND, detail).of("version"))
        }
        _ => Ok(bundle),
    }
}

fn inferred(bundle: &Bundle, request: InferenceRequest) -> Result<(usize, Inferred), Problem> {
    let rows = request.rows.into_iter().enumerate();
    let trips = rows.map(|(position, row)| row.stated(position).map_err(|problem| problem.in_row(position)));
    let trips = trips.collect::<Result<Vec<Stated>, Problem>>()?;
    let predicted = Predicted::new(bundle, trips.into_iter().map(Ok).collect());
    let tensor = |output: Output| {
        let value = |stated: &Stated, batch: &PredictionBatch, row: usize| output.value(stated, batch, row);
        // There are no others: every trip could be read.
        let data = predicted.answers(value, |_, _| Value::Null);
        Tensor { name: output.name(), datatype: output.datatype(), shape: [data.len()], data }
    };
    let outputs = request.outputs.into_iter().map(tensor).collect();
    Ok((predicted.n(), Inferred { model_name: MODEL, model_version: bundle.id(), id: request.id, outputs }))
}

fn answered(answer: &impl Serialize) -> Response {
    crate::predict::json(serde_json::to_vec(answer).unwrap_or_default().into())
}

#[cfg(test)]
mod tests;
