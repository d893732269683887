//! `POST /invocations`: MLflow's protocol of scoring, for clients that speak it
//! (<https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#inference-server-specification>).

use std::collections::HashSet;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use model::{Bundle, PredictionBatch};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::App;
use crate::body::{Kind, read};
use crate::predict::{Unanswered, json};
use crate::problem::Problem;
use crate::rows::{Column, Row};
use crate::trips::{Predicted, Stated, few_enough, parsed, with};

/// The keys, one of which states the trips.
const KEYS: [&str; 4] = ["dataframe_split", "dataframe_records", "instances", "inputs"];

/// Predicted durations.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Invoked {
    /// Minutes, in the order of the trips; null where a trip cannot be predicted.
    predictions: Vec<Option<f64>>,
    /// Why trips cannot be predicted; absent if all can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Unanswered>,
}

type Fields = Map<String, Value>;

/// The rows; none where a row is no object.
type Rows = Vec<Option<Row>>;

/// Predict durations, in minutes, of trips in the forms that MLflow's servers take: as JSON with `dataframe_split`, `dataframe_records`,
/// `instances` or `inputs`, or as CSV with a line of names. Columns have the TLC's names; others are ignored.
#[utoipa::path(
    post, path = "/invocations", tag = "predictions",
    request_body(content = crate::openapi::Invocation, content_type = "application/json"),
    responses(
        (status = 200, description = "Predictions in the order of the trips", body = Invoked),
        (status = 400, description = "None of the forms", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body or the answer is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Too many trips", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no model", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn invocations(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (kind, text) = read(request, &[Kind::Json, Kind::Csv]).await?;
    let bundle = app.models.bundle().await?;
    let (n, answer) = with(&app, bundle, text, move |bundle, text| {
        let rows = match kind {
            Kind::Json => rows_of_json(parsed(text)?)?,
            Kind::Csv => rows_of_csv(text)?,
        };
        few_enough(rows.len())?;
        let (n, invoked) = invoked(bundle, rows);
        Ok((n, Bytes::from(serde_json::to_vec(&invoked).unwrap_or_default())))
    })
    .await?;
    app.figures.predicted(n);
    Ok(json(answer))
}

fn invoked(bundle: &Bundle, rows: Rows) -> (usize, Invoked) {
    let stated = |(position, row): (usize, Option<Row>)| -> Result<Stated, Problem> {
        row.ok_or_else(|| Problem::bad("trip: expected an object"))?.stated(position)
    };
    let predicted = Predicted::new(bundle, rows.into_iter().enumerate().map(stated).collect());
    let mut errors = Vec::new();
    let minutes = |_: &Stated, batch: &PredictionBatch, row: usize| Ok(batch.duration_min[row]);
    let answers =
        predicted.answers(minutes, |problem, position| Err(Unanswered { position, error: problem.clone() }));
    let predictions =
        answers.into_iter().map(|answer| answer.map_err(|error| errors.push(error)).ok()).collect();
    (predicted.n(), Invoked { predictions, errors })
}

/// Reads the rows of a document in one of the forms.
fn rows_of_json(document: Value) -> Result<Rows, Problem> {
    let expected = || Problem::bad(format!("body: expected an object with one of {}", KEYS.join(", ")));
    let Value::Object(mut document) = document else { return Err(expected()) };
    match document.remove("params") {
        None | Some(Value::Null) => (),
        Some(Value::Object(params)) => {
            if let Some(name) = params.keys().next() {
                let name = short(name);
                return Err(Problem::bad(format!("params: there is no parameter {name:?}")).of("params"));
            }
        }
        Some(_) => return Err(Problem::bad("params: expected an object").of("params")),
    }
    let mut all = document.into_iter();
    let (Some((key, value)), None) = (all.next(), all.next()) else { return Err(expected()) };
    match (key.as_str(), value) {
        ("dataframe_split", Value::Object(split)) => rows_of_split(split),
        ("dataframe_records" | "instances" | "inputs", Value::Array(records)) => {
            Ok(records.iter().map(|record| record.as_object().map(Row::from_fields)).collect())
        }
        ("inputs", Value::Object(columns)) => rows_of_columns(columns),
        (key, _) if KEYS.contains(&key) => {
            Err(Problem::bad(format!("{key}: expected {}", shape_of(key))).of(key))
        }
        _ => Err(expected()),
    }
}

fn shape_of(key: &str) -> &'static str {
    match key {
        "dataframe_split" => "{\"columns\": [...], \"data\": [[...]]}",
        "inputs" => "a list of objects, or an object of lists",
        _ => "a list of objects",
    }
}

fn rows_of_split(mut split: Fields) -> Result<Rows, Problem> {
    const KEY: &str = "dataframe_split";
    let expected = |what: &str| Problem::bad(format!("{KEY}: expected {what}")).of(KEY);
    let Some(Value::Array(columns)) = split.remove("columns") else {
        return Err(expected("columns, a list of names"));
    };
    let Some(Value::Array(data)) = split.remove("data") else { return Err(expected("data, a list of rows")) };
    let names: Option<Vec<String>> = columns.iter().map(|name| name.as_str().map(String::from)).collect();
    let names = names.ok_or_else(|| expected("columns, a list of names"))?;
    without_repeats(&names)
        .map_err(|name| expected(&format!("each name once in columns, found {name:?} again")))?;
    few_enough(data.len())?;
    let columns = columns_of(&names);
    let row = |(row, values)| match values {
        Value::Array(values) if values.len() == names.len() => Ok(Some(row_of(&columns, values))),
        _ => Err(expected(&format!("{} values in data[{row}]", names.len()))),
    };
    data.into_iter().enumerate().map(row).collect()
}

fn rows_of_columns(columns: Fields) -> Result<Rows, Problem> {
    let mut rows: Option<Vec<Row>> = None;
    for (name, values) in columns {
        let called = short(&name);
        let Value::Array(values) = values else {
            return Err(Problem::bad(format!("inputs.{called}: expected a list")).of(called));
        };
        few_enough(values.len())?;
        let rows = rows.get_or_insert_with(|| vec![Row::default(); values.len()]);
        if rows.len() != values.len() {
            let (expected, found) = (rows.len(), values.len());
            let detail =
                format!("inputs.{called}: expected {expected} values, as in the first column, found {found}");
            return Err(Problem::bad(detail).of(called));
        }
        let Some(column) = Column::named(&name) else { continue };
        for (row, value) in rows.iter_mut().zip(values) {
            // A tensor's column has lists of one value.
            let value = match value {
                Value::Array(mut one) if one.len() == 1 => one.remove(0),
                value => value,
            };
            row.set(column, value);
        }
    }
    Ok(rows.unwrap_or_default().into_iter().map(Some).collect())
}

/// Reads a table whose first line has the names. Fields that are empty, or no number by Python's words, are missing.
fn rows_of_csv(text: &str) -> Result<Rows, Problem> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let refused = |error: csv::Error| Problem::bad(format!("body: expected CSV: {error}"));
    let names: Vec<String> = reader.headers().map_err(refused)?.iter().map(String::from).collect();
    without_repeats(&names).map_err(|name| {
        Problem::bad(format!("body: expected each name once, found {name:?} again")).of(name)
    })?;
    let columns = columns_of(&names);
    let value = |text: &str| match text {
        "" | "NaN" | "nan" => Value::Null,
        text => Value::String(text.into()),
    };
    let mut rows = Rows::new();
    for record in reader.records() {
        let record = record.map_err(refused)?;
        few_enough(rows.len() + 1)?;
        rows.push(Some(row_of(&columns, record.iter().map(value))));
    }
    Ok(rows)
}

fn columns_of(names: &[String]) -> Vec<Option<Column>> {
    names.iter().map(|name| Column::named(name)).collect()
}

/// Returns what is read of a row: a table may have many other columns, and long names.
fn row_of(columns: &[Option<Column>], values: impl IntoIterator<Item = Value>) -> Row {
    let mut row = Row::default();
    for (column, value) in columns.iter().zip(values) {
        if let Some(column) = column {
            row.set(*column, value);
        }
    }
    row
}

/// Returns the first name that comes again, cut.
fn without_repeats(names: &[String]) -> Result<(), String> {
    let mut seen = HashSet::new();
    let again = names.iter().find(|name| !seen.insert(name.as_str()));
    again.map_or(Ok(()), |name| Err(short(name)))
}

/// Returns the beginning of a name, for an error.
fn short(name: &str) -> String {
    name.chars().take(60).collect()
}
