//! Publishes notes to people, through an SNS topic.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sns::Client;

use crate::client::{ATTEMPT, CALL, timeouts};
use model::chain;

/// SNS accepts subjects of fewer than a hundred characters of ASCII, without line breaks.
const SUBJECT_CHARACTERS_MAX: usize = 99;

/// Why a note was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("publishing to {topic}: {detail}")]
pub struct PublishError {
    topic: String,
    detail: String,
}

impl PublishError {
    /// Creates the error for a note to `topic`.
    pub fn new(topic: &str, detail: String) -> Self {
        Self { topic: topic.into(), detail }
    }
}

/// A destination of notes to people.
#[async_trait]
pub trait Topic: std::fmt::Debug + Send + Sync {
    /// Publishes a note with a subject line.
    async fn publish(&self, subject: &str, text: &str) -> Result<(), PublishError>;
}

/// An SNS topic.
#[derive(Debug, Clone)]
pub struct SnsTopic {
    client: Client,
    arn: String,
}

impl SnsTopic {
    /// Opens the topic called `arn`.
    pub fn new(config: &SdkConfig, arn: String) -> Self {
        let timeouts = timeouts(ATTEMPT, CALL);
        let config = aws_sdk_sns::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), arn }
    }
}

#[async_trait]
impl Topic for SnsTopic {
    async fn publish(&self, subject: &str, text: &str) -> Result<(), PublishError> {
        let call = self.client.publish().topic_arn(&self.arn).subject(line(subject)).message(text);
        let failed = |detail| PublishError { topic: self.arn.clone(), detail };
        call.send().await.map(drop).map_err(|error| failed(chain(&error)))
    }
}

/// Returns a subject that SNS accepts.
fn line(subject: &str) -> String {
    let allowed = subject.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    allowed.take(SUBJECT_CHARACTERS_MAX).collect()
}

/// A topic in memory for tests, shared by its clones, that can refuse notes.
#[derive(Debug, Clone, Default)]
pub struct MemoryTopic {
    notes: Arc<Mutex<Vec<(String, String)>>>,
    /// Refuses every note.
    pub refuses: bool,
}

impl MemoryTopic {
    /// Returns the subjects and texts of the notes so far.
    pub fn notes(&self) -> Vec<(String, String)> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Topic for MemoryTopic {
    async fn publish(&self, subject: &str, text: &str) -> Result<(), PublishError> {
        if self.refuses {
            return Err(PublishError { topic: "memory".into(), detail: "it refuses every note".into() });
        }
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push((subject.into(), text.into()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_short_line_of_ascii() {
        assert_eq!(line("a\nb é"), "a?b ?");
        assert_eq!(line(&"x".repeat(200)).len(), SUBJECT_CHARACTERS_MAX);
    }
}
