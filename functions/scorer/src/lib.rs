//! The scorer predicts trips that arrive as messages, and loses none of them.
//!
//! [`Scorer::handle`] decodes the Lambda event; [`score`] decodes each message, predicts all of them at once and sends
//! the predictions. A message ends only by an acknowledgement, as a prediction or in the dead-letter queue; SQS
//! delivers every other one again. [`observers`], such as the [`shadow`] of challengers, look at a batch after it has
//! ended and cannot fail it.
//!
//! Deliberately absent: where models come from (`registry`), and what a feature is (`model`).

pub mod config;
pub mod observers;
pub mod profiles;
pub mod shadow;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::SqsBatchResponse;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lambda_runtime::LambdaEvent;
use model::{Bundle, Classified, Prediction, Reason, Rejection, TripRequest, chain};
use observers::{EndedBatch, Observer, Predicted, observe};
use platform::event::{EventError, Message, trip_messages};
use platform::lambda::Deadline;
use platform::outcome::BatchOutcomes;
use platform::queue::{BYTES_A_CALL, ENTRIES_A_CALL, Outgoing, SendError, Sink, sendable};
use platform::telemetry::{Dimension, Metric, emit, emit_by};
use registry::{ModelError, Models};
use serde_json::{Value, json};

/// Limit of the detail of a rejection, which is for people; SQS counts it towards the size of the message.
const DETAIL_BYTES_MAX: usize = 1024;
/// Upper bound of the names, types and values of a dead letter's attributes.
const ATTRIBUTES_BYTES_MAX: usize = 2048;

/// Why a whole batch fails, so that SQS delivers it again.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The event is not a batch of SQS messages.
    #[error("scoring a batch")]
    Event(#[from] EventError),
    /// No models could be loaded.
    #[error("scoring a batch")]
    Models(#[from] ModelError),
}

impl Classified for ScoreError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(source) => source.error_type(),
            Self::Models(source) => source.error_type(),
        }
    }
    fn is_transient(&self) -> bool {
        !matches!(self, Self::Event(_))
    }
}

/// The scorer with its ports; clones share them.
#[derive(Debug, Clone)]
pub struct Scorer {
    models: Models,
    predictions: Arc<dyn Sink>,
    dead_letters: Arc<dyn Sink>,
    deadline_reserve: Duration,
    observers: Vec<Arc<dyn Observer>>,
}

/// Where predictions and rejections are sent.
#[derive(Debug, Clone, Copy)]
pub struct Ports<'a> {
    /// Takes predictions.
    pub predictions: &'a dyn Sink,
    /// Takes what can never be predicted.
    pub dead_letters: &'a dyn Sink,
}

/// How a batch ended.
#[derive(Debug, Clone)]
pub struct ScoredBatch {
    /// The state of each message.
    pub outcomes: BatchOutcomes,
    /// Predictions that were acknowledged.
    pub predicted: usize,
    /// Rejections that were acknowledged.
    pub rejected: usize,
    /// Messages by a field of theirs that had a value which could not be used.
    pub unusable: BTreeMap<&'static str, u64>,
    /// Why messages were rejected, by their index.
    pub rejections: Vec<(usize, Reason)>,
    /// What the champions predicted; none if they were not used.
    pub predicted_batch: Option<Predicted>,
}

impl Scorer {
    /// Creates a scorer on these ports, which starts no work within `deadline_reserve` of its deadline.
    pub fn new(
        models: Models,
        predictions: impl Sink + 'static,
        dead_letters: impl Sink + 'static,
        deadline_reserve: Duration,
    ) -> Self {
        Self {
            models,
            predictions: Arc::new(predictions),
            dead_letters: Arc::new(dead_letters),
            deadline_reserve,
            observers: Vec::new(),
        }
    }

    /// Adds an observer of batches that have ended.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Handles one Lambda event and returns the messages that have failed, which SQS delivers again.
    ///
    /// # Errors
    /// [`ScoreError`], in which case all messages are delivered again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<SqsBatchResponse, ScoreError> {
        let started = Instant::now();
        let deadline = Deadline::from_context(&event.context);
        let context = event.context;
        let messages = trip_messages(&event.payload)?;
        let may_go_on = || deadline.left() > self.deadline_reserve;
        let ports = Ports { predictions: &*self.predictions, dead_letters: &*self.dead_letters };
        let scored = score(&messages, || self.models.bundle(), ports, may_go_on).await?;
        let mut metrics = vec![
            (Metric::MessagesPredicted, scored.predicted as f64),
            (Metric::MessagesRejected, scored.rejected as f64),
            (Metric::MessagesFailed, scored.outcomes.failed() as f64),
            (Metric::BatchMilliseconds, started.elapsed().as_secs_f64() * 1e3),
        ];
        // Not part of the measured time: the messages have ended already.
        let left = deadline.left().saturating_sub(self.deadline_reserve);
        let batch = EndedBatch {
            event: &context.request_id,
            predicted: scored.predicted_batch.as_ref(),
            rejected: &scored.rejections,
            outcomes: &scored.outcomes,
        };
        metrics.extend(observe(&self.observers, batch, left).await);
        let bundle = scored.predicted_batch.as_ref().map(|predicted| predicted.bundle.id());
        let notes = json!({"bundle": bundle, "messages": messages.len()});
        for (field, count) in &scored.unusable {
            let metric = [(Metric::FieldsUnusable, *count as f64)];
            emit_by("scorer", &[(Dimension::Feature, field)], &metric, &notes);
        }
        emit("scorer", &metrics, &notes);
        Ok(scored.outcomes.response())
    }
}

