//! Puts records into a Kinesis stream in calls of at most 500 and 5 MiB; each record is acknowledged or fails on its own.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use crate::client::timeouts;
use crate::queue::{Outgoing, SendError, Sink, calls};
use model::chain;

/// Kinesis accepts at most 500 records per call.
pub const RECORDS_A_CALL: usize = 500;
/// Kinesis accepts at most 5 MiB per call, partition keys included.
pub const BYTES_A_CALL: usize = 5 << 20;
/// Partition key of messages without one; an empty key is refused.
const KEY_OF_NONE: &str = "tripcast";
/// Time limits of an attempt and of a call with the SDK's retries.
const ATTEMPT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(3);
/// How often a record is put that the stream refuses, as it does above a shard's 1,000 records or 1 MiB a second.
const ROUNDS: u32 = 4;
/// Wait before the second round; it doubles for each that follows.
const WAIT: Duration = Duration::from_millis(100);
/// No further call begins after this time, so that sending takes 8 s at most, as with a queue.
const BEGIN: Duration = Duration::from_secs(4);

/// A Kinesis stream.
#[derive(Debug, Clone)]
pub struct KinesisSink {
    client: Client,
    stream: String,
}

impl KinesisSink {
    /// Creates a sink for the stream of this name.
    pub fn new(config: &SdkConfig, stream: String) -> Self {
        let timeouts = timeouts(ATTEMPT, CALL);
        let config = aws_sdk_kinesis::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), stream }
    }

    /// Makes one call and returns the result of each record.
    async fn call(&self, records: &[&Outgoing]) -> Vec<Result<(), SendError>> {
        let failed = |detail: String| SendError::new(&self.stream, detail);
        let entries = records.iter().map(|record| {
            let data = Blob::new(record.body.as_bytes());
            let entry = PutRecordsRequestEntry::builder().partition_key(key(record)).data(data);
            entry.build()
        });
        let entries = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => return vec![Err(failed(chain(&error))); records.len()],
        };
        let put = self.client.put_records().stream_name(&self.stream).set_records(Some(entries));
        let answer = match put.send().await {
            Ok(answer) => answer,
            Err(error) => return vec![Err(failed(chain(&error))); records.len()],
        };
        // Results are in the order of the records. One without a sequence number was not put, and so was one without a result.
        let mut results = vec![Err(failed("the stream did not acknowledge it".into())); records.len()];
        for (result, put) in results.iter_mut().zip(&answer.records) {
            *result = match (&put.error_code, &put.sequence_number) {
                (None, Some(_)) => Ok(()),
                (code, _) => {
                    let code = code.as_deref().unwrap_or("no sequence number");
                    let reason = put.error_message.as_deref().unwrap_or("no reason given");
                    Err(failed(format!("{code}: {reason}")))
                }
            };
        }
        results
    }
}

#[async_trait]
impl Sink for KinesisSink {
    fn entries_a_call(&self) -> usize {
        RECORDS_A_CALL
    }

    fn keeps_order(&self) -> bool {
        true
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), SendError>> {
        let (started, mut wait) = (Instant::now(), WAIT);
        let untried = SendError::new(&self.stream, "there was no time to put it".into());
        let mut results: Vec<Result<(), SendError>> = vec![Err(untried); messages.len()];
        for round in 1..=ROUNDS {
            let refused: Vec<usize> = (0..messages.len()).filter(|at| results[*at].is_err()).collect();
            for call in calls(&refused, RECORDS_A_CALL, BYTES_A_CALL, |at| bytes(&messages[*at])) {
                if started.elapsed() > BEGIN {
                    return results;
                }
                let records: Vec<&Outgoing> = call.iter().map(|at| &messages[*at]).collect();
                for (at, result) in call.iter().zip(self.call(&records).await) {
                    results[*at] = result;
                }
            }
            if round == ROUNDS || results.iter().all(Result::is_ok) {
                break;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        results
    }
}

/// Returns the partition key of a record.
fn key(record: &Outgoing) -> &str {
    record.partition_key.as_deref().filter(|key| !key.is_empty()).unwrap_or(KEY_OF_NONE)
}

/// Returns the bytes that count towards Kinesis's limits.
fn bytes(record: &Outgoing) -> usize {
    record.body.len() + key(record).len()
}

#[cfg(test)]
mod tests;
