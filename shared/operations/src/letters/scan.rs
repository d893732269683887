//! A bounded walk over the messages of a queue, each of which is seen once.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Letter, Letters, LettersError};
use platform::queue::ENTRIES_A_CALL;

/// Receives in a row without a new message after which there are no others.
const WITHOUT_NEW_MAX: u32 = 3;

/// A walk over at most so many messages. Those that are neither deleted nor given back stay hidden until their time is over.
#[derive(Debug)]
pub struct Scan<'a> {
    queue: &'a dyn Letters,
    left: u64,
    hidden: Duration,
    without_new: u32,
    seen: HashSet<String>,
    /// Receipts of the messages that this walk hides, by their ids.
    held: BTreeMap<String, String>,
}

impl<'a> Scan<'a> {
    /// Begins a walk over at most `max` messages of `queue`, each of which is hidden for the time `hidden`.
    pub fn new(queue: &'a dyn Letters, max: u64, hidden: Duration) -> Self {
        let (seen, held) = (HashSet::new(), BTreeMap::new());
        Self { queue, left: max, hidden, without_new: 0, seen, held }
    }

    /// Returns the next messages, ten at most; none at the end.
    ///
    /// # Errors
    /// [`LettersError`].
    pub async fn next(&mut self) -> Result<Vec<Letter>, LettersError> {
        while self.left > 0 && self.without_new < WITHOUT_NEW_MAX {
            let count = usize::try_from(self.left).unwrap_or(ENTRIES_A_CALL).min(ENTRIES_A_CALL);
            let mut letters = self.queue.receive(count, self.hidden).await?;
            // A message that is received again has another receipt, and the former one has ended.
            self.held.extend(letters.iter().map(|letter| (letter.id.clone(), letter.receipt.clone())));
            letters.retain(|letter| self.seen.insert(letter.id.clone()));
            if letters.is_empty() {
                self.without_new += 1;
                continue;
            }
            self.without_new = 0;
            self.left = self.left.saturating_sub(letters.len() as u64);
            return Ok(letters);
        }
        Ok(Vec::new())
    }

    /// Deletes messages that this walk has received, by their ids, and returns one result for each, in order.
    pub async fn delete(&mut self, ids: &[String]) -> Vec<Result<(), LettersError>> {
        let receipts: Vec<String> =
            ids.iter().map(|id| self.held.get(id).cloned().unwrap_or_default()).collect();
        let results = self.queue.delete(&receipts).await;
        for (id, result) in ids.iter().zip(&results) {
            if result.is_ok() {
                self.held.remove(id);
            }
        }
        results
    }

    /// Makes the messages visible again that were not deleted. One that cannot be given back comes back when its time is over.
    pub async fn give_back(self) {
        let receipts: Vec<String> = self.held.into_values().collect();
        let refused = self.queue.give_back(&receipts).await.into_iter().filter_map(Result::err);
        refused.for_each(|error| tracing::debug!("{error}"));
    }
}
