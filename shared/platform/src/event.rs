//! Decodes the events of a function from JSON with our own types, since those of the crates fail on shapes that AWS
//! sends. An event of another kind is an error that names it, so that nothing in it is acknowledged.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

/// An object that was created in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCreated {
    /// The bucket.
    pub bucket: String,
    /// The key as it is in the bucket, decoded.
    pub key: String,
    /// The version, if the bucket keeps versions and the event names it.
    pub version: Option<String>,
    /// The ETag, without quotes.
    pub etag: Option<String>,
}

/// An event of an unexpected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct EventError {
    expected: &'static str,
    found: String,
}

impl EventError {
    /// Creates the error for an `event` that is not what was `expected`.
    pub fn new(expected: &'static str, event: &Value) -> Self {
        Self { expected, found: kind_of(event) }
    }
}

/// Names of AWS's event sources, as in records and EventBridge events, with a description.
const SOURCES: [(&str, &str); 6] = [
    ("aws:sqs", "an SQS event"),
    ("aws:kinesis", "a Kinesis event"),
    ("aws:dynamodb", "a DynamoDB stream's event"),
    ("aws:sns", "an SNS event"),
    ("aws:s3", "an S3 notification"),
    ("aws.s3", "an EventBridge event of S3"),
];

/// Describes an event by its source, if known, and its first 200 characters: enough to recognise it, but no more, as it
/// may hold what should not be logged.
fn kind_of(event: &Value) -> String {
    let record = &event["Records"][0];
    // Only SNS writes `EventSource` with a capital.
    let source = [&record["eventSource"], &record["EventSource"], &event["source"]]
        .into_iter()
        .find_map(Value::as_str);
    let known = source.and_then(|source| SOURCES.iter().find(|(name, _)| *name == source));
    let begins: String = event.to_string().chars().take(200).collect();
    match known {
        Some((_, kind)) => format!("{kind}: {begins}"),
        None => begins,
    }
}

/// Where the messages of a batch come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An SQS queue: each message ends on its own.
    Queue,
    /// A shard of a Kinesis stream: what follows a message that has failed is delivered again with it.
    Stream,
}

/// The messages of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripMessages {
    /// Where all of them come from.
    pub origin: Origin,
    /// The messages, in the order of the event.
    pub messages: Vec<Message>,
}

/// A message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id that the queue gave it, or the sequence number of a record; not empty.
    pub id: String,
    /// Its text. A body that is not a text is given as JSON, the data of a record that is not a text as in the event.
    pub body: String,
    /// The partition key of a record.
    pub partition_key: Option<String>,
    /// Why the data of a record is no text, if so.
    pub flaw: Option<String>,
}

const TRIPS_EXPECTED: &str = "an SQS event whose Records have messageId and body, or a Kinesis event whose Records have \
                              kinesis.sequenceNumber";

/// Returns the messages of an SQS or a Kinesis event. Only what [`Message`] has is read, so that new fields do no harm,
/// nor the forms in which emulators give the time of arrival.
///
/// # Errors
/// [`EventError`] for any other event, for events of a tumbling window, which want their state back, and for a record
/// without an id or a body: such a record cannot be reported as failed, or has been altered, so it must not be
/// acknowledged.
pub fn trip_messages(event: &Value) -> Result<TripMessages, EventError> {
    let unknown = || EventError::new(TRIPS_EXPECTED, event);
    let records = event["Records"].as_array().ok_or_else(unknown)?;
    if !event["window"].is_null() {
        let found = "an event of a tumbling window: set TumblingWindowInSeconds of the mapping to 0".into();
        return Err(EventError { expected: TRIPS_EXPECTED, found });
    }
    let of_stream = |record: &Value| {
        record["eventSource"] == "aws:kinesis"
            || record["eventSource"].is_null() && record["kinesis"].is_object()
    };
    let of_queue = |record: &Value| {
        record["eventSource"].as_str().is_none_or(|source| source == "aws:sqs")
            && record["EventSource"].is_null()
    };
    let origin = if records.first().is_some_and(of_stream) { Origin::Stream } else { Origin::Queue };
    let is_of_origin = |record: &Value| match origin {
        Origin::Stream => of_stream(record),
        Origin::Queue => of_queue(record),
    };
    if !records.iter().all(is_of_origin) {
        return Err(unknown());
    }
    let message = |(number, record)| match origin {
        Origin::Stream => of_record(number, record),
        Origin::Queue => of_sqs(number, record),
    };
    Ok(TripMessages { origin, messages: records.iter().enumerate().map(message).collect::<Result<_, _>>()? })
}

