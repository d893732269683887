//! `GET /openapi.json`: the document, from the types that are served. The types here are what requests state; the service reads them
//! by `model::request`, which takes more spellings.

#![allow(dead_code, unused_qualifications)] // They are read, and written about, by a macro.

use axum::http::HeaderMap;
use axum::response::Response;
use model::request::RideId;
use serde_json::{Value, json};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use crate::models::tagged;

/// A TLC taxi zone, 1 to 265, as a number or as a text of digits; another whole number is an unknown zone.
#[derive(Debug)]
pub struct Zone;

impl PartialSchema for Zone {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,15}$"));
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some("A TLC taxi zone, 1 to 265; another whole number is an unknown zone."))
            .into()
    }
}

impl ToSchema for Zone {}

/// The fields of a trip. Only the zones must be there; a value that cannot be used counts as missing and is named in `unusable`.
#[derive(Debug, ToSchema)]
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
#[derive(Debug, ToSchema)]
pub struct Message {
    ride_id: RideId,
    ride: Fields,
}

/// A trip in either shape. One that has both is a message, whose other fields are ignored.
#[derive(Debug)]
pub struct Trip;

impl PartialSchema for Trip {
    fn schema() -> RefOr<Schema> {
        let [message, plain] = ["Message", "Fields"].map(Ref::from_schema_name);
        AnyOfBuilder::new().item(message).item(plain).description(Some("A trip in either shape.")).into()
    }
}

impl ToSchema for Trip {}

/// A trip, or an array of trips.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Trips {
    /// One trip.
    One(Box<Trip>),
    /// At most 10,000, each of which has its own answer or its own error.
    Many(Vec<Value>),
}

/// There are no parameters.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// Two of the forms of MLflow's protocol. `dataframe_split`, `inputs` and `text/csv` are taken, too, as that protocol describes them: their
/// rows must be as long as their names, which a schema cannot say.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Invocation {
    /// Rows.
    Records(DataframeRecords),
    /// Rows.
    Instances(Instances),
}

/// Rows, each an object with the fields of a trip.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataframeRecords {
    dataframe_records: Vec<Value>,
    params: Option<Parameters>,
}

/// Rows, as TensorFlow's servers call them.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Instances {
    instances: Vec<Value>,
    params: Option<Parameters>,
}

/// The model that the Open Inference Protocol names.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InferenceModel {
    /// The pair of champions.
    Tripcast,
}

/// The smallest request of the Open Inference Protocol: one trip. Of n trips a tensor has the shape [n] and n values; the other columns
/// are tensors, too. That all have the same length a schema cannot say.
#[derive(Debug)]
pub struct Inference;

impl PartialSchema for Inference {
    fn schema() -> RefOr<Schema> {
        let value = json!({"type": "integer"});
        let tensor = |name: &str| {
            json!({
                "type": "object",
                "required": ["name", "datatype", "shape", "data"],
                "properties": {
                    "name": {"type": "string", "enum": [name]},
                    "datatype": {"type": "string", "enum": ["INT64"]},
                    "shape": {"type": "array", "items": {"type": "integer", "enum": [1]}, "minItems": 1, "maxItems": 2},
                    "data": {"type": "array", "items": {"anyOf": [value, {"type": "array", "items": value, "minItems": 1, "maxItems": 1}]}, "minItems": 1, "maxItems": 1},
                },
            })
        };
        let schema = json!({
            "type": "object",
            "description": "One trip; of n trips a tensor has the shape [n] and n values, and the other columns are tensors, too.",
            "required": ["inputs"],
            "properties": {
                "id": {"type": ["string", "null"]},
                "inputs": {
                    "type": "array",
                    "prefixItems": [tensor("PULocationID"), tensor("DOLocationID")],
                    "items": false, "minItems": 2, "maxItems": 2,
                },
                "outputs": {
                    "type": ["array", "null"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string", "enum": ["duration", "duration_lower", "duration_upper", "unusable"]},
                                },
                    },
                },
            },
        });
        // It is one: the document's tests read it.
        serde_json::from_value(schema).unwrap_or_else(|_| Schema::default().into())
    }
}

impl ToSchema for Inference {}

/// A version of a model, 12 hex digits.
#[derive(Debug, ToSchema)]
#[schema(pattern = "^[0-9a-f]{12}$")]
pub struct VersionName(String);

/// What is predicted.
#[derive(Debug, ToSchema)]
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
        crate::inference::server,
        crate::inference::live,
        crate::inference::ready,
        crate::inference::metadata,
        crate::inference::model_ready,
        crate::inference::infer,
        crate::explain::explain,
        crate::models::models,
        crate::models::card,
        crate::operations::health,
        crate::operations::metrics,
    ),
    components(schemas(Fields, InferenceModel, Message, TargetName, VersionName)),
    tags(
        (name = "predictions", description = "Trips in, predictions out"),
        (name = "open inference protocol", description = "The same for clients of KServe, Triton, MLServer or Seldon"),
        (name = "models", description = "What answers"),
        (name = "operations", description = "How it goes"),
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
