//! Writes what the champions predicted, and beside it what challengers in the shadow predict: one object per event,
//! `answers/<day>/<request id>.jsonl`, with one line per ride. Labels that come later are joined by `id`.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Model, ModelVersion, Prediction, Target, Trip, TripRequest, chain};
use platform::lambda::today;
use platform::telemetry::Metric;
use registry::{Shadow, Shadows, layout};
use serde::Serialize;
use store::{Condition, Store, StoreError, json};

use crate::observers::{Budget, EndedBatch, Observer};

/// Trips that a challenger predicts between two checkpoints of the budget: milliseconds for the largest models.
const TRIPS_AT_ONCE: usize = 256;

/// An observer that predicts with the challengers and stores all predictions.
#[derive(Debug, Clone)]
pub struct ShadowScorer {
    shadows: Shadows,
    store: Arc<dyn Store>,
    keeps_all: bool,
}

impl ShadowScorer {
    /// Creates an observer that predicts with `shadows` and writes to `store`.
    pub fn new(shadows: Shadows, store: Arc<dyn Store>) -> Self {
        Self { shadows, store, keeps_all: false }
    }

    /// Sets whether predictions are stored where there are no challengers, for labels that come later.
    pub fn keeping_all(self, keeps_all: bool) -> Self {
        Self { keeps_all, ..self }
    }

    /// Predicts every acknowledged ride with every challenger, and writes the predictions under the request id. Returns
    /// how many of challengers were written.
    async fn keep(&self, batch: EndedBatch<'_>, budget: Budget) -> Result<usize, StoreError> {
        if batch.predicted.is_none() {
            return Ok(0);
        }
        let shadows = self.shadows.current().await;
        if shadows.is_empty() && !self.keeps_all {
            return Ok(0);
        }
        let lines = lines(batch, &shadows, budget).await;
        if lines.is_empty() {
            return Ok(0);
        }
        let key = layout::answers(today(), batch.event)?;
        let mut text = Vec::new();
        for line in &lines {
            text.extend(json::line(&key, line)?);
        }
        self.store.put(&key, text.into(), Condition::IfAbsent).await?;
        Ok(lines.len() * shadows.len())
    }
}

#[async_trait]
impl Observer for ShadowScorer {
    fn failures(&self) -> Metric {
        Metric::ChallengerFailures
    }

    async fn observe(&self, batch: EndedBatch<'_>, budget: Budget) -> Result<Vec<(Metric, f64)>, String> {
        match self.keep(batch, budget).await {
            Ok(0) => Ok(Vec::new()),
            Ok(kept) => Ok(vec![(Metric::ChallengerAnswers, kept as f64)]),
            Err(error) => Err(format!("the predictions of challengers were not kept: {}", chain(&error))),
        }
    }
}

/// One ride with the predictions of the champions and of each challenger.
#[derive(Debug, Serialize)]
struct Line {
    challengers: Vec<ChallengerPrediction>,
    trip: Trip,
    #[serde(flatten)]
    answered: Prediction,
}

/// The prediction of a challenger, in the fields of a [`Prediction`].
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum ChallengerPrediction {
    Duration { ride_duration: f64, ride_duration_interval: [f64; 2], target: Target, version: ModelVersion },
    Tip { target: Target, tip_probability: f64, version: ModelVersion },
}

/// Returns a line for each ride whose prediction was acknowledged.
async fn lines(batch: EndedBatch<'_>, shadows: &[Shadow], budget: Budget) -> Vec<Line> {
    let Some(predicted) = batch.predicted else { return Vec::new() };
    let mut by_challenger: Vec<Vec<ChallengerPrediction>> = Vec::with_capacity(shadows.len());
    for shadow in shadows {
        let mut predictions = Vec::with_capacity(predicted.trips.len());
        for trips in predicted.trips.chunks(TRIPS_AT_ONCE) {
            predictions.extend(predict(shadow, trips));
            budget.checkpoint().await;
        }
        by_challenger.push(predictions);
    }
    let acknowledged = predicted.acknowledged(batch.outcomes);
    let line = |(row, request): (usize, &TripRequest)| Line {
        challengers: by_challenger.iter().map(|predictions| predictions[row].clone()).collect(),
        trip: predicted.trips[row],
        answered: Prediction::new(&predicted.bundle, request, &predicted.predictions, row),
    };
    acknowledged.map(line).collect()
}

/// Returns the prediction of a challenger for each trip.
fn predict(shadow: &Shadow, trips: &[Trip]) -> Vec<ChallengerPrediction> {
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
