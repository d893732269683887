//! A queue in memory for tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Depth, Letter, Letters, LettersError};
use platform::queue::ENTRIES_A_CALL;

/// A queue in memory for tests, shared by its clones, that can refuse what is asked of it.
#[derive(Debug, Clone, Default)]
pub struct MemoryLetters {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    letters: Vec<Held>,
    refuses: Option<String>,
    keeps: bool,
    bounces_to: Option<MemoryLetters>,
}

/// Numbers ids and receipts; no two queues have the same.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[derive(Debug)]
struct Held {
    letter: Letter,
    is_hidden: bool,
}

impl MemoryLetters {
    /// Creates a queue with these messages; each gets an id if it has none.
    pub fn new(letters: Vec<Letter>) -> Self {
        let queue = Self::default();
        letters.into_iter().for_each(|letter| drop(queue.push(letter)));
        queue
    }

    /// Refuses, from now on, to take messages that contain `text`.
    pub fn refuse(&self, text: &str) {
        self.state().refuses = Some(text.into());
    }

    /// Deletes nothing from now on.
    pub fn keep(&self) {
        self.state().keeps = true;
    }

    /// Hands on every message that it is sent, as a queue does whose consumer fails.
    pub fn bounce_to(&self, other: &Self) {
        self.state().bounces_to = Some(other.clone());
    }

    /// Ends the time for which messages are hidden.
    pub fn show_all(&self) {
        self.state().letters.iter_mut().for_each(|held| held.is_hidden = false);
    }

    /// Returns the messages that can be received.
    pub fn visible(&self) -> Vec<Letter> {
        let state = self.state();
        state.letters.iter().filter(|held| !held.is_hidden).map(|held| held.letter.clone()).collect()
    }

    fn push(&self, mut letter: Letter) -> String {
        if letter.id.is_empty() {
            letter.id = format!("message-{}", next());
        }
        let id = letter.id.clone();
        let mut state = self.state();
        match state.bounces_to.clone() {
            // SQS keeps no order: what comes back is received before what waits, which is the hard case.
            Some(other) => {
                drop(state);
                other.state().letters.insert(0, Held { letter, is_hidden: false });
            }
            None => state.letters.push(Held { letter, is_hidden: false }),
        }
        id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(doing: &'static str, detail: &str) -> LettersError {
    LettersError { doing, queue: "memory".into(), detail: detail.into() }
}

#[async_trait]
impl Letters for MemoryLetters {
    async fn depth(&self) -> Result<Depth, LettersError> {
        let state = self.state();
        let hidden = state.letters.iter().filter(|held| held.is_hidden).count() as u64;
        Ok(Depth { waiting: state.letters.len() as u64 - hidden, hidden })
    }

    async fn receive(&self, count: usize, _: Duration) -> Result<Vec<Letter>, LettersError> {
        let mut state = self.state();
        let visible = state.letters.iter_mut().filter(|held| !held.is_hidden);
        let receive = |held: &mut Held| {
            held.is_hidden = true;
            held.letter.receives += 1;
            held.letter.receipt = format!("receipt-{}", next());
            held.letter.clone()
        };
        Ok(visible.take(count.min(ENTRIES_A_CALL)).map(receive).collect())
    }

    async fn send(&self, letters: &[Letter]) -> Vec<Result<String, LettersError>> {
        let refuses = self.state().refuses.clone();
        let send = |letter: &Letter| match &refuses {
            Some(text) if letter.body.contains(text) => Err(refused("sending to", "set to refuse it")),
            _ => Ok(self.push(Letter {
                body: letter.body.clone(),
                attributes: letter.attributes.clone(),
                ..Letter::default()
            })),
        };
        letters.iter().map(send).collect()
    }

    async fn delete(&self, receipts: &[String]) -> Vec<Result<(), LettersError>> {
        let mut state = self.state();
        let mut delete = |receipt: &String| {
            let at = state.letters.iter().position(|held| held.letter.receipt == *receipt);
            match at.filter(|_| !state.keeps) {
                Some(at) => {
                    state.letters.remove(at);
                    Ok(())
                }
                None => Err(refused("deleting from", "no such receipt")),
            }
        };
        receipts.iter().map(&mut delete).collect()
    }

    async fn give_back(&self, receipts: &[String]) -> Vec<Result<(), LettersError>> {
        let mut state = self.state();
        let mut give_back = |receipt: &String| {
            let held = state.letters.iter_mut().find(|held| held.letter.receipt == *receipt);
            let held = held.ok_or_else(|| refused("giving back to", "no such receipt"));
            held.map(|held| held.is_hidden = false)
        };
        receipts.iter().map(&mut give_back).collect()
    }
}
