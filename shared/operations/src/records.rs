//! Reads records of a stream again, by the positions that Lambda notes of those that failed for good, and makes of them the
//! events that a function is invoked with. For the command line.

use std::cmp::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform::client::{detail, timeouts};
use platform::queue::calls;
use serde_json::{Value, json};

/// Time limits of an attempt of a call, and of a call with its attempts: a page may have 10 MB.
const ATTEMPT: Duration = Duration::from_secs(20);
const CALL: Duration = Duration::from_secs(60);
/// Records of a page, and pages that are read at most: a batch of Lambda has up to 10,000 records, and pages may be empty.
const RECORDS_A_PAGE: i32 = 1_000;
const PAGES_MAX: usize = 200;
/// Records of an event, as in the deployed mappings, and their bytes: an event has at most 6 MB.
const RECORDS_AN_EVENT: usize = 100;
const BYTES_AN_EVENT: usize = 4 << 20;
/// Bytes of an event for each of its records, besides key and data.
const BYTES_A_RECORD: usize = 1_024;

/// Why records could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading records of {stream}, {shard}: {detail}")]
pub struct RecordsError {
    stream: String,
    shard: String,
    detail: String,
}

/// Which records of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The ARN of the stream.
    pub stream: String,
    /// The shard.
    pub shard: String,
    /// The sequence number of the first record.
    pub first: String,
    /// That of the last record.
    pub last: String,
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its sequence number.
    pub sequence_number: String,
    /// Its partition key.
    pub partition_key: String,
    /// Its bytes.
    pub data: Vec<u8>,
    /// When it was put, seconds since 1970.
    pub arrived_s: Option<f64>,
}

/// What reads records again.
#[async_trait]
pub trait Records: std::fmt::Debug + Send + Sync {
    /// Returns the records of a position that the stream still has, in their order; none if it has none of them any more.
    ///
    /// # Errors
    /// [`RecordsError`], also if the last record was not reached.
    async fn read(&self, position: &Position) -> Result<Vec<Record>, RecordsError>;
}

/// Streams of Kinesis.
#[derive(Debug, Clone)]
pub struct KinesisRecords {
    client: Client,
}

impl KinesisRecords {
    /// Creates a client.
    pub fn new(config: &SdkConfig) -> Self {
        let timeouts = timeouts(ATTEMPT, CALL);
        let config = aws_sdk_kinesis::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config) }
    }
}

#[async_trait]
impl Records for KinesisRecords {
    async fn read(&self, position: &Position) -> Result<Vec<Record>, RecordsError> {
        let failed =
            |detail| RecordsError { stream: position.stream.clone(), shard: position.shard.clone(), detail };
        let begin = self.client.get_shard_iterator().stream_arn(&position.stream).shard_id(&position.shard);
        let begin = begin.shard_iterator_type(ShardIteratorType::AtSequenceNumber);
        let begin = begin.starting_sequence_number(&position.first).send().await;
        let mut iterator = begin.map_err(|error| failed(detail(&error)))?.shard_iterator;
        let mut records = Vec::new();
        for _ in 0..PAGES_MAX {
            let Some(at) = iterator else { break };
            let page = self.client.get_records().stream_arn(&position.stream).shard_iterator(at);
            let page = page.limit(RECORDS_A_PAGE).send().await.map_err(|error| failed(detail(&error)))?;
            let is_at_end = page.records.is_empty() && page.millis_behind_latest.unwrap_or_default() == 0;
            for record in page.records {
                let at = number(&record.sequence_number).cmp(&number(&position.last));
                if at == Ordering::Greater {
                    return Ok(records);
                }
                records.push(Record {
                    sequence_number: record.sequence_number,
                    partition_key: record.partition_key.unwrap_or_default(),
                    data: record.data.into_inner(),
                    arrived_s: record.approximate_arrival_timestamp.map(|at| at.as_secs_f64()),
                });
                if at == Ordering::Equal {
                    return Ok(records);
                }
            }
            iterator = page.next_shard_iterator.filter(|_| !is_at_end);
        }
        let Some(reached) = records.last() else { return Ok(records) };
        Err(failed(format!("it was read to {}, and not to {}", reached.sequence_number, position.last)))
    }
}

/// Returns a form of a sequence number, which has more digits than an integer, that sorts as the number does.
fn number(text: &str) -> (usize, &str) {
    let digits = text.trim_start_matches('0');
    (digits.len(), digits)
}

