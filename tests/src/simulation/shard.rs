//! A double of a Kinesis stream: shards of records in their order, whose place Lambda keeps and sometimes forgets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use platform::queue::{Outgoing, SendError, Sink};

use super::chance::Chance;

/// A stream of one shard; clones share it.
#[derive(Debug, Clone)]
pub struct Shard {
    chance: Chance,
    records: Arc<Mutex<Vec<Record>>>,
}

/// A record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Records of one key are read in their order.
    pub key: String,
    /// Its data, as text.
    pub text: String,
}

impl Shard {
    /// Creates an empty stream.
    pub fn new(chance: &Chance) -> Self {
        Self { chance: chance.clone(), records: Arc::default() }
    }

    /// Adds a record.
    pub fn add(&self, record: Record) {
        self.locked().push(record);
    }

    /// Returns all records, in their order.
    pub fn records(&self) -> Vec<Record> {
        self.locked().clone()
    }

    /// Returns how many records there are.
    pub fn length(&self) -> usize {
        self.locked().len()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: Outgoing) -> Result<(), SendError> {
        if self.chance.fault(4) {
            return Err(SendError::new("stream", "ProvisionedThroughputExceededException".into()));
        }
        self.add(Record { key: message.partition_key.unwrap_or_default(), text: message.body });
        Ok(())
    }
}

/// Returns the sequence number of the record at an index: longer ones are later ones.
pub fn sequence_number(at: usize) -> String {
    (at * 7 + 3).to_string()
}

#[async_trait]
impl Sink for Shard {
    fn entries_a_call(&self) -> usize {
        500
    }

    fn keeps_order(&self) -> bool {
        true
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), SendError>> {
        self.chance.call().await;
        let number = messages.len();
        let failed = |detail: &str| vec![Err(SendError::new("stream", detail.into())); number];
        if self.chance.fault(4) {
            return failed("no connection");
        }
        let results = messages.into_iter().map(|message| self.take(message)).collect();
        self.chance.call().await;
        if self.chance.fault(4) { failed("the answer is lost") } else { results }
    }
}
