//! A prediction as consumers see it: the course's shape and more.

use model::bundle::DURATION_MODEL_NAME;
use model::{Bundle, PredictionBatch, TripRequest};
use serde_json::{Value, json};

/// The answer to `request`, which is row `row` of what `bundle` predicted. Minutes; `tip_probability` is null until
/// there is a tip model.
pub fn message(bundle: &Bundle, request: &TripRequest, answers: &PredictionBatch, row: usize) -> Value {
    json!({
        "model": DURATION_MODEL_NAME,
        "version": bundle.duration_version(),
        "prediction": {
            "ride_id": request.ride_id,
            "ride_duration": answers.duration_min[row],
            "ride_duration_interval": [answers.lower_min[row], answers.upper_min[row]],
            "tip_probability": answers.tip_probability.as_ref().map(|probabilities| probabilities[row]),
        },
        "versions": {"duration": bundle.duration_version(), "tip": bundle.tip_version()},
        "id": request.prediction_id(),
    })
}
