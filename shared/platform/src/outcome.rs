//! The outcome of each message of a batch: failed until it is acknowledged.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};

use crate::event::Origin;

/// The state of every message of one batch. A message starts as failed and only an acknowledgement clears it, so that
/// it is delivered again whatever goes wrong in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutcomes {
    origin: Origin,
    pending: Vec<String>,
    cleared: Vec<bool>,
}

impl BatchOutcomes {
    /// Creates a batch of messages with these ids, all failed.
    pub fn new(origin: Origin, message_ids: Vec<String>) -> Self {
        let cleared = vec![false; message_ids.len()];
        Self { origin, pending: message_ids, cleared }
    }

    /// Clears message number `at`, which was predicted or rejected, and acknowledged.
    pub fn clear(&mut self, at: usize) {
        if let Some(cleared) = self.cleared.get_mut(at) {
            *cleared = true;
        }
    }

    /// Returns whether message number `at` has ended: it was cleared, and does not come back with one of its shard
    /// that failed before it.
    pub fn has_ended(&self, at: usize) -> bool {
        let before = match self.origin {
            Origin::Queue => at,
            Origin::Stream => 0,
        };
        self.cleared.get(before..=at).is_some_and(|cleared| cleared.iter().all(|cleared| *cleared))
    }

    /// Returns how many messages come back.
    pub fn failed(&self) -> usize {
        (0..self.cleared.len()).filter(|at| !self.has_ended(*at)).count()
    }

    /// Returns the response to Lambda, which lists what is to be delivered again: the failed messages of a queue, or the
    /// record of a shard with the lowest sequence number that has failed, from which on Lambda delivers all. Both have one
    /// form.
    pub fn response(&self) -> SqsBatchResponse {
        let failed =
            self.pending.iter().zip(&self.cleared).filter(|(_, cleared)| !**cleared).map(|(id, _)| id);
        let failed: Vec<&String> = match self.origin {
            Origin::Queue => failed.collect(),
            // Sequence numbers are decimal numbers of up to 129 digits.
            Origin::Stream => failed.min_by_key(|id| (id.len(), id.as_str())).into_iter().collect(),
        };
        let mut response = SqsBatchResponse::default();
        for id in failed {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier.clone_from(id);
            response.batch_item_failures.push(failure);
        }
        response
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
        let mut batch = BatchOutcomes::new(Origin::Queue, ["a", "b", "c"].map(String::from).to_vec());
        assert_eq!(ids(&batch.response()), ["a", "b", "c"]);
        batch.clear(1);
        batch.clear(99);
        assert_eq!((batch.failed(), ids(&batch.response())), (2, vec!["a", "c"]));
    }

    #[test]
    fn of_a_shard_the_lowest_number_that_has_failed_comes_back() {
        let mut batch = BatchOutcomes::new(Origin::Stream, ["98", "100", "99"].map(String::from).to_vec());
        assert_eq!(ids(&batch.response()), ["98"]);
        batch.clear(0);
        assert_eq!(ids(&batch.response()), ["99"], "by number, neither by text nor by place");
        batch.clear(2);
        assert_eq!(ids(&batch.response()), ["100"]);
        batch.clear(1);
        assert_eq!(ids(&batch.response()), [""; 0]);
    }

    #[test]
    fn of_a_shard_what_follows_a_failure_has_not_ended() {
        let cleared = |origin| {
            let mut batch = BatchOutcomes::new(origin, ["1", "2", "3"].map(String::from).to_vec());
            batch.clear(0);
            batch.clear(2);
            ([0, 1, 2, 3].map(|at| batch.has_ended(at)), batch.failed())
        };
        assert_eq!(cleared(Origin::Stream), ([true, false, false, false], 2));
        assert_eq!(cleared(Origin::Queue), ([true, false, true, false], 1));
    }
}
