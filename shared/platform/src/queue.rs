//! Sends messages in calls of at most ten and 1 MiB; each message is acknowledged or fails on its own.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry};
use serde::Serialize;

use crate::client::{ATTEMPT, CALL, timeouts};
use model::chain;

/// SQS accepts at most ten messages per call.
pub const ENTRIES_A_CALL: usize = 10;
/// SQS accepts at most 1 MiB per message and per call, attributes included.
pub const BYTES_A_CALL: usize = 1 << 20;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its text, not empty.
    pub body: String,
    /// Named texts beside it; empty ones are not sent, since SQS accepts none.
    pub attributes: Vec<(&'static str, String)>,
    /// What keeps its place in the order of a stream: messages of one key are read as they were sent. A queue has none.
    pub partition_key: Option<String>,
}

impl Outgoing {
    /// Creates a message without attributes.
    pub fn new(body: String) -> Self {
        Self { body, attributes: Vec::new(), partition_key: None }
    }

    /// Creates a message from a JSON document, with U+FFFE and U+FFFF, which SQS refuses, escaped in its strings.
    ///
    /// # Errors
    /// If the document has no form in JSON, such as a map with keys that are not texts.
    pub fn json(document: &impl Serialize) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(document)?;
        Ok(Self::new(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")))
    }

    /// Returns the bytes that count towards SQS's limits.
    fn bytes(&self) -> usize {
        let attribute = |(name, value): &(&str, String)| name.len() + value.len() + "String".len();
        self.body.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }
}

/// Why one message was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sending to {queue}: {detail}")]
pub struct SendError {
    queue: String,
    detail: String,
}

impl SendError {
    /// Creates the error for a message to `queue`, a queue or a stream.
    pub fn new(queue: &str, detail: String) -> Self {
        Self { queue: queue.into(), detail }
    }
}

/// A destination of messages.
#[async_trait]
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// Returns the largest number of messages that one call takes.
    fn entries_a_call(&self) -> usize {
        ENTRIES_A_CALL
    }

    /// Returns whether messages of one partition key are read in the order of the calls that sent them. Two of them in one
    /// call may change places, since the second may be accepted where the first is refused and sent again.
    fn keeps_order(&self) -> bool {
        false
    }

    /// Sends every message and returns one result for each, in order. An error concerns that message alone.
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), SendError>>;
}

/// An SQS queue.
#[derive(Debug, Clone)]
pub struct SqsSink {
    client: Client,
    url: String,
}

impl SqsSink {
    /// Creates a sink for the queue at `url`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        let timeouts = timeouts(ATTEMPT, CALL);
        let config = aws_sdk_sqs::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), url }
    }

    async fn call(&self, messages: &[Outgoing]) -> Vec<Result<(), SendError>> {
        let failed = |detail: String| SendError::new(&self.url, detail);
        let entries = messages.iter().enumerate().map(|(at, message)| entry(at, message));
        let entries = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => return vec![Err(failed(chain(&error))); messages.len()],
        };
        let answer =
            self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return vec![Err(failed(chain(&error))); messages.len()],
        };
        let sent = answer.successful.iter().map(|sent| sent.id.as_str());
        let results = results(messages.len(), sent, &answer.failed);
        results.into_iter().map(|result| result.map_err(failed)).collect()
    }
}

#[async_trait]
impl Sink for SqsSink {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), SendError>> {
        let mut results = Vec::with_capacity(messages.len());
        for call in calls(&messages, ENTRIES_A_CALL, BYTES_A_CALL, Outgoing::bytes) {
            results.extend(self.call(call).await);
        }
        results
    }
}

/// Returns the result of each of `count` entries of a call, whose ids are their numbers: an entry that SQS names neither as
/// done nor as refused was not done.
pub fn results<'a>(
    count: usize,
    done: impl Iterator<Item = &'a str>,
    refused: &[BatchResultErrorEntry],
) -> Vec<Result<(), String>> {
    let mut results = vec![Err("the queue did not acknowledge it".to_string()); count];
    let at = |id: &str| id.parse::<usize>().ok();
    for id in done {
        at(id).and_then(|at| results.get_mut(at)).into_iter().for_each(|result| *result = Ok(()));
    }
    for one in refused {
        let detail = format!("{}: {}", one.code, one.message.as_deref().unwrap_or("no reason given"));
        let result = at(&one.id).and_then(|at| results.get_mut(at));
        result.into_iter().for_each(|result| *result = Err(detail.clone()));
    }
    results
}

fn entry(
    at: usize,
    message: &Outgoing,
) -> Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
    let mut entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(&message.body);
    for (name, value) in message.attributes.iter().filter(|(_, value)| !value.is_empty()) {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
        entry = entry.message_attributes(*name, value);
    }
    entry.build()
}

/// Splits items of `bytes` each into runs of at most `entries` and `bytes_max`, in order.
pub fn calls<T>(items: &[T], entries: usize, bytes_max: usize, bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut calls, mut start, mut sum) = (Vec::new(), 0, 0);
    for (at, item) in items.iter().enumerate() {
        let size = bytes(item);
        if at - start == entries || (at > start && sum + size > bytes_max) {
            calls.push(&items[start..at]);
            (start, sum) = (at, 0);
        }
        sum += size;
    }
    if start < items.len() {
        calls.push(&items[start..]);
    }
    calls
}

/// Returns the first `limit` bytes of `text` at most, with `?` for characters that SQS refuses (not in XML 1.0).
pub fn sendable(text: &str, limit: usize) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let mut sendable = String::new();
    for c in text.chars().map(|c| if allowed(c) { c } else { '?' }) {
        if sendable.len() + c.len_utf8() > limit {
            break;
        }
        sendable.push(c);
    }
    sendable
}

/// A sink in memory for tests, shared by its clones, that can refuse messages.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    state: Arc<Mutex<MemoryState>>,
}

#[derive(Debug, Default)]
struct MemoryState {
    sent: Vec<Outgoing>,
    refuse: Option<String>,
}

impl MemorySink {
    /// Refuses, from now on, every message that contains `text`; with none, no message.
    pub fn refuse(&self, text: Option<&str>) {
        self.state().refuse = text.map(String::from);
    }

    /// Returns the messages that were sent so far.
    pub fn sent(&self) -> Vec<Outgoing> {
        self.state().sent.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), SendError>> {
        let mut state = self.state();
        let refuse = state.refuse.clone();
        let mut send = |message: Outgoing| match &refuse {
            Some(text) if message.body.contains(text) => {
                Err(SendError::new("memory", "set to refuse it".into()))
            }
            _ => {
                state.sent.push(message);
                Ok(())
            }
        };
        messages.into_iter().map(&mut send).collect()
    }
}

#[cfg(test)]
mod tests;
