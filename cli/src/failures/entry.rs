//! Entries of a queue of failures: what Lambda's destinations send of invocations and of records of a stream, and what EventBridge and its
//! Scheduler send of events that they could not deliver.

use chrono::{DateTime, Utc};
use operations::invoke::reason;
use operations::letters::Letter;
use operations::records::Position;
use platform::event::objects_created;
use serde_json::Value;

use crate::queues::beginning;

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// An event that a function failed on, or never got.
    Event(Value),
    /// Records of a stream; the entry has their positions alone.
    Records(Position),
    /// Nothing that could be done again, for this reason.
    Nothing(&'static str),
}

/// The function of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The alias or the version that was invoked; none for the latest code.
    pub qualifier: Option<String>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id of its message.
    pub id: String,
    /// The function that failed, or that an event did not reach.
    pub function: Option<Function>,
    /// When it failed for good.
    pub failed: Option<DateTime<Utc>>,
    /// How often it was tried.
    pub attempts: Option<u64>,
    /// The last error.
    pub reason: String,
    /// What is to be done again.
    pub work: Work,
}

impl Function {
    /// Reads `arn:aws:lambda:<region>:<account>:function:<name>[:<qualifier>]`.
    fn from_arn(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.split(':').collect();
        let name = parts.get(6).filter(|name| parts[2] == "lambda" && !name.is_empty())?;
        let qualifier = parts.get(7).filter(|qualifier| **qualifier != "$LATEST");
        Some(Self { name: (*name).into(), qualifier: qualifier.map(|one| (*one).into()) })
    }

