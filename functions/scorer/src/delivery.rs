//! Sends what a batch becomes, predictions and rejected messages, and clears the messages whose end was acknowledged.

use std::collections::HashSet;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use model::chain;
use platform::outcome::BatchOutcomes;
use platform::queue::{Outgoing, SendError, Sink};

use crate::Ports;

/// Maximum number of concurrent calls to a queue.
const CALLS_AT_ONCE: usize = 4;

/// Sends each message, clears those that were acknowledged and returns their number. Calls `may_go_on` before every
/// call, because acknowledgements must be reported before the deadline, or the messages are delivered again.
pub(crate) async fn send(
    sink: &dyn Sink,
    messages: Vec<(usize, Outgoing)>,
    outcomes: &mut BatchOutcomes,
    may_go_on: &impl Fn() -> bool,
) -> usize {
    let (mut acknowledged, mut calls) = (0, messages.chunks(sink.entries_a_call()));
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < CALLS_AT_ONCE && may_go_on() {
            let Some(call) = calls.next() else { break };
            under_way.push(answered(sink, call));
        }
        let Some((call, results)) = under_way.next().await else { return acknowledged };
        for ((at, _), result) in call.iter().zip(results) {
            acknowledged += usize::from(cleared(*at, result, outcomes));
        }
    }
}

/// Makes one call and returns it with its results, one for each of its messages.
async fn answered<'a>(
    sink: &dyn Sink,
    call: &'a [(usize, Outgoing)],
) -> (&'a [(usize, Outgoing)], Vec<Result<(), SendError>>) {
    (call, sink.send(call.iter().map(|(_, message)| message.clone()).collect()).await)
}

/// Clears message number `at` if it was acknowledged, and returns whether it was.
fn cleared(at: usize, result: Result<(), SendError>, outcomes: &mut BatchOutcomes) -> bool {
    let is_acknowledged = result.is_ok();
    match result {
        Ok(()) => outcomes.clear(at),
        Err(error) => tracing::warn!(message = at, error_message = chain(&error), "not acknowledged"),
    }
    is_acknowledged
}

/// What becomes of one message.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The index of the message.
    pub at: usize,
    /// Whether it was predicted; otherwise it was rejected.
    pub is_prediction: bool,
    /// What is sent.
    pub message: Outgoing,
}

/// Sends the `endings` of a shard's records in their order, one call after the other, and nothing after a call in which
/// one has failed, nor after a record without an ending: Lambda delivers all that follows a failed record again. Returns how
/// many records have ended as predictions, and how many were rejected.
pub(crate) async fn send_in_order(
    ports: Ports<'_>,
    mut endings: Vec<Ending>,
    outcomes: &mut BatchOutcomes,
    may_go_on: &impl Fn() -> bool,
) -> (usize, usize) {
    endings.sort_by_key(|ending| ending.at);
    let gap = endings.iter().enumerate().position(|(number, ending)| ending.at != number);
    endings.truncate(gap.unwrap_or(endings.len()));
    let (mut waiting, mut has_failed) = (endings.as_slice(), false);
    while !waiting.is_empty() && !has_failed && may_go_on() {
        let (sink, length) = next_call(ports, waiting);
        let (call, rest) = waiting.split_at(length);
        let results = sink.send(call.iter().map(|ending| ending.message.clone()).collect()).await;
        has_failed = results.len() < call.len();
        for (ending, result) in call.iter().zip(results) {
            has_failed |= !cleared(ending.at, result, outcomes);
        }
        waiting = rest;
    }
    let ended = endings.iter().filter(|ending| outcomes.has_ended(ending.at));
    let (predicted, rejected): (Vec<_>, Vec<_>) = ended.partition(|ending| ending.is_prediction);
    (predicted.len(), rejected.len())
}

/// Returns where the first of some endings go, and how many of them one call takes.
fn next_call<'a>(ports: Ports<'a>, endings: &[Ending]) -> (&'a dyn Sink, usize) {
    let is_prediction = endings.first().is_some_and(|first| first.is_prediction);
    let sink = if is_prediction { ports.predictions } else { ports.rejects };
    let mut keys = HashSet::new();
    let call = endings.iter().take(sink.entries_a_call()).take_while(|ending| {
        // Where the order is kept, a call has no two records of one key.
        let is_apart = !sink.keeps_order() || keys.insert(ending.message.partition_key.as_deref());
        ending.is_prediction == is_prediction && is_apart
    });
    (sink, call.count())
}
