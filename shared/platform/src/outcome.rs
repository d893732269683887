//! How each message of a batch ended: failed until it is proved otherwise.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};

/// The state of every message of one batch. A message starts as failed; only an acknowledgement clears it, so that
/// whatever goes wrong in between, it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutcomes {
    pending: Vec<Option<String>>,
    cleared: Vec<bool>,
}

/// A message failed that has no id to report it by, so the whole batch must come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message without a message id failed: the whole batch has to be retried")]
pub struct Unreportable;

impl BatchOutcomes {
    /// A batch of messages with these ids, all failed.
    pub fn new(message_ids: Vec<Option<String>>) -> Self {
        let cleared = vec![false; message_ids.len()];
        let pending = message_ids.into_iter().map(|id| id.filter(|id| !id.is_empty())).collect();
        Self { pending, cleared }
    }

    /// Message number `at` has ended well: predicted or rejected, and acknowledged.
    pub fn clear(&mut self, at: usize) {
        if let Some(cleared) = self.cleared.get_mut(at) {
            *cleared = true;
        }
    }

    /// Whether message number `at` has ended well.
    pub fn is_cleared(&self, at: usize) -> bool {
        self.cleared.get(at).copied().unwrap_or_default()
    }

    /// How many messages are still failed.
    pub fn failed(&self) -> usize {
        self.cleared.iter().filter(|cleared| !**cleared).count()
    }

    /// The answer to Lambda: the messages that must come back.
    ///
    /// # Errors
    /// [`Unreportable`]: an empty id would make AWS retry everything, and others delete everything, so it is said as
    /// an error, which both retry.
    pub fn response(&self) -> Result<SqsBatchResponse, Unreportable> {
        let failed = self.pending.iter().zip(&self.cleared).filter(|(_, cleared)| !**cleared);
        let mut response = SqsBatchResponse::default();
        for (id, _) in failed {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id.clone().ok_or(Unreportable)?;
            response.batch_item_failures.push(failure);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(response: &SqsBatchResponse) -> Vec<&str> {
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
    }

    #[test]
    fn only_what_was_acknowledged_does_not_come_back() {
        let mut batch = BatchOutcomes::new(vec![Some("a".into()), Some("b".into()), Some("c".into())]);
        assert_eq!(ids(&batch.response().unwrap()), ["a", "b", "c"]);
        batch.clear(1);
        batch.clear(99);
        assert_eq!((batch.failed(), ids(&batch.response().unwrap())), (2, vec!["a", "c"]));
    }

    #[test]
    fn a_failed_message_without_an_id_brings_back_the_batch() {
        for id in [None, Some(String::new())] {
            let mut batch = BatchOutcomes::new(vec![Some("a".into()), id]);
            assert_eq!(batch.response(), Err(Unreportable));
            batch.clear(1);
            assert_eq!(ids(&batch.response().unwrap()), ["a"]);
        }
    }
}
