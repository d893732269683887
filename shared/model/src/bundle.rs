//! The pair of models that serves: pinned once for a batch of messages or a file, so that all predictions agree.

use sha2::{Digest, Sha256};

use crate::artifact::{Artifact, ArtifactError, ModelVersion};
use crate::candidates::{DurationModel, Model, TipModel};
use crate::explanation::ModelExplainer;
use crate::features::FeatureRows;
use crate::outcome::Target;
use crate::prediction::Versions;
use crate::request::MESSAGE_SCHEMA_VERSION;
use crate::trip::{PredictionBatch, Trip};

/// The name of the course's model, which consumers of predictions expect.
pub const DURATION_MODEL_NAME: &str = "ride_duration_prediction_model";

/// A duration model and, once there is one, a tip model.
#[derive(Debug, Clone)]
pub struct Bundle {
    duration: (ModelVersion, DurationModel),
    tip: Option<(ModelVersion, TipModel)>,
}

/// Why artifacts do not make a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bytes are not a model.
    #[error("reading the {target} model")]
    Artifact {
        /// Which model.
        target: Target,
        /// What is wrong with it.
        #[source]
        source: ArtifactError,
    },
    /// A model of the other target.
    #[error("expected a {expected} model, found a {found} model ({version})")]
    Target {
        /// The expected target.
        expected: Target,
        /// What it predicts.
        found: Target,
        /// Its version.
        version: ModelVersion,
    },
}

impl BundleError {
    /// Returns the target of the affected model.
    pub fn target(&self) -> Target {
        match self {
            Self::Artifact { target, .. } => *target,
            Self::Target { expected, .. } => *expected,
        }
    }
}

/// Trips whose features are in memory at a time, which fit into a processor's cache.
const ROWS_AT_ONCE: usize = 16_384;

impl Bundle {
    /// Reads the artifacts of a duration and, if there is one, of a tip model.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn from_bytes(duration: &[u8], tip: Option<&[u8]>) -> Result<Self, BundleError> {
        let duration = match read(Target::Duration, duration)? {
            (version, Model::Duration(model)) => (version, model),
            (version, other) => return Err(mismatch(Target::Duration, &other, version)),
        };
        let tip = match tip.map(|bytes| read(Target::Tip, bytes)).transpose()? {
            None => None,
            Some((version, Model::Tip(model))) => Some((version, model)),
            Some((version, other)) => return Err(mismatch(Target::Tip, &other, version)),
        };
        Ok(Self { duration, tip })
    }

    /// Predicts every trip; the predictions of a trip do not depend on those beside it.
    pub fn predict(&self, trips: &[Trip]) -> PredictionBatch {
        let mut parts = trips.chunks(ROWS_AT_ONCE).map(|trips| self.predict_part(trips));
        let mut all = parts.next().unwrap_or_else(|| self.predict_part(&[]));
        for part in parts {
            all.duration_min.extend(part.duration_min);
            all.lower_min.extend(part.lower_min);
            all.upper_min.extend(part.upper_min);
            all.tip_probability =
                all.tip_probability.zip(part.tip_probability).map(|(all, part)| [all, part].concat());
        }
        all
    }

    /// Predicts with both models from one computation of features.
    fn predict_part(&self, trips: &[Trip]) -> PredictionBatch {
        let rows = FeatureRows::from_trips(trips);
        let durations = self.duration.1.predict_rows(trips, &rows);
        PredictionBatch {
            duration_min: durations.minutes,
            lower_min: durations.lower_min,
            upper_min: durations.upper_min,
            tip_probability: self.tip.as_ref().map(|(_, model)| model.probabilities_of(&rows)),
        }
    }

    /// Returns the version of the duration model.
    pub fn duration_version(&self) -> &ModelVersion {
        &self.duration.0
    }

    /// Returns the version of the tip model, if any.
    pub fn tip_version(&self) -> Option<&ModelVersion> {
        self.tip.as_ref().map(|(version, _)| version)
    }

    /// Returns the versions of both models.
    pub fn versions(&self) -> Versions {
        Versions { duration: self.duration_version().clone(), tip: self.tip_version().cloned() }
    }

    /// Returns the explainers of the duration model and of the tip model, where a family is explained by feature.
    pub fn explainers(&self) -> [Option<ModelExplainer>; 2] {
        let tip = self.tip.as_ref().and_then(|(_, model)| ModelExplainer::of_tip(model).ok());
        [ModelExplainer::of_duration(&self.duration.1).ok(), tip]
    }

    /// Returns the [`bundle_id`] of the pair.
    pub fn id(&self) -> String {
        bundle_id(self.duration_version(), self.tip_version())
    }
}

/// Names a pair of models: first 12 hex digits of sha256(duration version, tip version, schema version, rules), a line each; the rules are
/// those of serving.
pub fn bundle_id(duration: &ModelVersion, tip: Option<&ModelVersion>) -> String {
    let tip = tip.map_or("none", ModelVersion::as_str);
    let lines = format!("{duration}\n{tip}\n{MESSAGE_SCHEMA_VERSION}\naccept");
    hex::encode(Sha256::digest(lines.as_bytes()))[..12].to_string()
}

fn read(target: Target, bytes: &[u8]) -> Result<(ModelVersion, Model), BundleError> {
    let (artifact, version) =
        Artifact::with_version(bytes).map_err(|source| BundleError::Artifact { target, source })?;
    Ok((version, artifact.model))
}

fn mismatch(expected: Target, found: &Model, version: ModelVersion) -> BundleError {
    BundleError::Target { expected, found: found.target(), version }
}
