//! Observers look at a batch after its messages have ended, as the shadow of challengers does. They share a budget of
//! time, and none can fail or delay a batch.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use model::{Bundle, PredictionBatch, Reason, Trip, TripRequest};
use platform::outcome::BatchOutcomes;
use platform::telemetry::Metric;
use tokio::time::Instant;

/// Time limit for all observers of a batch together: Lambda learns the outcome of the batch only after them.
const BUDGET: Duration = Duration::from_secs(3);

/// The input and the output of the champions for one batch.
#[derive(Debug, Clone)]
pub struct Predicted {
    /// The champions.
    pub bundle: Arc<Bundle>,
    /// The rides, each with the index of its message in the batch.
    pub requests: Vec<(usize, TripRequest)>,
    /// The rides as trips, `[n_rides]`.
    pub trips: Vec<Trip>,
    /// The predictions, `[n_rides]`.
    pub predictions: PredictionBatch,
}

impl Predicted {
    /// Returns the rides whose prediction was acknowledged, each with its row.
    pub fn acknowledged(&self, outcomes: &BatchOutcomes) -> impl Iterator<Item = (usize, &TripRequest)> {
        let rides = self.requests.iter().enumerate();
        rides.filter(|(_, (at, _))| outcomes.has_ended(*at)).map(|(row, (_, request))| (row, request))
    }
}

/// A batch whose messages have ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedBatch<'a> {
    /// Lambda's request id of the event.
    pub event: &'a str,
    /// What was predicted; none if the champions were not used.
    pub predicted: Option<&'a Predicted>,
    /// Why messages were rejected, by their index.
    pub rejected: &'a [(usize, Reason)],
    /// Which messages were acknowledged.
    pub outcomes: &'a BatchOutcomes,
}

/// The time until which observers may work.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    until: Instant,
}

impl Budget {
    /// Returns the time left, zero once the budget is spent.
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Yields to other tasks, and lets the time limit end this one. Observers await it every few milliseconds of work,
    /// since a task that never waits cannot be cancelled.
    pub async fn checkpoint(&self) {
        tokio::task::yield_now().await;
        if self.left().is_zero() {
            // The time limit around the observer cancels it here.
            std::future::pending::<()>().await;
        }
    }
}

/// An observer of batches that have ended.
#[async_trait]
pub trait Observer: Debug + Send + Sync {
    /// Returns the metric that counts its failures.
    fn failures(&self) -> Metric;

    /// Looks at a batch and returns metrics of its work. It is cancelled at an await when the budget is spent.
    ///
    /// # Errors
    /// The reason, for the log.
    async fn observe(&self, batch: EndedBatch<'_>, budget: Budget) -> Result<Vec<(Metric, f64)>, String>;
}

/// Runs every observer on a batch, one after the other, within the budget and the time `left` to the invocation.
/// Returns their metrics; a failure is logged and counted, and has no other effect.
pub(crate) async fn observe(
    observers: &[Arc<dyn Observer>],
    batch: EndedBatch<'_>,
    left: Duration,
) -> Vec<(Metric, f64)> {
    let budget = Budget { until: Instant::now() + left.min(BUDGET) };
    let mut metrics = Vec::new();
    for observer in observers {
        if budget.left().is_zero() {
            metrics.push((observer.failures(), 1.0));
            continue;
        }
        // Panics are caught too: the messages have ended, and must not be delivered again because of one.
        let observed = AssertUnwindSafe(observer.observe(batch, budget)).catch_unwind();
        let error_message = match tokio::time::timeout(budget.left(), observed).await {
            Ok(Ok(Ok(done))) => {
                metrics.extend(done);
                continue;
            }
            Ok(Ok(Err(reason))) => reason,
            Ok(Err(_)) => "it panicked".into(),
            Err(_) => format!("not done within {:?}", left.min(BUDGET)),
        };
        tracing::warn!(observer = ?observer.failures(), error_message, "an observer failed");
        metrics.push((observer.failures(), 1.0));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An observer that works in small pieces for ever, fails, or panics.
    #[derive(Debug)]
    enum Bad {
        Endless,
        Failing,
        Panicking,
    }

    #[async_trait]
    impl Observer for Bad {
        fn failures(&self) -> Metric {
            Metric::ChallengerFailures
        }
        async fn observe(&self, _: EndedBatch<'_>, budget: Budget) -> Result<Vec<(Metric, f64)>, String> {
            match self {
                Self::Endless => loop {
                    std::thread::sleep(Duration::from_millis(1));
                    budget.checkpoint().await;
                },
                Self::Failing => Err("no room".into()),
                Self::Panicking => panic!("out of range"),
            }
        }
    }

    #[tokio::test]
    async fn no_observer_outlives_its_budget_or_fails_the_others() {
        let bytes = crate::tests::artifact();
        let bundle = Arc::new(Bundle::from_bytes(&bytes, None).unwrap());
        let (trips, requests) = (Vec::new(), Vec::new());
        let predictions = bundle.predict(&trips);
        let predicted = Predicted { bundle, requests, trips, predictions };
        let outcomes = BatchOutcomes::new(platform::event::Origin::Queue, Vec::new());
        let batch =
            EndedBatch { event: "event", predicted: Some(&predicted), rejected: &[], outcomes: &outcomes };
        let observers: [Arc<dyn Observer>; 3] =
            [Arc::new(Bad::Failing), Arc::new(Bad::Panicking), Arc::new(Bad::Endless)];
        let left = Duration::from_millis(40);
        // That `observe` returns at all is the test; the last piece of work may overrun the limit a little.
        let metrics = observe(&observers, batch, left).await;
        assert_eq!(metrics, [(Metric::ChallengerFailures, 1.0); 3]);
    }
}
