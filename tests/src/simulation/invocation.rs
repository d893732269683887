//! How Lambda invokes a function: within a limit, in environments that may end at any await, and what it does with the
//! answer of a batch.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use lambda_runtime::{Config, Context, LambdaEvent};
use platform::telemetry::now_ms;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::chance::{Chance, STEP};

/// Instants within which an invocation that crashes does so.
const INSTANTS: u64 = 40;

/// An environment in which a function runs, with what it keeps in memory.
#[derive(Debug)]
pub struct Environment<F> {
    /// The function.
    pub function: F,
    ended: watch::Sender<bool>,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<T> {
    /// The function answered, or failed.
    Answered(T),
    /// Its environment ended, by a crash, by the time limit or by another invocation's crash.
    Killed,
}

impl<F> Environment<F> {
    /// Starts an environment of a function.
    pub fn new(function: F) -> Self {
        Self { function, ended: watch::Sender::new(false) }
    }

    /// Returns whether it has not ended.
    pub fn is_alive(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Runs an invocation, within a time limit. It may crash at any of its awaits.
    pub async fn invoke<T>(
        &self,
        chance: &Chance,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Ended<T> {
        let crash = chance.fault(12).then(|| chance.below(INSTANTS));
        let mut work = pin!(work);
        let crashing = CrashingAt { chance, work: work.as_mut(), instants: crash, last: None };
        let work = tokio::time::timeout(limit, crashing);
        let mut others = self.ended.subscribe();
        let ended = tokio::select! {
            biased;
            _ = others.wait_for(|ended| *ended) => Ended::Killed,
            done = work => match done {
                Ok(Some(answer)) => Ended::Answered(answer),
                Ok(None) | Err(_) => Ended::Killed,
            },
        };
        if matches!(ended, Ended::Killed) {
            chance.note(format_args!("an environment ended (crash: {})", crash.is_some()));
            self.ended.send_replace(true);
        }
        ended
    }
}

/// A future that is dropped after so many instants at which it went on; then it returns none. It is dropped before it goes on, so that
/// what other threads compute, which takes no time of the clock, decides nothing.
struct CrashingAt<'a, W> {
    chance: &'a Chance,
    work: Pin<&'a mut W>,
    instants: Option<u64>,
    last: Option<Instant>,
}

impl<W: Future> Future for CrashingAt<'_, W> {
    type Output = Option<W::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let now = Instant::now();
        if self.last.replace(now) != Some(now) {
            if self.chance.ends_here() {
                return Poll::Ready(None);
            }
            match &mut self.instants {
                Some(0) => return Poll::Ready(None),
                Some(instants) => *instants -= 1,
                None => (),
            }
        }
        self.work.as_mut().poll(context).map(Some)
    }
}

/// Returns the event of an invocation with a time limit, which ends between two steps of the clock.
pub fn event(request: String, payload: Value, limit: Duration) -> LambdaEvent<Value> {
    let mut context = Context::default();
    context.request_id = request;
    context.deadline = now_ms() + limit.as_millis() as u64;
    context.env_config = Arc::new(Config::default());
    LambdaEvent::new(payload, context)
}

/// Returns a time limit of so many seconds, between two steps of the clock.
pub fn limit(seconds: u64) -> Duration {
    Duration::from_secs(seconds) - STEP / 2
}

/// What Lambda does with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it has ended.
    Ended,
    /// These come back, by their index.
    Again(Vec<usize>),
    /// All of it comes back.
    AllAgain,
}

impl Verdict {
    /// Returns whether message number `at` of the batch comes back.
    pub fn comes_back(&self, at: usize) -> bool {
        match self {
            Self::Ended => false,
            Self::Again(failed) => failed.contains(&at),
            Self::AllAgain => true,
        }
    }
}

/// Reads the answer to a batch of messages with these ids, as Lambda does where `ReportBatchItemFailures` is set: what lists no failures
/// ends the batch, and a list that it cannot read brings all of it back
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).
pub fn verdict(answer: Option<&Value>, ids: &[String]) -> Verdict {
    // Nothing that is JSON.
    let Some(answer) = answer else { return Verdict::AllAgain };
    let failures = match answer {
        Value::Null => return Verdict::Ended,
        Value::Object(fields) => match fields.get("batchItemFailures") {
            Some(failures) => failures,
            None if fields.is_empty() => return Verdict::Ended,
            None => return Verdict::AllAgain,
        },
        _ => return Verdict::AllAgain,
    };
    let failures = match failures {
        Value::Null => return Verdict::Ended,
        Value::Array(failures) => failures,
        _ => return Verdict::AllAgain,
    };
    let index = |failure: &Value| {
        let id = failure["itemIdentifier"].as_str()?;
        ids.iter().position(|known| known == id)
    };
    match failures.iter().map(index).collect::<Option<Vec<usize>>>() {
        Some(failed) if failed.is_empty() => Verdict::Ended,
        Some(failed) => Verdict::Again(failed),
        None => Verdict::AllAgain,
    }
}
