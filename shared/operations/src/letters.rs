//! Looks at the messages of a queue, gives them back, moves and deletes them: for the command line, on queues of dead letters.
//!
//! [`Letters`] is the port and [`Scan`] a bounded walk over it. SQS shows a message only to who receives it, so looking at one
//! hides it from others for a while, and counts as a receive.
//!
//! Deliberately absent: queues that keep an order (FIFO), and StartMessageMoveTask, which cannot leave a message out.

mod memory;
mod scan;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use model::chain;
use platform::client::{detail, timeouts};
use platform::queue::{BYTES_A_CALL, ENTRIES_A_CALL, calls, results};

pub use memory::MemoryLetters;
pub use scan::Scan;

/// Time limits of an attempt of a call, and of a call with its attempts: a person waits, and ten messages may have 10 MiB.
const ATTEMPT: Duration = Duration::from_secs(20);
const CALL: Duration = Duration::from_secs(60);
/// How long a receive waits for a first message. With a wait SQS asks all of its servers; without one it may find nothing
/// although there is something.
const WAIT_SECONDS: i32 = 1;

/// The attributes of a message that can never be predicted. The scorer (`dead_letter`) writes them.
const OF_REJECTION: [&str; 6] =
    ["reason", "detail", "source_message_id", "cut_from_bytes", "sequence_number", "partition_key"];

/// Why a queue did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing} {queue}: {detail}")]
pub struct LettersError {
    doing: &'static str,
    queue: String,
    detail: String,
}

/// Numbers of messages of a queue. SQS counts them approximately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be received.
    pub waiting: u64,
    /// Messages that somebody has received, and neither deleted nor given back.
    pub hidden: u64,
}

/// An attribute of a message, as its sender gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// `String`, `Number` or `Binary`; the sender may have added a name after a dot.
    pub data_type: String,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an [`Attribute`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text or a number.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Attribute {
    /// Creates an attribute of type `String`.
    pub fn text(value: &str) -> Self {
        Self { data_type: "String".into(), value: AttributeValue::Text(value.into()) }
    }

    /// Returns the value as a text; bytes are in base64.
    pub fn shown(&self) -> String {
        match &self.value {
            AttributeValue::Text(text) => text.clone(),
            AttributeValue::Bytes(bytes) => STANDARD.encode(bytes),
        }
    }

    fn bytes(&self) -> usize {
        self.data_type.len()
            + match &self.value {
                AttributeValue::Text(text) => text.len(),
                AttributeValue::Bytes(bytes) => bytes.len(),
            }
    }
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Letter {
    /// The id that the queue gave it.
    pub id: String,
    /// What deletes it or gives it back; it ends when the message is received again.
    pub receipt: String,
    /// Its text.
    pub body: String,
    /// What its sender stated beside it.
    pub attributes: BTreeMap<String, Attribute>,
    /// How often it was received, this time included.
    pub receives: u32,
    /// When it was sent. A redrive policy keeps this time.
    pub sent: Option<DateTime<Utc>>,
    /// The ARN of the queue whose redrive policy moved it here.
    pub moved_from: Option<String>,
}

impl Letter {
    /// Returns the value of an attribute that is a text.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        match &self.attributes.get(name)?.value {
            AttributeValue::Text(text) => Some(text),
            AttributeValue::Bytes(_) => None,
        }
    }

    /// Returns whether the scorer rejected it: as it is, it can never be predicted.
    pub fn is_rejection(&self) -> bool {
        self.attribute("reason").is_some() && self.attribute("source_message_id").is_some()
    }

    /// Returns whether it is a rejected record of a stream, whose body need not be its bytes.
    pub fn is_rejected_record(&self) -> bool {
        self.is_rejection() && self.attribute("sequence_number").is_some()
    }

    /// Returns whether the scorer had to cut its body, which is not the message any more.
    pub fn is_cut(&self) -> bool {
        self.attribute("cut_from_bytes").is_some()
    }

    /// Returns it without the attributes of a rejection, as it was sent to the scorer.
    #[must_use]
    pub fn without_rejection(mut self) -> Self {
        self.attributes.retain(|name, _| !OF_REJECTION.contains(&name.as_str()));
        self
    }

    /// Returns the bytes that count towards SQS's limits.
    fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| name.len() + attribute.bytes());
        self.body.len() + attributes.sum::<usize>()
    }
}

