//! Learns a model of the target from months of trips, and keeps it as bytes.

use linfa::ParamGuard;
use model::{LabelledTrips, Trip};
use sha2::{Digest, Sha256};
use trees::boost::{BoostError, BoostParams, Boosted, Labelled, Settings, go_on};
use trees::{Ensemble, Scorer};

use crate::target::{N_FEATURES, features, label};

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The trees could not be grown.
    #[error("learning")]
    Boost(#[from] BoostError),
    /// The bytes are no model of these features.
    #[error("expected a model of {N_FEATURES} features that this program has written")]
    Bytes,
}

/// A model that predicts.
#[derive(Debug)]
pub struct Model {
    trees: Scorer,
    version: String,
}

impl Model {
    /// Reads a model.
    ///
    /// # Errors
    /// [`LearnError::Bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnError> {
        let ensemble: Ensemble = postcard::from_bytes(bytes).map_err(|_| LearnError::Bytes)?;
        if ensemble.n_features() != N_FEATURES {
            return Err(LearnError::Bytes);
        }
        let version = Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { trees: Scorer::new(ensemble), version })
    }

    /// Predicts a trip.
    pub fn predict(&self, trip: &Trip) -> f64 {
        self.trees.predict_row(&features(trip))
    }

    /// Returns the first digits of the model's sha256.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// A model that was learned, as bytes, and how it does on the trips that it was judged on.
#[derive(Debug)]
pub struct Learned {
    /// For [`Model::from_bytes`].
    pub bytes: Vec<u8>,
    /// Its root mean squared error.
    pub rmse: f64,
    /// That of the mean of the trips that it learned from.
    pub rmse_of_mean: f64,
    /// Trips that it was judged on.
    pub judged: usize,
}

/// Rows of features and their labels.
#[derive(Debug, Default)]
struct Examples {
    values: Vec<f32>,
    labels: Vec<f32>,
}

impl Examples {
    fn from_months(months: &[LabelledTrips]) -> Self {
        let mut examples = Self::default();
        for (trip, outcome) in months.iter().flat_map(|month| month.trips.iter().zip(&month.outcomes)) {
            if let Some(label) = label(outcome) {
                examples.values.extend(features(trip));
                examples.labels.push(label as f32);
            }
        }
        examples
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled { values: &self.values, n_features: N_FEATURES, labels: &self.labels, weights: None }
    }
}

/// Learns from months, stops where `validate` does not get better, and is judged on `judge`, which nothing else has seen.
///
/// # Errors
/// [`LearnError`], for want of trips with a label above all.
pub fn learn(
    train: &[LabelledTrips],
    validate: &LabelledTrips,
    judge: &LabelledTrips,
) -> Result<Learned, LearnError> {
    let [train, validate, judge] =
        [train, std::slice::from_ref(validate), std::slice::from_ref(judge)].map(Examples::from_months);
    let settings = Settings { rounds: 500, patience: Some(20), ..Settings::default() };
    let params = BoostParams::new(settings).check()?;
    let Boosted { ensemble, .. } =
        params.fit(&train.labelled(), Some(&validate.labelled()), 0, &mut go_on)?;
    let bytes = postcard::to_stdvec(&ensemble).map_err(|_| LearnError::Bytes)?;
    let rmse = |predicted: &dyn Fn(usize) -> f64| {
        let squares =
            judge.labels.iter().enumerate().map(|(row, label)| (predicted(row) - f64::from(*label)).powi(2));
        (squares.sum::<f64>() / judge.labels.len() as f64).sqrt()
    };
    let predicted = Scorer::new(ensemble).predict(&judge.values);
    let mean = train.labels.iter().map(|label| f64::from(*label)).sum::<f64>() / train.labels.len() as f64;
    Ok(Learned {
        bytes,
        rmse: rmse(&|row| predicted[row]),
        rmse_of_mean: rmse(&|_| mean),
        judged: judge.labels.len(),
    })
}
