//! The scorer predicts trips that arrive as messages of a queue or records of a stream, and loses none of them.
//!
//! [`Scorer::handle`] decodes the Lambda event; [`score`] decodes each message, predicts all of them at once and sends
//! the predictions (`delivery`). A message ends only by an acknowledgement, as a prediction or as a rejected message;
//! Lambda delivers every other one again. [`observers`], such as the [`shadow`] of challengers, look at a batch after it
//! has ended and cannot fail it.
//!
//! Deliberately absent: where models come from (`registry`), and what a feature is (`model`).

pub mod config;
mod delivery;
pub mod observers;
pub mod profiles;
pub mod shadow;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::SqsBatchResponse;
use delivery::{Ending, send, send_in_order};
use lambda_runtime::LambdaEvent;
use model::{Bundle, Classified, Prediction, Reason, Rejection, Trip, TripRequest, chain};
use observers::{EndedBatch, Observer, Predicted, observe};
use platform::event::{EventError, Message, Origin, TripMessages, trip_messages};
use platform::lambda::Deadline;
use platform::outcome::BatchOutcomes;
use platform::queue::{Outgoing, Sink, sendable};
use platform::telemetry::{Dimension, Metric, emit, emit_by};
use registry::{ModelError, Models};
use serde_json::{Value, json};

/// Limit of the detail of a rejection, which is for people; SQS counts it towards the size of the message.
const DETAIL_BYTES_MAX: usize = 1024;
/// Upper bound of the names, types and values of a rejected message's attributes.
const ATTRIBUTES_BYTES_MAX: usize = 4096;
/// Size of a rejected message that every queue accepts: some still have SQS's former limit.
const REJECT_BYTES_MAX: usize = 256 << 10;

/// Why a whole batch fails, so that it is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The event is no batch of messages.
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
    /// Where predictions of a stream's records go; as those of messages, if none.
    stream: Option<Arc<dyn Sink>>,
    rejects: Arc<dyn Sink>,
    deadline_reserve: Duration,
    observers: Vec<Arc<dyn Observer>>,
}

/// Where predictions and rejections are sent.
#[derive(Debug, Clone, Copy)]
pub struct Ports<'a> {
    /// Takes predictions.
    pub predictions: &'a dyn Sink,
    /// Takes what can never be predicted.
    pub rejects: &'a dyn Sink,
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
        rejects: impl Sink + 'static,
        deadline_reserve: Duration,
    ) -> Self {
        Self {
            models,
            predictions: Arc::new(predictions),
            stream: None,
            rejects: Arc::new(rejects),
            deadline_reserve,
            observers: Vec::new(),
        }
    }

    /// Sends predictions of a stream's records to another stream.
    #[must_use]
    pub fn with_stream(self, stream: impl Sink + 'static) -> Self {
        Self { stream: Some(Arc::new(stream)), ..self }
    }

    /// Adds an observer of batches that have ended.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Handles one Lambda event and returns the messages that have failed, which Lambda delivers again.
    ///
    /// # Errors
    /// [`ScoreError`], in which case all messages are delivered again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<SqsBatchResponse, ScoreError> {
        let started = Instant::now();
        let deadline = Deadline::from_context(&event.context);
        let context = event.context;
        let messages = trip_messages(&event.payload)?;
        let may_go_on = || deadline.left() > self.deadline_reserve;
        let predictions = match messages.origin {
            Origin::Queue => &self.predictions,
            Origin::Stream => self.stream.as_ref().unwrap_or(&self.predictions),
        };
        let ports = Ports { predictions: &**predictions, rejects: &*self.rejects };
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
        let notes = json!({"bundle": bundle, "messages": messages.messages.len()});
        for (field, count) in &scored.unusable {
            let metric = [(Metric::FieldsUnusable, *count as f64)];
            emit_by("scorer", &[(Dimension::Feature, field)], &metric, &notes);
        }
        emit("scorer", &metrics, &notes);
        Ok(scored.outcomes.response())
    }
}

