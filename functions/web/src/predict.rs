//! `POST /predict`: one trip, or an array of them.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::prediction::Versions;
use model::request::RideId;
use model::{Bundle, ModelVersion, Prediction, PredictionBatch};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::App;
use crate::body::{Kind, read};
use crate::problem::Problem;
use crate::trips::{Predicted, Shape, Stated, few_enough, parsed, stated, with};

/// The answer to a trip whose fields were stated alone, as the course's service answers and more.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlainAnswer {
    /// How long it will take, minutes.
    pub duration: f64,
    /// 90 % of rides like it take between these, minutes.
    pub duration_interval: [f64; 2],
    /// Probability that its driver is tipped if it is paid by card; null without a tip model.
    pub tip_probability: Option<f64>,
    /// The version of the duration model.
    pub model_version: ModelVersion,
    /// The versions of both models.
    pub versions: Versions,
    /// The ride, if it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ride_id: Option<RideId>,
    /// Fields that had a value which could not be used, so that they count as missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<String>,
}

/// A trip of an array that cannot be predicted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Unanswered {
    /// Its position in the array, from 0.
    pub position: usize,
    /// Why not.
    pub error: Problem,
}

/// The answer to one trip.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Answer {
    /// To one that was stated as a message.
    Message(Prediction),
    /// To one whose fields were stated alone.
    Plain(PlainAnswer),
    /// To one that cannot be predicted.
    Unanswered(Unanswered),
}

/// The answer to a request: to one trip, or to each of an array in its order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Answers {
    /// To one trip.
    One(Answer),
    /// To an array.
    Many(Vec<Answer>),
}

/// Predict a trip, or an array of at most 10,000. A trip is a message as in the queue, or its fields alone. In an array a trip that cannot
/// be predicted has its own error, and the others their answers.
#[utoipa::path(
    post, path = "/predict", tag = "predictions",
    request_body(content = crate::openapi::Trips, content_type = "application/json"),
    responses(
        (status = 200, description = "The answer, or one for each trip of the array in its order", body = Answers),
        (status = 400, description = "No JSON, or no trip", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body or the answer is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The trip cannot be predicted", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no model", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn predict(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (_, text) = read(request, &[Kind::Json]).await?;
    let bundle = app.models.bundle().await?;
    let (n, answer) = with(&app, bundle, text, |bundle, text| {
        let (n, answers) = answers(bundle, &parsed(text)?)?;
        Ok((n, Bytes::from(serde_json::to_vec(&answers).unwrap_or_default())))
    })
    .await?;
    app.figures.predicted(n);
    Ok(json(answer))
}

fn answers(bundle: &Bundle, value: &Value) -> Result<(usize, Answers), Problem> {
    let answer = |stated: &Stated, batch: &PredictionBatch, row: usize| answer(bundle, stated, batch, row);
    let unanswered =
        |problem: &Problem, position| Answer::Unanswered(Unanswered { position, error: problem.clone() });
    match value {
        Value::Array(values) => {
            few_enough(values.len())?;
            let rows = values.iter().enumerate().map(|(position, value)| stated(value, position)).collect();
            let predicted = Predicted::new(bundle, rows);
            Ok((predicted.n(), Answers::Many(predicted.answers(answer, unanswered))))
        }
        Value::Object(_) => {
            let predicted = Predicted::new(bundle, vec![Ok(stated(value, 0)?)]);
            let one = predicted.answers(answer, unanswered).pop();
            let missing = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the trip has no answer");
            Ok((1, Answers::One(one.ok_or_else(missing)?)))
        }
        _ => Err(Problem::bad("body: expected a trip or an array of trips")),
    }
}

fn answer(bundle: &Bundle, stated: &Stated, batch: &PredictionBatch, row: usize) -> Answer {
    let answered = Prediction::new(bundle, &stated.request, batch, row);
    if stated.shape == Shape::Message {
        return Answer::Message(answered);
    }
    Answer::Plain(PlainAnswer {
        duration: answered.prediction.ride_duration,
        duration_interval: answered.prediction.ride_duration_interval,
        tip_probability: answered.prediction.tip_probability,
        model_version: answered.version,
        versions: answered.versions,
        ride_id: Some(answered.prediction.ride_id).filter(|_| stated.is_named),
        unusable: answered.unusable,
    })
}

/// Answers with JSON that is encoded already.
pub(crate) fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
