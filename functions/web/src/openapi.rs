//! `GET /openapi.json`: the document, from the types that are served. The types here are what requests state; the service reads them
//! by `model::request`, which takes more spellings.

#![allow(dead_code)] // They are read by a macro.

use axum::http::HeaderMap;
use axum::response::Response;
use model::request::RideId;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

use crate::models::tagged;

/// A TLC taxi zone, 1 to 265; other whole numbers are an unknown zone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Zone {
    /// Its number.
    Number(i64),
    /// Its number as a text.
    Text(Digits),
}

/// Digits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(pattern = "^[0-9]{1,15}$")]
pub struct Digits(String);

/// The fields of a trip. Only the zones must be there; a value that cannot be used counts as missing and is named in `unusable`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Fields {
    /// Where it starts.
    #[serde(rename = "PULocationID")]
    pickup_zone: Zone,
    /// Where it ends.
    #[serde(rename = "DOLocationID")]
    dropoff_zone: Zone,
    /// The planned distance, miles. It is estimated where it is missing.
    #[schema(value_type = Option<Value>, example = 3.66)]
    trip_distance: Option<Value>,
    /// When it starts: New York local time, or an instant with an offset.
    #[schema(value_type = Option<Value>, example = "2021-02-03T08:15:00")]
    pickup_datetime: Option<Value>,
    /// Passengers.
    #[schema(value_type = Option<Value>, example = 1)]
    passenger_count: Option<Value>,
    /// 1 standard, 2 JFK, 3 Newark, 4 Nassau or Westchester, 5 negotiated, 6 group.
    #[serde(rename = "RatecodeID")]
    #[schema(value_type = Option<Value>, example = 1)]
    rate_code: Option<Value>,
    /// 1 street hail, 2 dispatch.
    #[schema(value_type = Option<Value>, example = 1)]
    trip_type: Option<Value>,
    /// The provider of the record.
    #[serde(rename = "VendorID")]
    #[schema(value_type = Option<Value>, example = 2)]
    vendor: Option<Value>,
}

/// A trip as a message of the queue.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Message {
    ride_id: RideId,
    ride: Fields,
}

/// A trip in either shape.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Trip {
    /// As a message.
    Message(Message),
    /// Its fields alone.
    Plain(Fields),
}

/// A trip, or an array of trips.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Trips {
    /// One trip.
    One(Box<Trip>),
    /// At most 10,000.
    Many(Vec<Trip>),
}

/// There are no parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// A table: names of columns, and rows of as many values.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Split {
    columns: Vec<String>,
    #[schema(value_type = Vec<Vec<Value>>)]
    data: Vec<Vec<Value>>,
}

/// One of the forms of MLflow's protocol.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Invocation {
    /// A table.
    Split(DataframeSplit),
    /// Rows.
    Records(DataframeRecords),
    /// Rows.
    Instances(Instances),
    /// Rows or columns.
    Inputs(Inputs),
}

/// A table.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataframeSplit {
    dataframe_split: Split,
    params: Option<Parameters>,
}

/// Rows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataframeRecords {
    dataframe_records: Vec<Fields>,
    params: Option<Parameters>,
}

/// Rows, as TensorFlow's servers call them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Instances {
    instances: Vec<Fields>,
    params: Option<Parameters>,
}

/// Rows, or an object of columns of the same length.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    inputs: Vec<Fields>,
    params: Option<Parameters>,
}

/// What is predicted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetName {
    /// Minutes.
    Duration,
    /// Its probability.
    Tip,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "tripcast", description = "How long a New York taxi trip will take, and whether its driver is tipped."),
    paths(
        crate::predict::predict,
        crate::invocations::invocations,
        crate::explain::explain,
        crate::models::models,
        crate::models::card,
        crate::operations::health,
        crate::operations::metrics,
    ),
    servers((url = ".", description = "Where this document is"))
)]
struct Document;

/// Returns the OpenAPI document.
pub fn document() -> String {
    Document::openapi().to_json().unwrap_or_default()
}

pub(crate) async fn openapi(headers: HeaderMap) -> Response {
    tagged(&headers, "application/json", document().into())
}