    /// Reads a name, with an alias or a version after a colon, or an ARN.
    ///
    /// # Errors
    /// What was expected.
    pub fn named(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?}: expected the name of a function, NAME:alias, or an ARN");
        if text.starts_with("arn:") {
            return Self::from_arn(text).ok_or_else(expected);
        }
        let (name, qualifier) = text.split_once(':').map_or((text, None), |(name, one)| (name, Some(one)));
        let is_word = |word: &str| !word.is_empty() && !word.contains([':', '/', ' ']);
        if !is_word(name) || !qualifier.is_none_or(is_word) {
            return Err(expected());
        }
        Ok(Self { name: name.into(), qualifier: qualifier.map(String::from) })
    }

    /// Returns the name as an invocation takes it.
    pub fn qualified(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Entry {
    /// Reads a message.
    pub fn new(letter: &Letter) -> Self {
        let body: Option<Value> = serde_json::from_str(&letter.body).ok();
        match (letter.attribute("ERROR_CODE"), body) {
            (Some(code), body) => Self::undelivered(letter, code, body),
            (None, Some(body)) if body["requestContext"]["functionArn"].is_string() => {
                Self::failed(letter, &body)
            }
            (None, _) => Self {
                id: letter.id.clone(),
                function: None,
                failed: letter.sent,
                attempts: None,
                reason: format!("of no known kind: {}", beginning(&letter.body)),
                work: Work::Nothing(
                    "it is neither an invocation nor records nor an event that was not delivered",
                ),
            },
        }
    }

    /// Reads what EventBridge or its Scheduler could not deliver: the body is the event.
    fn undelivered(letter: &Letter, code: &str, event: Option<Value>) -> Self {
        let number = |name| letter.attribute(name).and_then(|text| text.parse::<u64>().ok());
        let message = letter.attribute("ERROR_MESSAGE").unwrap_or_default();
        let work = match event {
            Some(event) if letter.attribute("IS_PAYLOAD_TRUNCATED") != Some("true") => Work::Event(event),
            Some(_) => Work::Nothing("its event was cut, since it was too large for the queue"),
            None => Work::Nothing("its event is no JSON"),
        };
        Self {
            id: letter.id.clone(),
            function: letter.attribute("TARGET_ARN").and_then(Function::from_arn),
            failed: letter.sent,
            attempts: number("RETRY_ATTEMPTS").map(|retries| retries + 1),
            reason: format!("not delivered: {code}: {message}"),
            work,
        }
    }

    /// Reads what Lambda notes of an invocation, or of records, that failed for good (AWS Lambda Developer Guide, "Retaining records of
    /// asynchronous invocations" and "Retain discarded batch records").
    fn failed(letter: &Letter, body: &Value) -> Self {
        let context = &body["requestContext"];
        let function = context["functionArn"].as_str().and_then(Function::from_arn);
        let failed = body["timestamp"].as_str().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        let condition = context["condition"].as_str().unwrap_or("no condition");
        let error = reason(&body["responsePayload"])
            .or_else(|| body["responseContext"]["functionError"].as_str().map(String::from));
        let work = match (position(&body["KinesisBatchInfo"]), &body["requestPayload"]) {
            (Some(position), _) => Work::Records(position),
            (None, Value::Null) if body["DDBStreamBatchInfo"].is_object() => {
                Work::Nothing("it is about records of a table, which no function of this project reads")
            }
            (None, Value::Null) => Work::Nothing("Lambda left its event out, which was too large"),
            (None, event) => Work::Event(event.clone()),
        };
        Self {
            id: letter.id.clone(),
            function,
            failed: failed.map(|time| time.to_utc()).or(letter.sent),
            attempts: context["approximateInvokeCount"].as_u64(),
            reason: error.map_or_else(|| condition.into(), |error| format!("{error} ({condition})")),
            work,
        }
    }

    /// Returns what it is about, in a line for each object or for the records.
    pub fn about(&self) -> Vec<String> {
        match &self.work {
            Work::Nothing(why) => vec![(*why).to_string()],
            Work::Records(Position { stream, shard, first, last }) => {
                vec![format!("records {first} to {last} of {shard} of {stream}")]
            }
            Work::Event(event) => match objects_created(event) {
                Ok(objects) if !objects.is_empty() => {
                    objects.iter().map(|object| format!("s3://{}/{}", object.bucket, object.key)).collect()
                }
                _ => vec![beginning(&event.to_string())],
            },
        }
    }
}

fn position(info: &Value) -> Option<Position> {
    let text = |field: &str| info[field].as_str().map(String::from);
    Some(Position {
        stream: text("streamArn")?,
        shard: text("shardId")?,
        first: text("startSequenceNumber")?,
        last: text("endSequenceNumber")?,
    })
}

/// Samples of entries for tests.
#[cfg(test)]
pub mod samples {
    use operations::letters::Attribute;
    use serde_json::json;

    use super::*;

    fn letter(body: &Value, attributes: &[(&str, &str)]) -> Letter {
        let attribute = |(name, value): &(&str, &str)| ((*name).to_string(), Attribute::text(value));
        Letter {
            body: body.to_string(),
            attributes: attributes.iter().map(attribute).collect(),
            sent: DateTime::from_timestamp(1_615_800_000, 0),
            ..Letter::default()
        }
    }

    fn note(function: &str, rest: &Value) -> Value {
        let mut note = json!({
            "version": "1.0",
            "timestamp": "2021-03-15T09:00:00.000Z",
            "requestContext": {
                "requestId": "r",
                "functionArn": format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"),
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        });
        for (name, value) in rest.as_object().unwrap() {
            note[name] = value.clone();
        }
        note
    }

    /// Returns the note of an invocation of `function` with `event` that ran out of time.
    pub fn invocation(function: &str, event: &Value) -> Letter {
        let error = json!({"errorType": "Batch.OutOfTime", "errorMessage": "predicting x"});
        letter(&note(function, &json!({"requestPayload": event, "responsePayload": error})), &[])
    }

    /// Returns the note of records 1 to 3 of a shard.
    pub fn records(function: &str) -> Letter {
        let info = json!({"shardId": "shardId-0", "startSequenceNumber": "1", "endSequenceNumber": "3", "batchSize": 3,
            "streamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/trips"});
        letter(&note(function, &json!({"KinesisBatchInfo": info})), &[])
    }

    /// Returns an event that EventBridge could not deliver to `function`.
    pub fn undelivered(function: &str, event: &Value, is_cut: &str) -> Letter {
        let target = format!("arn:aws:lambda:us-east-1:000000000000:function:{function}");
        let attributes = [
            ("RULE_ARN", "arn:aws:events:us-east-1:000000000000:rule/r"),
            ("TARGET_ARN", target.as_str()),
            ("ERROR_CODE", "NO_PERMISSIONS"),
            ("ERROR_MESSAGE", "not authorized"),
            ("RETRY_ATTEMPTS", "0"),
            ("IS_PAYLOAD_TRUNCATED", is_cut),
        ];
        letter(event, &attributes)
    }

    /// Returns the note of an invocation whose event was too large.
    pub fn without_event(function: &str) -> Letter {
        letter(&note(function, &json!({})), &[])
    }

    /// Returns a message that nobody known has sent.
    pub fn unknown() -> Letter {
        Letter { body: "hello".into(), ..Letter::default() }
    }

    /// Returns EventBridge's event of a dropped file.
    pub fn dropped(key: &str) -> Value {
        json!({"source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "trips"}, "object": {"key": key, "etag": "e"}}})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_invocation_states_its_function_its_event_and_its_error() {
        let event = samples::dropped("incoming/a b.parquet");
        let entry = Entry::new(&samples::invocation("batch:$LATEST", &event));
        assert_eq!(entry.function, Some(Function { name: "batch".into(), qualifier: None }));
        assert_eq!(entry.attempts, Some(3));
        assert_eq!(entry.failed.unwrap().to_rfc3339(), "2021-03-15T09:00:00+00:00");
        assert_eq!(entry.reason, "Batch.OutOfTime: predicting x (RetriesExhausted)");
        assert_eq!(entry.about(), ["s3://trips/incoming/a b.parquet"]);
        assert_eq!(entry.work, Work::Event(event));
        let by_alias = Entry::new(&samples::invocation("batch:live", &json!({"report": "age"})));
        assert_eq!(by_alias.function.as_ref().unwrap().qualified(), "batch:live");
        assert_eq!(by_alias.about(), [r#"{"report":"age"}"#]);
    }

    #[test]
    fn records_are_known_by_their_positions() {
        let entry = Entry::new(&samples::records("scorer"));
        let Work::Records(position) = &entry.work else { panic!("{entry:?}") };
        assert_eq!((position.first.as_str(), position.last.as_str()), ("1", "3"));
        assert_eq!(entry.reason, "Unhandled (RetriesExhausted)");
        assert!(entry.about()[0].starts_with("records 1 to 3 of shardId-0 of arn:aws:kinesis:"));
    }

    #[test]
    fn an_event_that_was_not_delivered_is_whole_or_nothing() {
        let event = samples::dropped("incoming/a.parquet");
        let entry = Entry::new(&samples::undelivered("batch", &event, "false"));
        assert_eq!((entry.attempts, entry.work), (Some(1), Work::Event(event.clone())));
        assert_eq!(entry.reason, "not delivered: NO_PERMISSIONS: not authorized");
        for other in [
            samples::undelivered("batch", &event, "true"),
            samples::without_event("batch"),
            samples::unknown(),
        ] {
            let entry = Entry::new(&other);
            assert!(matches!(entry.work, Work::Nothing(_)), "{entry:?}");
        }
    }
}
