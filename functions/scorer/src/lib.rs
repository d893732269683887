//! The scorer: messages with trips in, predictions out, nothing lost.
//!
//! One walk, front to back: [`Scorer::handle`] takes the Lambda event apart; [`score`] decodes each message, predicts
//! all of them at once and sends the answers; a message ends only by an acknowledgement, as a prediction or in the
//! dead-letter queue. Whatever is not acknowledged comes back. What looks at a batch after it has
//! ended, such as challengers in the [`shadow`], is in [`observers`] and cannot fail anything.
//!
//! It does not know where models come from (`registry`), nor what a feature is (`model`).

pub mod config;
pub mod observers;
pub mod shadow;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::SqsBatchResponse;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lambda_runtime::LambdaEvent;
use model::{Bundle, Classified, Prediction, Rejection, TripRequest, chain};
use observers::{EndedBatch, Observer, Predicted, observe};
use platform::event::{EventError, Message, trip_messages};
use platform::lambda::Deadline;
use platform::outcome::BatchOutcomes;
use platform::queue::{BYTES_A_CALL, ENTRIES_A_CALL, Outgoing, SendError, Sink, sendable};
use platform::telemetry::{Metric, emit};
use registry::{ModelError, Models};
use serde_json::{Value, json};

/// The detail of a rejection is for people; SQS counts it towards the message's size.
const DETAIL_BYTES_MAX: usize = 1024;
/// Names, types and values of a dead letter's attributes, with room to spare.
const ATTRIBUTES_BYTES_MAX: usize = 2048;

/// Why a whole batch comes back.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The event is no batch of SQS messages.
    #[error("scoring a batch")]
    Event(#[from] EventError),
    /// There is nothing to answer with.
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

/// The function with its ports; clones share them.
#[derive(Debug, Clone)]
pub struct Scorer {
    models: Models,
    predictions: Arc<dyn Sink>,
    dead_letters: Arc<dyn Sink>,
    deadline_reserve: Duration,
    observers: Vec<Arc<dyn Observer>>,
}

/// Where answers and rejections go.
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
    /// Message by message.
    pub outcomes: BatchOutcomes,
    /// Predictions that were acknowledged.
    pub predicted: usize,
    /// Rejections that were acknowledged.
    pub rejected: usize,
    /// What the champions predicted, if they were asked.
    pub predicted_batch: Option<Predicted>,
}

impl Scorer {
    /// A scorer on these ports, which begins nothing within `deadline_reserve` of its deadline.
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

    /// Adds what looks at batches after they have ended.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Answers one Lambda event: the messages that must come back.
    ///
    /// # Errors
    /// [`ScoreError`]: all of them must.
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
        // After the clock: nobody waits for it but Lambda.
        if let Some(predicted) = &scored.predicted_batch {
            let left = deadline.left().saturating_sub(self.deadline_reserve);
            let batch = EndedBatch { event: &context.request_id, predicted, outcomes: &scored.outcomes };
            metrics.extend(observe(&self.observers, batch, left).await);
        }
        let bundle = scored.predicted_batch.as_ref().map(|predicted| predicted.bundle.id());
        emit("scorer", &metrics, &json!({"bundle": bundle, "messages": messages.len()}));
        Ok(scored.outcomes.response())
    }
}

/// Predicts every message that can be, and sends the others away with their reason, models or not. Stops beginning
/// work when `may_go_on` says no; what was not begun comes back.
///
/// # Errors
/// [`ModelError`] if nothing of the batch could be ended for want of models. If something was, that must not come back,
/// so the others do one by one.
pub async fn score<F: Future<Output = Result<Arc<Bundle>, ModelError>>>(
    messages: &[Message],
    bundle: impl FnOnce() -> F,
    ports: Ports<'_>,
    may_go_on: impl Fn() -> bool,
) -> Result<ScoredBatch, ModelError> {
    let ids = messages.iter().map(|message| message.id.clone()).collect();
    let outcomes = BatchOutcomes::new(ids);
    let mut scored = ScoredBatch { outcomes, predicted: 0, rejected: 0, predicted_batch: None };
    let (mut rejected, mut accepted, mut trips) = (Vec::new(), Vec::new(), Vec::new());
    for (at, message) in messages.iter().enumerate() {
        probe(&message.body);
        match TripRequest::decode(&message.body).and_then(|request| Ok((request.parse()?, request))) {
            Err(rejection) => rejected.push((at, dead_letter(message, &rejection))),
            Ok((parsed, request)) => {
                if !parsed.unusable.is_empty() {
                    tracing::debug!(ride_id = ?request.ride_id, fields = ?parsed.unusable, "unusable values");
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
            tracing::error!(error_type, error_message, "no models: what was not rejected comes back");
            return Ok(scored);
        }
    };
    let predictions = bundle.predict(&trips);
    let mut answered = Vec::with_capacity(accepted.len());
    for (row, (at, request)) in accepted.iter().enumerate() {
        match Outgoing::json(&Prediction::new(&bundle, request, &predictions, row)) {
            Ok(message) => answered.push((*at, message)),
            // It comes back, as whatever is not acknowledged does.
            Err(error) => {
                tracing::error!(message = at, error_message = chain(&error), "no message of a prediction")
            }
        }
    }
    scored.predicted = send(ports.predictions, answered, &mut scored.outcomes, &may_go_on).await;
    scored.predicted_batch = Some(Predicted { bundle, requests: accepted, trips, predictions });
    Ok(scored)
}

/// Calls to a queue that wait for their answer at the same time.
const CALLS_AT_ONCE: usize = 4;

/// Sends each message and clears those that were acknowledged; how many were. Asks before every call whether it may go
/// on: what was acknowledged must be reported before the deadline, or it comes back with the others.
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

/// A call with its results, one for each of its messages.
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
        // SQS takes no empty body, and none that leaves no room for the attributes.
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