/// Returns the events of a position's `records`, as Lambda invokes a function with them.
pub fn events(position: &Position, records: &[Record]) -> Vec<Value> {
    let size = |record: &Record| record.data.len() / 3 * 4 + record.partition_key.len() + BYTES_A_RECORD;
    let region = position.stream.split(':').nth(3).unwrap_or_default();
    let event = |record: &Record| {
        json!({
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{}:{}", position.shard, record.sequence_number),
            "eventName": "aws:kinesis:record",
            "awsRegion": region,
            "eventSourceARN": position.stream,
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": record.sequence_number,
                "data": STANDARD.encode(&record.data),
                "approximateArrivalTimestamp": record.arrived_s,
            },
        })
    };
    let calls = calls(records, RECORDS_AN_EVENT, BYTES_AN_EVENT, size);
    calls.into_iter().map(|call| json!({"Records": call.iter().map(event).collect::<Vec<_>>()})).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Json;
    use axum::response::IntoResponse;

    use super::*;
    use platform::event::{Origin, trip_messages};
    use platform::testing::serve;

    fn position() -> Position {
        Position {
            stream: "arn:aws:kinesis:us-east-1:000000000000:stream/trips".into(),
            shard: "shardId-000000000001".into(),
            first: "98".into(),
            last: "100".into(),
        }
    }

    fn record(number: u32, bytes: usize) -> Record {
        Record {
            sequence_number: number.to_string(),
            partition_key: format!("key-{number}"),
            data: vec![b'x'; bytes],
            arrived_s: Some(1_545_084_650.987),
        }
    }

    #[tokio::test]
    async fn records_are_read_from_the_first_to_the_last_and_no_further() {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (noted, calls) = (Arc::clone(&asked), Arc::clone(&asked));
        let (_, config) = serve(move |call| {
            let record =
                |number: &str| json!({"SequenceNumber": number, "PartitionKey": "k", "Data": "AAH/"});
            let answer = match call["ShardIterator"].as_str() {
                None => json!({"ShardIterator": "1"}),
                // A page may be empty although there are records.
                Some("1") => json!({"Records": [], "MillisBehindLatest": 5, "NextShardIterator": "2"}),
                Some("2") => json!({"Records": [record("98"), record("99")], "MillisBehindLatest": 5, "NextShardIterator": "3"}),
                _ => json!({"Records": [record("100"), record("101")], "MillisBehindLatest": 0, "NextShardIterator": "4"}),
            };
            noted.lock().unwrap().push(call);
            Json(answer).into_response()
        })
        .await;
        let records = KinesisRecords::new(&config).read(&position()).await.unwrap();
        let numbers: Vec<&str> = records.iter().map(|record| record.sequence_number.as_str()).collect();
        assert_eq!(numbers, ["98", "99", "100"]);
        assert_eq!(records[0].data, [0, 1, 255]);
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked[0]["ShardIteratorType"], "AT_SEQUENCE_NUMBER");
        assert_eq!((asked.len(), &asked[0]["StartingSequenceNumber"]), (4, &json!("98")));
        // Nobody asks for more than that.
        let to_99 = Position { last: "99".into(), ..position() };
        assert_eq!(KinesisRecords::new(&config).read(&to_99).await.unwrap().len(), 2);
        assert_eq!(calls.lock().unwrap().len(), asked.len() + 3);
    }

    #[tokio::test]
    async fn records_that_end_before_the_last_are_an_error_and_none_at_all_is_none() {
        let serving = |records: Value| async move {
            let (_, config) = serve(move |call| {
                let answer = match call["ShardIterator"].as_str() {
                    None => json!({"ShardIterator": "1"}),
                    Some("1") => {
                        json!({"Records": records, "MillisBehindLatest": 0, "NextShardIterator": "2"})
                    }
                    _ => json!({"Records": [], "MillisBehindLatest": 0, "NextShardIterator": "3"}),
                };
                Json(answer).into_response()
            })
            .await;
            KinesisRecords::new(&config).read(&position()).await
        };
        let one = json!([{"SequenceNumber": "98", "PartitionKey": "k", "Data": ""}]);
        let error = serving(one).await.unwrap_err().to_string();
        assert!(error.contains("it was read to 98, and not to 100"), "{error}");
        assert!(serving(json!([])).await.unwrap().is_empty());
    }

    #[test]
    fn events_are_those_of_lambda_and_small_enough() {
        let records = [record(98, 3), record(99, 0)];
        let events_of = |records: &[Record]| events(&position(), records);
        let event = events_of(&records).remove(0);
        let read = trip_messages(&event).unwrap();
        assert_eq!((read.origin, read.messages.len()), (Origin::Stream, 2));
        assert_eq!((read.messages[0].id.as_str(), read.messages[0].body.as_str()), ("98", "xxx"));
        assert_eq!(read.messages[1].partition_key.as_deref(), Some("key-99"));
        assert_eq!(event["Records"][0]["awsRegion"], "us-east-1");
        let many: Vec<Record> = (0..250).map(|number| record(number, 10)).collect();
        assert_eq!(events_of(&many).len(), 3);
        let large: Vec<Record> = (0..9).map(|number| record(number, 1 << 20)).collect();
        assert!(events_of(&large).iter().all(|event| event.to_string().len() < 6_000_000));
        assert!(events_of(&[]).is_empty());
    }

    #[test]
    fn sequence_numbers_are_compared_as_numbers() {
        assert!(number("99") < number("100") && number("0100") == number("100"));
    }
}
