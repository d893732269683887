//! A prediction as consumers see it: the course's fields and more. It is read back as it is written.

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, DURATION_MODEL_NAME};
use crate::request::{RideId, TripRequest};
use crate::{ModelVersion, PredictionBatch};

/// The prediction for a trip request. Its JSON is part of the contract; fields are written in alphabetical order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Prediction {
    /// Identifies request and prediction, 64 hex digits: see [`TripRequest::prediction_id`]. It marks repeats.
    pub id: String,
    /// The name of the duration model.
    pub model: String,
    /// The predicted values.
    pub prediction: RidePrediction,
    /// Fields of the request that had a value which could not be used, so that they count as missing; not written if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<String>,
    /// The version of the duration model.
    pub version: ModelVersion,
    /// The versions of both models.
    pub versions: Versions,
}

/// The predicted values of a ride.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RidePrediction {
    /// How long it will take, minutes.
    pub ride_duration: f64,
    /// 90 % of rides like it take between these, minutes.
    pub ride_duration_interval: [f64; 2],
    /// The ride, named as it was in the request.
    pub ride_id: RideId,
    /// Probability that its driver is tipped if it is paid by card; `None` without a tip model.
    pub tip_probability: Option<f64>,
}

/// Which models predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Versions {
    /// The model of duration.
    pub duration: ModelVersion,
    /// The model of tips, if there is one.
    pub tip: Option<ModelVersion>,
}

impl Prediction {
    /// Creates the prediction for `request`, which is row `row` of what `bundle` predicted.
    pub fn new(bundle: &Bundle, request: &TripRequest, predicted: &PredictionBatch, row: usize) -> Self {
        Self {
            id: request.prediction_id(),
            model: DURATION_MODEL_NAME.into(),
            prediction: RidePrediction {
                ride_duration: predicted.duration_min[row],
                ride_duration_interval: [predicted.lower_min[row], predicted.upper_min[row]],
                ride_id: request.ride_id.clone(),
                tip_probability: predicted.tip_probability.as_ref().map(|probabilities| probabilities[row]),
            },
            unusable: request.unusable().into_iter().map(String::from).collect(),
            version: bundle.duration_version().clone(),
            versions: bundle.versions(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The JSON that the scorer has written since its first release, to the byte.
    const WRITTEN: &str = r#"{"id":"ab","model":"ride_duration_prediction_model","prediction":{"ride_duration":12.8,"ride_duration_interval":[8.1,21.4],"ride_id":256,"tip_probability":null},"version":"9f3c1a7be2d0","versions":{"duration":"9f3c1a7be2d0","tip":"77ab01c4d9e2"}}"#;

    #[test]
    fn what_is_written_is_read_alike() {
        let read: Prediction = serde_json::from_str(WRITTEN).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), WRITTEN);
        for (text, id) in [
            ("-1", RideId::Number(-1)),
            ("18446744073709551615", RideId::Large(u64::MAX)),
            ("\"a7\"", RideId::Text("a7".into())),
        ] {
            let read: Prediction = serde_json::from_str(&WRITTEN.replace("256", text)).unwrap();
            assert_eq!(read.prediction.ride_id, id);
        }
        assert!(serde_json::from_str::<Prediction>(&WRITTEN.replace("256", "[256]")).is_err());
    }
}