/// A queue whose messages are looked at and moved.
#[async_trait]
pub trait Letters: std::fmt::Debug + Send + Sync {
    /// Returns how many messages there are.
    async fn depth(&self) -> Result<Depth, LettersError>;

    /// Receives at most `count` messages, ten at the most, and hides them from others for the time `hidden`.
    async fn receive(&self, count: usize, hidden: Duration) -> Result<Vec<Letter>, LettersError>;

    /// Sends the bodies and attributes of messages and returns the new id of each, in order. An error concerns that message
    /// alone.
    async fn send(&self, letters: &[Letter]) -> Vec<Result<String, LettersError>>;

    /// Deletes the messages of these receipts and returns one result for each, in order.
    async fn delete(&self, receipts: &[String]) -> Vec<Result<(), LettersError>>;

    /// Makes the messages of these receipts visible again and returns one result for each, in order.
    async fn give_back(&self, receipts: &[String]) -> Vec<Result<(), LettersError>>;
}

/// An SQS queue.
#[derive(Debug, Clone)]
pub struct SqsLetters {
    client: Client,
    url: String,
}

impl SqsLetters {
    /// Opens the queue at `url`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        let timeouts = timeouts(ATTEMPT, CALL);
        let config = aws_sdk_sqs::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), url }
    }

    fn failed(&self, doing: &'static str, detail: String) -> LettersError {
        LettersError { doing, queue: self.url.clone(), detail }
    }

    async fn send_call(&self, letters: &[Letter]) -> Result<Vec<Result<String, String>>, String> {
        let entries = letters.iter().enumerate().map(|(at, letter)| entry(at, letter));
        let entries = entries.collect::<Result<Vec<_>, BuildError>>().map_err(|error| chain(&error))?;
        let call = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| detail(&error))?;
        let results =
            results(letters.len(), answer.successful.iter().map(|one| one.id.as_str()), &answer.failed);
        let id_of = |at: usize| {
            let sent = answer.successful.iter().find(|one| one.id == at.to_string());
            sent.map(|one| one.message_id.clone()).unwrap_or_default()
        };
        Ok(results.into_iter().enumerate().map(|(at, result)| result.map(|()| id_of(at))).collect())
    }

    async fn delete_call(&self, receipts: &[String]) -> Result<Vec<Result<(), String>>, String> {
        let entry = |(at, receipt): (usize, &String)| {
            DeleteMessageBatchRequestEntry::builder().id(at.to_string()).receipt_handle(receipt).build()
        };
        let entries = receipts.iter().enumerate().map(entry);
        let entries = entries.collect::<Result<Vec<_>, BuildError>>().map_err(|error| chain(&error))?;
        let call = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| detail(&error))?;
        Ok(results(receipts.len(), answer.successful.iter().map(|one| one.id.as_str()), &answer.failed))
    }

    async fn give_back_call(&self, receipts: &[String]) -> Result<Vec<Result<(), String>>, String> {
        let entry = |(at, receipt): (usize, &String)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
            entry.receipt_handle(receipt).visibility_timeout(0).build()
        };
        let entries = receipts.iter().enumerate().map(entry);
        let entries = entries.collect::<Result<Vec<_>, BuildError>>().map_err(|error| chain(&error))?;
        let call =
            self.client.change_message_visibility_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| detail(&error))?;
        Ok(results(receipts.len(), answer.successful.iter().map(|one| one.id.as_str()), &answer.failed))
    }

    /// Gives the results of a call's `count` entries an error of this queue; a call that failed failed for each of them.
    fn each<T>(
        &self,
        doing: &'static str,
        count: usize,
        answered: Result<Vec<Result<T, String>>, String>,
    ) -> Vec<Result<T, LettersError>> {
        match answered {
            Ok(results) => results
                .into_iter()
                .map(|result| result.map_err(|detail| self.failed(doing, detail)))
                .collect(),
            Err(detail) => (0..count).map(|_| Err(self.failed(doing, detail.clone()))).collect(),
        }
    }
}

