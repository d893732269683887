//! What looks at a batch after its messages have ended: challengers in the shadow, for one. Observers share a budget of time, and
//! none can fail or delay a batch.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use model::{Bundle, PredictionBatch, Trip, TripRequest};
use platform::outcome::BatchOutcomes;
use platform::telemetry::Metric;

/// All observers together end within this, or are cut short: Lambda learns the outcome of a batch only after them.
const BUDGET: Duration = Duration::from_secs(3);

/// What the champions were asked and predicted.
#[derive(Debug, Clone)]
pub struct Predicted {
    /// The champions.
    pub bundle: Arc<Bundle>,
    /// The rides, each with its place in the batch of messages.
    pub requests: Vec<(usize, TripRequest)>,
    /// The same as trips, `[n_rides]`.
    pub trips: Vec<Trip>,
    /// The predictions, `[n_rides]`.
    pub predictions: PredictionBatch,
}

impl Predicted {
    /// The rides, by their row, whose prediction was acknowledged.
    pub fn acknowledged(&self, outcomes: &BatchOutcomes) -> impl Iterator<Item = (usize, &TripRequest)> {
        let rides = self.requests.iter().enumerate();
        rides.filter(|(_, (at, _))| outcomes.is_cleared(*at)).map(|(row, (_, request))| (row, request))
    }
}

/// A batch that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedBatch<'a> {
    /// Lambda's name for the event.
    pub event: &'a str,
    /// What was predicted.
    pub predicted: &'a Predicted,
    /// Which messages were acknowledged.
    pub outcomes: &'a BatchOutcomes,
}

/// Until when observers may work.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    until: Instant,
}

impl Budget {
    /// What is left of it; zero once it is spent.
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Lets other tasks run, and the budget end this one: to be awaited between pieces of work of a few milliseconds, since a
    /// task that never waits cannot be cut short.
    pub async fn checkpoint(&self) {
        tokio::task::yield_now().await;
        if self.left().is_zero() {
            // The time limit around the observer ends it here.
            std::future::pending::<()>().await;
        }
    }
}

/// Looks at batches that have ended.
#[async_trait]
pub trait Observer: Debug + Send + Sync {
    /// The metric that counts its failures.
    fn failures(&self) -> Metric;

    /// Looks at a batch; metrics of what it did. Dropped in the middle when the budget is spent.
    ///
    /// # Errors
    /// Why it did not work out, for the log.
    async fn observe(&self, batch: EndedBatch<'_>, budget: Budget) -> Result<Vec<(Metric, f64)>, String>;
}

/// Lets every observer look at a batch, one after the other, while the budget and `left` of the invocation last. What they did as
/// metrics; a failure is logged and counted, and costs nothing else.
pub(crate) async fn observe(
    observers: &[Arc<dyn Observer>],
    batch: EndedBatch<'_>,
    left: Duration,
) -> Vec<(Metric, f64)> {
    let budget = Budget { until: Instant::now() + left.min(BUDGET) };
    let mut metrics = Vec::new();
    for observer in observers {
        // A panic goes no further either: the messages have ended, and must not come back for it.
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

    /// Works in small pieces for ever, fails, or panics.
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
        let outcomes = BatchOutcomes::new(Vec::new());
        let batch = EndedBatch { event: "event", predicted: &predicted, outcomes: &outcomes };
        let observers: [Arc<dyn Observer>; 3] =
            [Arc::new(Bad::Failing), Arc::new(Bad::Panicking), Arc::new(Bad::Endless)];
        let left = Duration::from_millis(40);
        // It comes back at all: that no piece of work is cut in the middle makes it end a little later.
        let metrics = observe(&observers, batch, left).await;
        assert_eq!(metrics, [(Metric::ChallengerFailures, 1.0); 3]);
    }
}
