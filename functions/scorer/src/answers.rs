//! What challengers in the shadow would have answered, kept beside what the champions did answer: one object an event,
//! `answers/<day>/<request id>.jsonl`, a line a ride. Whoever has the labels later joins them by `id`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures::FutureExt;
use model::{
    Bundle, Model, ModelVersion, Prediction, PredictionBatch, Target, TripBatch, TripRequest, chain,
};
use platform::outcome::BatchOutcomes;
use registry::{Shadow, Shadows, layout};
use serde::Serialize;
use store::{Condition, Store, StoreError, json};

/// Answers are kept within this, or not at all: what was answered must be reported before the deadline.
const SECONDS_MAX: u64 = 3;

/// What the champions were asked and answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The champions.
    pub bundle: Arc<Bundle>,
    /// The rides, each with its place in the batch of messages.
    pub requests: Vec<(usize, TripRequest)>,
    /// The same, as they were asked for.
    pub trips: TripBatch,
    /// The answers.
    pub predictions: PredictionBatch,
}

/// Where the answers of challengers go.
#[derive(Debug, Clone)]
pub struct ShadowScorer {
    shadows: Shadows,
    store: Arc<dyn Store>,
}

impl ShadowScorer {
    /// Asks `shadows`, and keeps what they say on `store`.
    pub fn new(shadows: Shadows, store: Arc<dyn Store>) -> Self {
        Self { shadows, store }
    }

    /// Asks every challenger about the rides whose prediction was acknowledged, and keeps what they say under the name
    /// `event`. How many answers were kept, or none if that did not work out: it is complained of, and costs nothing else.
    /// No answers, no object, where there is no challenger.
    pub async fn keep(
        &self,
        answered: &Answered,
        outcomes: &BatchOutcomes,
        event: &str,
        left: Duration,
    ) -> Option<usize> {
        let limit = left.min(Duration::from_secs(SECONDS_MAX));
        if limit.is_zero() {
            return None;
        }
        let kept = async {
            let shadows = self.shadows.current().await;
            let lines = lines(answered, outcomes, &shadows);
            if lines.is_empty() {
                return Ok(0);
            }
            let key = layout::answers(Utc::now().date_naive(), event)?;
            let mut text = Vec::new();
            for line in &lines {
                text.extend(json::line(&key, line)?);
            }
            self.store.put(&key, text.into(), Condition::IfAbsent).await?;
            Ok(lines.len() * shadows.len())
        };
        // A panic goes no further either: the messages have their answers, and must not come back for it.
        let guarded = AssertUnwindSafe(tokio::time::timeout(limit, kept)).catch_unwind();
        let error_message = match guarded.await {
            Ok(Ok(Ok(kept))) => return Some(kept),
            Ok(Ok(Err(error))) => chain(&error as &StoreError),
            Ok(Err(_)) => format!("not done within {limit:?}"),
            Err(_) => "a challenger panicked".into(),
        };
        tracing::warn!(error_message, "the challengers' answers were not kept");
        None
    }
}

/// What the champions answered to a ride, and what each challenger would have.
#[derive(Debug, Serialize)]
struct Line {
    challengers: Vec<ChallengerPrediction>,
    #[serde(flatten)]
    answered: Prediction,
}

/// What a challenger would have answered, in the fields of a prediction.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum ChallengerPrediction {
    Duration { ride_duration: f64, ride_duration_interval: [f64; 2], target: Target, version: ModelVersion },
    Tip { target: Target, tip_probability: f64, version: ModelVersion },
}

/// A line for each ride that was answered; none without challengers.
fn lines(answered: &Answered, outcomes: &BatchOutcomes, shadows: &[Shadow]) -> Vec<Line> {
    if shadows.is_empty() {
        return Vec::new();
    }
    let Answered { bundle, requests, trips, predictions } = answered;
    let by_challenger: Vec<Vec<ChallengerPrediction>> =
        shadows.iter().map(|shadow| predict(shadow, trips)).collect();
    let line = |(row, (_, request)): (usize, &(usize, TripRequest))| Line {
        challengers: by_challenger.iter().map(|predicted| predicted[row].clone()).collect(),
        answered: Prediction::new(bundle, request, predictions, row),
    };
    let acknowledged = requests.iter().enumerate().filter(|(_, (at, _))| outcomes.is_cleared(*at));
    acknowledged.map(line).collect()
}

/// What a challenger predicts of each trip.
fn predict(shadow: &Shadow, trips: &TripBatch) -> Vec<ChallengerPrediction> {
    let (target, version) = (shadow.model.target(), shadow.version.clone());
    match &*shadow.model {
        Model::Duration(model) => {
            let predicted = model.predict(trips);
            let of = |row: usize| ChallengerPrediction::Duration {
                ride_duration: predicted.minutes[row],
                ride_duration_interval: [predicted.lower_min[row], predicted.upper_min[row]],
                target,
                version: version.clone(),
            };
            (0..trips.len()).map(of).collect()
        }
        Model::Tip(model) => {
            let of = |tip_probability| ChallengerPrediction::Tip {
                target,
                tip_probability,
                version: version.clone(),
            };
            model.probabilities(trips).into_iter().map(of).collect()
        }
    }
}