/// Rejects the messages that can never be predicted and predicts the others. Starts no further work once `may_go_on`
/// returns false; messages that were not started stay failed. Messages of a queue are rejected even without models;
/// records of a stream end in their order.
///
/// # Errors
/// [`ModelError`] if there are no models and nothing was rejected. If something was rejected, that must not be
/// delivered again, so the other messages fail one by one.
pub async fn score<F: Future<Output = Result<Arc<Bundle>, ModelError>>>(
    batch: &TripMessages,
    bundle: impl FnOnce() -> F,
    ports: Ports<'_>,
    may_go_on: impl Fn() -> bool,
) -> Result<ScoredBatch, ModelError> {
    let ids = batch.messages.iter().map(|message| message.id.clone()).collect();
    let mut scored = ScoredBatch {
        outcomes: BatchOutcomes::new(batch.origin, ids),
        predicted: 0,
        rejected: 0,
        unusable: BTreeMap::new(),
        rejections: Vec::new(),
        predicted_batch: None,
    };
    let Decoded { mut rejects, requests, trips } = decode(&batch.messages, &mut scored);
    if batch.origin == Origin::Queue && may_go_on() {
        let rejects = std::mem::take(&mut rejects);
        scored.rejected = send(ports.rejects, rejects, &mut scored.outcomes, &may_go_on).await;
    }
    let mut answers = Vec::new();
    if !requests.is_empty() {
        if !may_go_on() {
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
        let predicted = Predicted { bundle, requests, trips, predictions };
        answers = encode(&batch.messages, &predicted);
        scored.predicted_batch = Some(predicted);
    }
    match batch.origin {
        Origin::Queue => {
            scored.predicted = send(ports.predictions, answers, &mut scored.outcomes, &may_go_on).await;
        }
        Origin::Stream => {
            let ending = |is_prediction| move |(at, message)| Ending { at, is_prediction, message };
            let endings = answers.into_iter().map(ending(true)).chain(rejects.into_iter().map(ending(false)));
            (scored.predicted, scored.rejected) =
                send_in_order(ports, endings.collect(), &mut scored.outcomes, &may_go_on).await;
        }
    }
    Ok(scored)
}

/// The messages of a batch, each with its index.
struct Decoded {
    /// Those that can never be predicted, as they are sent.
    rejects: Vec<(usize, Outgoing)>,
    /// The others, `[n_trips]`.
    requests: Vec<(usize, TripRequest)>,
    /// Their trips, `[n_trips]`.
    trips: Vec<Trip>,
}

/// Decodes every message, and counts what is wrong with them.
fn decode(messages: &[Message], scored: &mut ScoredBatch) -> Decoded {
    let mut decoded = Decoded { rejects: Vec::new(), requests: Vec::new(), trips: Vec::new() };
    for (at, message) in messages.iter().enumerate() {
        probe(&message.body);
        let request = match &message.flaw {
            Some(flaw) => Err(Rejection::new(Reason::Undecodable, flaw)),
            None => TripRequest::decode(&message.body),
        };
        match request.and_then(|request| Ok((request.parse()?, request))) {
            Err(rejection) => {
                scored.rejections.push((at, rejection.reason));
                decoded.rejects.push((at, rejected(message, &rejection)));
            }
            Ok((parsed, request)) => {
                for field in parsed.unusable {
                    *scored.unusable.entry(field).or_default() += 1;
                }
                decoded.trips.push(parsed.trip);
                decoded.requests.push((at, request));
            }
        }
    }
    decoded
}

/// Encodes the predictions, each with the index of its message.
fn encode(messages: &[Message], predicted: &Predicted) -> Vec<(usize, Outgoing)> {
    let mut answers = Vec::with_capacity(predicted.requests.len());
    for (row, (at, request)) in predicted.requests.iter().enumerate() {
        let prediction = Prediction::new(&predicted.bundle, request, &predicted.predictions, row);
        match Outgoing::json(&prediction) {
            Ok(answer) => {
                let partition_key = messages.get(*at).and_then(|message| message.partition_key.clone());
                answers.push((*at, Outgoing { partition_key, ..answer }));
            }
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
    answers
}

fn rejected(message: &Message, rejection: &Rejection) -> Outgoing {
    let (reason, detail) = (rejection.reason.code(), sendable(&rejection.detail, DETAIL_BYTES_MAX));
    tracing::info!(message_id = message.id, reason, detail, "rejected");
    let body = sendable(&message.body, REJECT_BYTES_MAX - ATTRIBUTES_BYTES_MAX);
    let mut attributes =
        vec![("reason", reason.to_string()), ("detail", detail), ("source_message_id", message.id.clone())];
    if body.len() < message.body.len() {
        attributes.push(("cut_from_bytes", message.body.len().to_string()));
    }
    if let Some(key) = &message.partition_key {
        attributes.push(("sequence_number", message.id.clone()));
        attributes.push(("partition_key", sendable(key, DETAIL_BYTES_MAX)));
    }
    // SQS accepts no empty body, and the body must leave room for the attributes.
    let body = if body.is_empty() { "(empty)".into() } else { body };
    Outgoing { attributes, ..Outgoing::new(body) }
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
