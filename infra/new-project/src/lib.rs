//! Predicts the {{target}} of taxi trips that arrive as messages, in {{unit}}.
//!
//! [`target`] says what is predicted, [`learning`] learns a model of it, and [`Scorer`] is the walk of a message. Events, queues and the rule
//! that no message is lost are those of tripcast (`platform`), as are trips and their features (`model`) and the trees (`trees`).

pub mod learning;
pub mod target;

use std::sync::Arc;

use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::LambdaEvent;
use model::{Rejection, TripRequest};
use platform::event::{EventError, Message, trip_messages};
use platform::outcome::BatchOutcomes;
use platform::queue::{Outgoing, SendError, Sink};
use serde_json::{Value, json};

use learning::Model;

/// Answers batches of messages; clones share the model.
#[derive(Debug, Clone)]
pub struct Scorer {
    model: Arc<Model>,
    predictions: Arc<dyn Sink>,
    rejects: Arc<dyn Sink>,
}

impl Scorer {
    /// Creates a scorer that sends predictions, and what can never be predicted, to these queues.
    pub fn new(model: Model, predictions: impl Sink + 'static, rejects: impl Sink + 'static) -> Self {
        let (predictions, rejects) = (Arc::new(predictions), Arc::new(rejects));
        Self { model: Arc::new(model), predictions, rejects }
    }

    /// Handles an event of SQS, and returns the messages that are to be delivered again. A message ends only when a queue has acknowledged
    /// its prediction or its rejection.
    ///
    /// # Errors
    /// [`EventError`] for another event; Lambda delivers all of it again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<SqsBatchResponse, EventError> {
        let batch = trip_messages(&event.payload)?;
        let ids = batch.messages.iter().map(|message| message.id.clone()).collect();
        let mut outcomes = BatchOutcomes::new(batch.origin, ids);
        let (mut answers, mut rejects) = (Vec::new(), Vec::new());
        for (at, message) in batch.messages.iter().enumerate() {
            match self.answer(message) {
                Ok(answer) => answers.push((at, answer)),
                Err(rejection) => {
                    let (reason, detail) = (rejection.reason.code(), rejection.detail);
                    let reject = json!({"reason": reason, "detail": detail, "body": message.body});
                    rejects.push((at, reject));
                }
            }
        }
        send(&*self.predictions, answers, &mut outcomes).await;
        send(&*self.rejects, rejects, &mut outcomes).await;
        Ok(outcomes.response())
    }

    fn answer(&self, message: &Message) -> Result<Value, Rejection> {
        let request = TripRequest::decode(&message.body)?;
        let trip = request.parse()?.trip;
        let (value, version) = (self.model.predict(&trip), self.model.version());
        Ok(json!({"ride_id": request.ride_id, target::NAME: value, "unit": target::UNIT, "version": version}))
    }
}

/// Sends messages, as many in a call as the queue takes, and clears those that it has acknowledged.
async fn send(sink: &dyn Sink, messages: Vec<(usize, Value)>, outcomes: &mut BatchOutcomes) {
    for some in messages.chunks(sink.entries_a_call()) {
        // Without the characters that SQS refuses.
        let outgoing = some.iter().filter_map(|(at, body)| Some((*at, Outgoing::json(body).ok()?)));
        let (ats, bodies): (Vec<usize>, Vec<Outgoing>) = outgoing.unzip();
        let sent: Vec<Result<(), SendError>> = sink.send(bodies).await;
        ats.into_iter().zip(sent).filter(|(_, sent)| sent.is_ok()).for_each(|(at, _)| outcomes.clear(at));
    }
}