/// Creates the error for a record without a field.
fn lacking(number: usize, record: &Value, field: &str) -> EventError {
    let fields = record.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
    let fields = fields.filter(|fields| !fields.is_empty()).unwrap_or_else(|| "no fields".into());
    EventError {
        expected: TRIPS_EXPECTED,
        found: format!("record {number} without {field}: it has {fields}"),
    }
}

/// Returns the text of a field, if it is one and not empty.
fn text<'a>(of: &'a Value, field: &str) -> Option<&'a str> {
    of[field].as_str().filter(|text| !text.is_empty())
}

fn of_sqs(number: usize, record: &Value) -> Result<Message, EventError> {
    let id = text(record, "messageId").ok_or_else(|| lacking(number, record, "messageId"))?.to_string();
    let body = match record.get("body") {
        None => return Err(lacking(number, record, "body")),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Ok(Message { id, body, partition_key: None, flaw: None })
}

/// Reads a record of a stream. Data that is no text is a flaw of the message and no error, since a record that can never
/// be read would hold its shard until it expires.
fn of_record(number: usize, record: &Value) -> Result<Message, EventError> {
    let record = &record["kinesis"];
    let id = text(record, "sequenceNumber");
    let id = id.ok_or_else(|| lacking(number, record, "kinesis.sequenceNumber"))?.to_string();
    let partition_key = text(record, "partitionKey").map(String::from);
    let data = record["data"].as_str().unwrap_or_default();
    let (body, flaw) = match decoded(data) {
        Ok(body) => (body, None),
        Err(flaw) => (data.to_string(), Some(flaw)),
    };
    Ok(Message { id, body, partition_key, flaw })
}

/// The first bytes of records that the Kinesis Producer Library has put together.
const AGGREGATED: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// Decodes the data of a record, once.
fn decoded(data: &str) -> Result<String, String> {
    let engine = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bytes =
        engine.decode(data).map_err(|error| format!("the record's data is not in base64: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        if error.as_bytes().starts_with(&AGGREGATED) {
            "the record holds several, as the Kinesis Producer Library puts them together: set its AggregationEnabled to false".into()
        } else {
            format!("the record's data is not UTF-8: {}", error.utf8_error())
        }
    })
}

impl model::Classified for EventError {
    fn error_type(&self) -> &'static str {
        "Event.Unknown"
    }
    fn is_transient(&self) -> bool {
        false
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Object {
    key: String,
    #[serde(default, alias = "etag")]
    e_tag: Option<String>,
    #[serde(default, alias = "version-id")]
    version_id: Option<String>,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct InBucket {
    bucket: Bucket,
    object: S3Object,
}

impl InBucket {
    fn created(self, key: String) -> ObjectCreated {
        let etag = self.object.e_tag.map(|etag| etag.trim_matches('"').to_string());
        let version = self.object.version_id.filter(|version| !version.is_empty() && version != "null");
        ObjectCreated { bucket: self.bucket.name, key, version, etag }
    }
}

/// Returns the objects that an event names: EventBridge "Object Created" (raw keys), classic S3 notifications
/// (form-encoded keys, several records), or none for the `s3:TestEvent` that S3 sends when a notification is set up.
///
/// # Errors
/// [`EventError`] for any other event.
pub fn objects_created(event: &Value) -> Result<Vec<ObjectCreated>, EventError> {
    let unknown = || EventError::new("an EventBridge \"Object Created\" event or an S3 notification", event);
    if event["Event"] == "s3:TestEvent" {
        return Ok(Vec::new());
    }
    if event["source"] == "aws.s3" && event["detail-type"] == "Object Created" {
        let detail = InBucket::deserialize(&event["detail"]).map_err(|_| unknown())?;
        let key = detail.object.key.clone();
        return Ok(vec![detail.created(key)]);
    }
    let records = event["Records"].as_array().ok_or_else(unknown)?;
    let created = |record: &Value| -> Option<Result<ObjectCreated, EventError>> {
        if !record["eventName"].as_str().is_some_and(|name| name.contains("ObjectCreated")) {
            return None;
        }
        Some(InBucket::deserialize(&record["s3"]).map_err(|_| unknown()).and_then(|found| {
            let key = form_decoded(&found.object.key).ok_or_else(unknown)?;
            Ok(found.created(key))
        }))
    };
    if records.iter().any(|record| record["s3"].is_null()) {
        return Err(unknown());
    }
    records.iter().filter_map(created).collect()
}

fn form_decoded(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|key| key.into_owned())
}

#[cfg(test)]
mod tests;
