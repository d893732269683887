//! `POST /predict`: one trip, or an array of them.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::prediction::Versions;
use model::request::{RideId, Simple};
use model::{Bundle, ModelVersion, Prediction, PredictionBatch};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::App;
use crate::body::{Kind, read};
use crate::problem::Problem;
use crate::trips::{Predicted, Shape, Stated, few_enough, parsed, simple, stated, with};

/// About what an answer takes.
const ANSWER_BYTES: usize = 256;

/// The answer to a trip whose fields were stated alone, as the course's service answers and more.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlainAnswer<'a> {
    /// How long it will take, minutes.
    pub duration: f64,
    /// 90 % of rides like it take between these, minutes.
    pub duration_interval: [f64; 2],
    /// Probability that its driver is tipped if it is paid by card; null without a tip model.
    pub tip_probability: Option<f64>,
    /// The version of the duration model.
    pub model_version: &'a ModelVersion,
    /// The versions of both models.
    pub versions: &'a Versions,
    /// The ride, if it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ride_id: Option<&'a RideId>,
    /// Fields that had a value which could not be used, so that they count as missing.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub unusable: &'a [&'static str],
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
pub enum Answer<'a> {
    /// To one that was stated as a message.
    Message(Prediction),
    /// To one whose fields were stated alone.
    Plain(PlainAnswer<'a>),
    /// To one that cannot be predicted.
    Unanswered(Unanswered),
}

/// The answer to a request: to one trip, or to each of an array in its order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Answers<'a> {
    /// To one trip.
    One(Answer<'a>),
    /// To an array.
    Many(Vec<Answer<'a>>),
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
        let (is_array, trips) = trips_of(text)?;
        let predicted = Predicted::new(bundle, trips);
        let encoded = encoded(bundle, &predicted, is_array)?;
        Ok((predicted.n(), encoded))
    })
    .await?;
    app.figures.predicted(n);
    Ok(json(answer))
}

/// Reads the trips of a request, and whether they were an array.
fn trips_of(text: &str) -> Result<(bool, Vec<Result<Stated, Problem>>), Problem> {
    if let Ok(trip) = serde_json::from_str(text) {
        return Ok((false, vec![Ok(simple(trip, 0)?)]));
    }
    if let Ok(trips) = serde_json::from_str::<Vec<Simple>>(text) {
        few_enough(trips.len())?;
        return Ok((
            true,
            trips.into_iter().enumerate().map(|(position, trip)| simple(trip, position)).collect(),
        ));
    }
    match parsed(text)? {
        Value::Array(values) => {
            few_enough(values.len())?;
            Ok((true, values.iter().enumerate().map(|(position, value)| stated(value, position)).collect()))
        }
        value @ Value::Object(_) => Ok((false, vec![Ok(stated(&value, 0)?)])),
        _ => Err(Problem::bad("body: expected a trip or an array of trips")),
    }
}

/// Returns the answers as JSON.
fn encoded(bundle: &Bundle, predicted: &Predicted, is_array: bool) -> Result<Bytes, Problem> {
    let versions = bundle.versions();
    let mut answers = predicted.answers(
        |stated, batch, row| answer(bundle, &versions, stated, batch, row),
        |problem, position| Answer::Unanswered(Unanswered { position, error: problem.clone() }),
    );
    let mut written = Vec::with_capacity(answers.len() * ANSWER_BYTES);
    let missing = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the trip has no answer");
    let answers = match is_array {
        true => Answers::Many(answers),
        false => Answers::One(answers.pop().ok_or_else(missing)?),
    };
    serde_json::to_writer(&mut written, &answers)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(written.into())
}

fn answer<'a>(
    bundle: &'a Bundle,
    versions: &'a Versions,
    stated: &'a Stated,
    batch: &PredictionBatch,
    row: usize,
) -> Answer<'a> {
    if stated.shape == Shape::Message {
        return Answer::Message(Prediction::new(bundle, &stated.request, batch, row));
    }
    Answer::Plain(PlainAnswer {
        duration: batch.duration_min[row],
        duration_interval: [batch.lower_min[row], batch.upper_min[row]],
        tip_probability: batch.tip_probability.as_ref().map(|probabilities| probabilities[row]),
        model_version: bundle.duration_version(),
        versions,
        ride_id: stated.is_named.then_some(&stated.request.ride_id),
        unusable: &stated.unusable,
    })
}

/// Answers with JSON that is encoded already.
pub(crate) fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