/// Rejects the messages that can never be predicted, even without models, and predicts the others. Starts no further
/// work once `may_go_on` returns false; messages that were not started stay failed.
///
/// # Errors
/// [`ModelError`] if there are no models and nothing was rejected. If something was rejected, that must not be
/// delivered again, so the other messages fail one by one.
pub async fn score<F: Future<Output = Result<Arc<Bundle>, ModelError>>>(
    messages: &[Message],
    bundle: impl FnOnce() -> F,
    ports: Ports<'_>,
    may_go_on: impl Fn() -> bool,
) -> Result<ScoredBatch, ModelError> {
    let ids = messages.iter().map(|message| message.id.clone()).collect();
    let outcomes = BatchOutcomes::new(ids);
    let mut scored = ScoredBatch {
        outcomes,
        predicted: 0,
        rejected: 0,
        unusable: BTreeMap::new(),
        rejections: Vec::new(),
        predicted_batch: None,
    };
    let (mut rejected, mut accepted, mut trips) = (Vec::new(), Vec::new(), Vec::new());
    for (at, message) in messages.iter().enumerate() {
        probe(&message.body);
        match TripRequest::decode(&message.body).and_then(|request| Ok((request.parse()?, request))) {
            Err(rejection) => {
                scored.rejections.push((at, rejection.reason));
                rejected.push((at, dead_letter(message, &rejection)));
            }
            Ok((parsed, request)) => {
                for field in parsed.unusable {
                    *scored.unusable.entry(field).or_default() += 1;
                }
                trips.push(parsed.trip);
                accepted.push((at, request));
            }
        }
    }
    if may_go_on() {
        scored.rejected = send(ports.dead_letters, rejected, &mut scored.outcomes, &may_go_on).await;
    }
    if accepted.is_empty() || !may_go_on() {
        return Ok(scored);
    }
    let bundle = match bundle().await {
        Ok(bundle) => bundle,
        Err(error) if scored.rejected == 0 => return Err(error),
        Err(error) => {
            let (error_type, error_message) = (error.error_type(), chain(&error));
            tracing::error!(
                error_type,
                error_message,
                "no models: messages that were not rejected will be delivered again"
            );
            return Ok(scored);
        }
    };
    let predictions = bundle.predict(&trips);
    let mut answered = Vec::with_capacity(accepted.len());
    for (row, (at, request)) in accepted.iter().enumerate() {
        match Outgoing::json(&Prediction::new(&bundle, request, &predictions, row)) {
            Ok(message) => answered.push((*at, message)),
            // The message stays failed and is delivered again.
            Err(error) => {
                tracing::error!(
                    message = at,
                    error_message = chain(&error),
                    "a prediction could not be encoded"
                )
            }
        }
    }
    scored.predicted = send(ports.predictions, answered, &mut scored.outcomes, &may_go_on).await;
    scored.predicted_batch = Some(Predicted { bundle, requests: accepted, trips, predictions });
    Ok(scored)
}

/// Maximum number of concurrent calls to a queue.
const CALLS_AT_ONCE: usize = 4;

/// Sends each message, clears those that were acknowledged and returns their number. Calls `may_go_on` before every
/// call, because acknowledgements must be reported before the deadline, or the messages are delivered again.
async fn send(
    sink: &dyn Sink,
    messages: Vec<(usize, Outgoing)>,
    outcomes: &mut BatchOutcomes,
    may_go_on: &impl Fn() -> bool,
) -> usize {
    let (mut acknowledged, mut calls) = (0, messages.chunks(ENTRIES_A_CALL));
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < CALLS_AT_ONCE && may_go_on() {
            let Some(call) = calls.next() else { break };
            under_way.push(answered(sink, call));
        }
        let Some((call, results)) = under_way.next().await else { return acknowledged };
        for ((at, _), result) in call.iter().zip(results) {
            match result {
                Ok(()) => {
                    outcomes.clear(*at);
                    acknowledged += 1;
                }
                Err(error) => tracing::warn!(message = at, error_message = chain(&error), "not acknowledged"),
            }
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

fn dead_letter(message: &Message, rejection: &Rejection) -> Outgoing {
    let (reason, detail) = (rejection.reason.code(), sendable(&rejection.detail, DETAIL_BYTES_MAX));
    tracing::info!(message_id = message.id, reason, detail, "rejected");
    Outgoing {
        // SQS accepts no empty body, and the body must leave room for the attributes.
        body: match message.body.as_str() {
            "" => "(empty)".into(),
            body => sendable(body, BYTES_A_CALL - ATTRIBUTES_BYTES_MAX),
        },
        attributes: vec![
            ("reason", reason.to_string()),
            ("detail", detail),
            ("source_message_id", message.id.clone()),
        ],
    }
}

#[cfg(feature = "panic-probe")]
#[allow(clippy::panic)]
fn probe(body: &str) {
    if body.contains("tripcast-panic-probe") {
        panic!("tripcast-panic-probe");
    }
}

#[cfg(not(feature = "panic-probe"))]
fn probe(_: &str) {}

#[cfg(test)]
mod tests;
