//! Decodes the events of a function from JSON with our own types, since those of the crates fail on shapes that AWS
//! sends. An event of another kind is an error that names it, so that nothing in it is acknowledged.

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

/// A message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id that the queue gave it, not empty.
    pub id: String,
    /// Its text; a body that is not a text is given as JSON.
    pub body: String,
}

/// Returns the messages of an SQS event. Only the id and the body of a record are read, so that new fields do no harm.
///
/// # Errors
/// [`EventError`] for any other event, and for a record without an id or a body: such a record cannot be reported as
/// failed, or has been altered, so it must not be acknowledged.
pub fn trip_messages(event: &Value) -> Result<Vec<Message>, EventError> {
    const EXPECTED: &str = "an SQS event whose Records have messageId and body";
    let records = event["Records"].as_array().ok_or_else(|| EventError::new(EXPECTED, event))?;
    let is_of_sqs = |record: &Value| record["eventSource"].as_str().is_none_or(|source| source == "aws:sqs");
    if !records.iter().all(|record| is_of_sqs(record) && record["EventSource"].is_null()) {
        return Err(EventError::new(EXPECTED, event));
    }
    let message = |(number, record): (usize, &Value)| {
        let lacking = |field: &str| {
            let fields =
                record.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
            let fields = fields.filter(|fields| !fields.is_empty()).unwrap_or_else(|| "no fields".into());
            EventError {
                expected: EXPECTED,
                found: format!("record {number} without {field}: it has {fields}"),
            }
        };
        let id =
            record["messageId"].as_str().filter(|id| !id.is_empty()).ok_or_else(|| lacking("messageId"))?;
        let body = match record.get("body") {
            None => return Err(lacking("body")),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Ok(Message { id: id.into(), body })
    };
    records.iter().enumerate().map(message).collect()
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
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(name: &str) -> Value {
        let path = format!("{}/../../infra/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn of_a_record_only_the_id_and_the_body_are_looked_at() {
        let mut event = sample("scorer-sqs");
        event["Records"][0]["messageAttributes"] =
            json!({"origin": {"stringListValues": null, "dataType": "String"}});
        event["Records"][1]["attributes"] = json!({"ApproximateReceiveCount": 1, "New": [null]});
        event["Records"][2]["body"] = json!({"ride_id": 1});
        let messages = trip_messages(&event).unwrap();
        assert_eq!((messages.len(), messages[2].body.as_str()), (3, "{\"ride_id\":1}"));
        assert_eq!(trip_messages(&json!({"Records": []})), Ok(vec![]));
    }

    #[test]
    fn whatever_is_no_batch_of_messages_is_refused_by_its_name() {
        let record = |fields: Value| json!({"Records": [{"messageId": "m", "body": "{}"}, fields]});
        let sns = json!({"EventSource": "aws:sns", "Sns": {"Message": "{}"}});
        for (event, name) in [
            (
                json!({"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": "e30="}}]}),
                "found a Kinesis event",
            ),
            (
                json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {}}]}),
                "found a DynamoDB stream's event",
            ),
            (json!({"Records": [sns]}), "found an SNS event"),
            (sample("batch-predictor-s3"), "found an S3 notification"),
            (sample("batch-predictor-eventbridge"), "found an EventBridge event of S3"),
            (json!({"Records": [{}]}), "found record 0 without messageId: it has no fields"),
            (
                record(json!({"messageId": "n", "Body": "{}"})),
                "found record 1 without body: it has Body, messageId",
            ),
            (record(json!({"messageId": "", "body": "{}"})), "found record 1 without messageId"),
            (record(json!({"messageId": 7, "body": "{}"})), "found record 1 without messageId"),
            (record(json!("text")), "found record 1 without messageId: it has no fields"),
            (record(json!({"eventSource": "aws:sns", "messageId": "m", "body": "{}"})), "found {\"Records\""),
            (json!({"now": "2021-03-15"}), "found {\"now\""),
            (json!(null), "found null"),
        ] {
            let refused = trip_messages(&event).unwrap_err().to_string();
            assert!(
                refused.starts_with("expected an SQS event") && refused.contains(name),
                "{refused}: {name}"
            );
        }
    }

    #[test]
    fn an_eventbridge_key_is_raw() {
        let mut event = sample("batch-predictor-eventbridge");
        event["detail"]["object"]["key"] = json!("incoming/late trips + 100%.parquet");
        let created = objects_created(&event).unwrap();
        assert_eq!(created[0].key, "incoming/late trips + 100%.parquet");
        assert_eq!(created[0].version.as_deref(), Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"));
        assert_eq!(created[0].etag.as_deref(), Some("b1946ac92492d2347c6235b4d2611184"));
    }

    #[test]
    fn a_classic_key_is_form_encoded() {
        let created = objects_created(&sample("batch-predictor-s3")).unwrap();
        assert_eq!(created[0].key, "incoming/late trips + 100%/green_tripdata_2021-03.parquet");
        assert_eq!(created[0].bucket, "tripcast-databucket-1a2b3c4d5e6f");
    }

    #[test]
    fn a_test_event_tells_of_nothing_and_another_event_is_refused() {
        assert_eq!(objects_created(&sample("batch-predictor-s3-test-event")), Ok(vec![]));
        for other in [json!({}), json!(null), json!({"Records": [{}]}), sample("scorer-sqs")] {
            let refused = objects_created(&other).unwrap_err().to_string();
            assert!(refused.starts_with("expected an EventBridge \"Object Created\" event"), "{refused}");
        }
        let removed = json!({"Records": [{"eventName": "ObjectRemoved:Delete", "s3": {}}]});
        assert_eq!(objects_created(&removed), Ok(vec![]), "known, and nothing appeared");
    }
}