#[async_trait]
impl Letters for SqsLetters {
    async fn depth(&self) -> Result<Depth, LettersError> {
        use QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible};
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let call = call.attribute_names(ApproximateNumberOfMessages);
        let call = call.attribute_names(ApproximateNumberOfMessagesNotVisible);
        let answer = call.send().await.map_err(|error| self.failed("looking at", detail(&error)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or_default();
        Ok(Depth {
            waiting: count(ApproximateNumberOfMessages),
            hidden: count(ApproximateNumberOfMessagesNotVisible),
        })
    }

    async fn receive(&self, count: usize, hidden: Duration) -> Result<Vec<Letter>, LettersError> {
        let call = self.client.receive_message().queue_url(&self.url);
        let call = call.max_number_of_messages(count.clamp(1, ENTRIES_A_CALL) as i32);
        let call = call.visibility_timeout(hidden.as_secs() as i32).wait_time_seconds(WAIT_SECONDS);
        let call = call.message_attribute_names("All");
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
        let answer = call.send().await.map_err(|error| self.failed("receiving from", detail(&error)))?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(letter).collect())
    }

    async fn send(&self, letters: &[Letter]) -> Vec<Result<String, LettersError>> {
        let mut results = Vec::with_capacity(letters.len());
        for call in calls(letters, ENTRIES_A_CALL, BYTES_A_CALL, Letter::bytes) {
            results.extend(self.each("sending to", call.len(), self.send_call(call).await));
        }
        results
    }

    async fn delete(&self, receipts: &[String]) -> Vec<Result<(), LettersError>> {
        let mut results = Vec::with_capacity(receipts.len());
        for call in receipts.chunks(ENTRIES_A_CALL) {
            results.extend(self.each("deleting from", call.len(), self.delete_call(call).await));
        }
        results
    }

    async fn give_back(&self, receipts: &[String]) -> Vec<Result<(), LettersError>> {
        let mut results = Vec::with_capacity(receipts.len());
        for call in receipts.chunks(ENTRIES_A_CALL) {
            results.extend(self.each("giving back to", call.len(), self.give_back_call(call).await));
        }
        results
    }
}

fn entry(at: usize, letter: &Letter) -> Result<SendMessageBatchRequestEntry, BuildError> {
    let mut entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(&letter.body);
    for (name, attribute) in &letter.attributes {
        let value = MessageAttributeValue::builder().data_type(&attribute.data_type);
        let value = match &attribute.value {
            AttributeValue::Text(text) => value.string_value(text),
            AttributeValue::Bytes(bytes) => value.binary_value(Blob::new(bytes.clone())),
        };
        entry = entry.message_attributes(name, value.build()?);
    }
    entry.build()
}

fn letter(message: Message) -> Letter {
    let attribute = |(name, value): (String, MessageAttributeValue)| {
        let data_type = value.data_type;
        let value = match value.binary_value {
            Some(bytes) => AttributeValue::Bytes(bytes.into_inner()),
            None => AttributeValue::Text(value.string_value.unwrap_or_default()),
        };
        (name, Attribute { data_type, value })
    };
    let system = message.attributes.unwrap_or_default();
    let text = |name| system.get(&name).cloned();
    let number = |name| text(name).and_then(|text| text.parse::<i64>().ok());
    let receives = number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or_default();
    Letter {
        id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        attributes: message.message_attributes.unwrap_or_default().into_iter().map(attribute).collect(),
        receives: u32::try_from(receives).unwrap_or_default(),
        sent: number(MessageSystemAttributeName::SentTimestamp).and_then(DateTime::from_timestamp_millis),
        moved_from: text(MessageSystemAttributeName::DeadLetterQueueSourceArn),
    }
}

#[cfg(test)]
mod tests;
