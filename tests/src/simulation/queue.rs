//! A double of SQS: at least once, in any order, hidden while somebody works on it, and moved to the dead-letter queue
//! after so many receives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use platform::queue::{Outgoing, SendError, Sink};
use tokio::time::Instant;

use super::chance::Chance;

/// Messages of a batch at most, as Lambda takes them without a window.
pub const BATCH: u64 = 10;
/// Time after which a message that did not end comes back.
const VISIBILITY: Duration = Duration::from_secs(60);
/// Receives after which a message is dead, as in template.yaml.
const RECEIVES_MAX: u32 = 10;

/// A queue; clones share it.
#[derive(Debug, Clone)]
pub struct Queue {
    name: &'static str,
    chance: Chance,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Held>,
    dead: Vec<Held>,
    numbers: u64,
    refused: Option<&'static str>,
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub struct Held {
    /// The id that the queue gave it.
    pub id: String,
    /// Its text.
    pub body: String,
    /// Texts beside it.
    pub attributes: Vec<(&'static str, String)>,
    receives: u32,
    visible: Instant,
}

impl Queue {
    /// Creates an empty queue.
    pub fn new(name: &'static str, chance: &Chance) -> Self {
        Self { name, chance: chance.clone(), state: Arc::default() }
    }

    /// Adds a message.
    pub fn add(&self, body: String, attributes: Vec<(&'static str, String)>) {
        let mut state = self.state();
        state.numbers += 1;
        let id = format!("{}-{}", self.name, state.numbers);
        state.waiting.push(Held { id, body, attributes, receives: 0, visible: Instant::now() });
    }

    /// Refuses, from now on, messages that contain this text; none if none.
    pub fn refuse(&self, text: Option<&'static str>) {
        self.state().refused = text;
    }

    /// Receives some messages, which are hidden for a while; sometimes one is not, and comes twice.
    pub fn receive(&self) -> Vec<Held> {
        let now = Instant::now();
        let mut state = self.state();
        let mut received = Vec::new();
        for _ in 0..1 + self.chance.below(BATCH) {
            let visible: Vec<usize> = (0..state.waiting.len())
                .filter(|at| state.waiting[*at].visible <= now)
                .filter(|at| received.iter().all(|held: &Held| held.id != state.waiting[*at].id))
                .collect();
            if visible.is_empty() {
                break;
            }
            let at = *self.chance.one(&visible);
            if state.waiting[at].receives >= RECEIVES_MAX {
                let dead = state.waiting.remove(at);
                self.chance.note(format_args!("{} is dead", dead.id));
                state.dead.push(dead);
                continue;
            }
            let held = &mut state.waiting[at];
            held.receives += 1;
            if !self.chance.fault(5) {
                held.visible = now + VISIBILITY;
            }
            received.push(held.clone());
        }
        received
    }

    /// Deletes a message that has ended.
    pub fn delete(&self, id: &str) {
        self.state().waiting.retain(|held| held.id != id);
    }

    /// Returns how many messages wait, hidden ones among them.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Returns all messages that wait.
    pub fn held(&self) -> Vec<Held> {
        self.state().waiting.clone()
    }

    /// Returns the dead messages.
    pub fn dead(&self) -> Vec<Held> {
        self.state().dead.clone()
    }

    /// Moves the dead messages back, as a person does; their receives count anew.
    pub fn redrive(&self) {
        let dead = std::mem::take(&mut self.state().dead);
        dead.into_iter().for_each(|held| self.add(held.body, held.attributes));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, detail: &str) -> Result<(), SendError> {
        Err(SendError::new(self.name, detail.into()))
    }

    /// Takes one message of a call, or refuses it.
    fn take(&self, message: Outgoing) -> Result<(), SendError> {
        if self.state().refused.is_some_and(|text| message.body.contains(text)) {
            return self.failed("refused for good");
        }
        if self.chance.fault(3) {
            return self.failed("InternalError");
        }
        self.add(message.body, message.attributes);
        if self.chance.fault(3) { self.failed("taken, and reported as failed") } else { Ok(()) }
    }
}

#[async_trait]
impl Sink for Queue {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), SendError>> {
        self.chance.call().await;
        if self.chance.fault(4) {
            self.chance.note(format_args!("sending to {}: throttled", self.name));
            return messages.iter().map(|_| self.failed("throttled")).collect();
        }
        let (queue, number) = (self.clone(), messages.len());
        let taking =
            async move { messages.into_iter().map(|message| queue.take(message)).collect::<Vec<_>>() };
        let results = self.chance.under_way(taking).await;
        if self.chance.fault(3) {
            self.chance.note(format_args!("sending to {}: the answer is lost", self.name));
            return (0..number).map(|_| self.failed("no answer")).collect();
        }
        results
    }
}
