//! A model as bytes: immutable, self-describing, refused unless every byte is as written.
//!
//! Layout, integers little endian: `TRIPCAST`, u32 format version, u32 length of the lineage, the lineage (JSON), u64
//! length of the model, the model (postcard) with its predictions for golden trips, sha256 of everything before. It
//! contains no time, key or run, so the same inputs give the same bytes, and the bytes are the model's identity.

mod golden;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::candidates::{Candidate, Family, FitParams, FitSummary, Model};
use crate::features;
use crate::outcome::{LabelledTrips, Target};
pub(crate) use golden::trips as golden_trips;

const MAGIC: &[u8; 8] = b"TRIPCAST";
const FORMAT_VERSION: u32 = 4;
const DIGEST_BYTES: usize = 32;

/// Names a model: the first 12 hex digits of the sha256 of its artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelVersion(String);

impl ModelVersion {
    /// Computes the version of an artifact with these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::of(&Sha256::digest(bytes))
    }

    fn of(digest: &[u8]) -> Self {
        Self(hex::encode(&digest[..6]))
    }

    /// Returns the 12 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Computes the sha256 of `bytes`, 64 hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelVersion {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits
            .then(|| Self(text.into()))
            .ok_or_else(|| format!("model version {text:?}: expected 12 hex digits"))
    }
}

impl TryFrom<String> for ModelVersion {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ModelVersion> for String {
    fn from(version: ModelVersion) -> String {
        version.0
    }
}

/// The origin of a model: enough to fit it again, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// What it predicts.
    pub target: Target,
    /// What kind of model it is.
    pub family: Family,
    /// Parameters chosen before fitting.
    pub params: FitParams,
    /// How the fit went.
    pub course: FitSummary,
    /// The files it learned from, in order.
    pub data: Vec<DataFingerprint>,
    /// [`features::schema_hash`] of the code that fitted it.
    pub feature_schema: String,
}

/// One file that was learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFingerprint {
    /// sha256 of its bytes, hex.
    pub sha256: String,
    /// Its rows, before any rule.
    pub rows: u64,
}

/// Why bytes are not a model that this code can serve.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The magic bytes differ.
    #[error("not a tripcast model: expected it to start with TRIPCAST")]
    Magic,
    /// A newer or older layout.
    #[error("model format {found}: this build reads format {FORMAT_VERSION}")]
    FormatVersion {
        /// The version in the bytes.
        found: u32,
    },
    /// Fewer or more bytes than the lengths state.
    #[error("the model is truncated or has bytes to spare: {bytes} bytes")]
    Length {
        /// How many there are.
        bytes: usize,
    },
    /// The bytes are not those that were written.
    #[error("the model's checksum does not match its bytes: it was damaged or altered")]
    Checksum,
    /// Trained on features of another meaning.
    #[error("the model was trained on feature schema {found}: this build has {expected}")]
    FeatureSchema {
        /// The model's.
        found: String,
        /// Ours.
        expected: String,
    },
    /// The lineage is not the expected JSON.
    #[error("reading the model's lineage")]
    Lineage(#[source] serde_json::Error),
    /// The model part cannot be read or written.
    #[error("reading or writing the model's parameters")]
    Model(#[source] postcard::Error),
    /// It does not predict as when it was written.
    #[error("the model predicts golden trips differently here than where it was written: it must not serve")]
    Golden,
    /// The model must not serve, whatever its checksum says.
    #[error("the model must not serve: {0}")]
    Unsound(String),
    /// The lineage names another target than the model has.
    #[error("the model's lineage says {lineage}, its parameters are of {model}")]
    Target {
        /// The lineage's target.
        lineage: Target,
        /// What the model predicts.
        model: Target,
    },
}

/// A model with its lineage, ready to serve or to store.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// Its origin.
    pub lineage: Lineage,
    /// The model.
    pub model: Model,
}

impl Artifact {
    /// Creates the artifact of `candidate`, fitted with `params` on `files`.
    pub fn new(candidate: Candidate, params: FitParams, files: &[LabelledTrips]) -> Self {
        let fingerprint =
            |file: &LabelledTrips| DataFingerprint { sha256: file.sha256.clone(), rows: file.n_rows() };
        let lineage = Lineage {
            target: candidate.model.target(),
            family: candidate.family,
            params,
            course: candidate.course,
            data: files.iter().map(fingerprint).collect(),
            feature_schema: features::schema_hash(),
        };
        Self { lineage, model: candidate.model }
    }

    /// Returns the bytes to store, and their version.
    ///
    /// # Errors
    /// [`ArtifactError::Lineage`] or [`ArtifactError::Model`] if it cannot be written, [`ArtifactError::Unsound`] if it must not
    /// serve.
    pub fn to_bytes(&self) -> Result<(Vec<u8>, ModelVersion), ArtifactError> {
        if let Some(defect) = self.model.written_defect() {
            return Err(ArtifactError::Unsound(defect));
        }
        let lineage = serde_json::to_vec(&self.lineage).map_err(ArtifactError::Lineage)?;
        let answered = (&self.model, golden::predictions(&self.model));
        let model = postcard::to_stdvec(&answered).map_err(ArtifactError::Model)?;
        let mut bytes = Vec::with_capacity(lineage.len() + model.len() + 64);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(lineage.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&lineage);
        bytes.extend_from_slice(&(model.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&model);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        let version = ModelVersion::from_bytes(&bytes);
        Ok((bytes, version))
    }

    /// Reads what [`Artifact::to_bytes`] wrote.
    ///
    /// # Errors
    /// Anything else is refused: see [`ArtifactError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtifactError> {
        Self::with_version(bytes).map(|(artifact, _)| artifact)
    }

    /// Reads what [`Artifact::to_bytes`] wrote, and returns its version, too: both from one pass over the bytes.
    ///
    /// # Errors
    /// As [`Artifact::from_bytes`].
    pub fn with_version(bytes: &[u8]) -> Result<(Self, ModelVersion), ArtifactError> {
        let length = || ArtifactError::Length { bytes: bytes.len() };
        let rest = bytes.strip_prefix(MAGIC).ok_or(ArtifactError::Magic)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
        match u32::from_le_bytes(*version) {
            FORMAT_VERSION => (),
            found => return Err(ArtifactError::FormatVersion { found }),
        }
        let (written, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or_else(length)?;
        let hashed = Sha256::new_with_prefix(written);
        if hashed.clone().finalize().as_slice() != digest.as_slice() {
            return Err(ArtifactError::Checksum);
        }
        let version = ModelVersion::of(&hashed.chain_update(digest).finalize());
        let (lineage_length, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
        let (lineage, rest) = split(rest, u32::from_le_bytes(*lineage_length) as usize).ok_or_else(length)?;
        let (model_length, rest) = rest.split_first_chunk::<8>().ok_or_else(length)?;
        let (model, rest) = split(rest, u64::from_le_bytes(*model_length) as usize).ok_or_else(length)?;
        if rest.len() != DIGEST_BYTES {
            return Err(length());
        }
        let lineage: Lineage = serde_json::from_slice(lineage).map_err(ArtifactError::Lineage)?;
        let expected = features::schema_hash();
        if lineage.feature_schema != expected {
            return Err(ArtifactError::FeatureSchema { found: lineage.feature_schema, expected });
        }
        let (model, expected): (Model, Vec<f64>) =
            postcard::from_bytes(model).map_err(ArtifactError::Model)?;
        if model.target() != lineage.target {
            return Err(ArtifactError::Target { lineage: lineage.target, model: model.target() });
        }
        // First, since parts that do not fit together cannot predict.
        if let Some(defect) = model.defect() {
            return Err(ArtifactError::Unsound(defect));
        }
        if !golden::agrees(&model, &expected) {
            return Err(ArtifactError::Golden);
        }
        Ok((Self { lineage, model }, version))
    }
}

fn split(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Examples;
    use crate::trip::{Trip, Zone};

    fn artifact() -> Artifact {
        let trip =
            |id| Trip { pickup_zone: Zone::new(id), distance_miles: Some(f64::from(id)), ..Trip::default() };
        fitted((1..20).map(trip).collect())
    }

    fn fitted(trips: Vec<Trip>) -> Artifact {
        let labels = (1..=trips.len()).map(|row| row as f64).collect();
        of_family(Target::Duration, Family::Linear, Examples { trips, labels })
    }

    fn tip_tree() -> Artifact {
        let labels = (0..40).map(|row| f64::from(row % 2)).collect();
        of_family(Target::Tip, Family::Tree, Examples { trips: vec![Trip::default(); 40], labels })
    }

    fn of_family(target: Target, family: Family, examples: Examples) -> Artifact {
        let params = FitParams::default();
        let candidate = Candidate::fit(
            target,
            family,
            &examples,
            &params,
            &mut crate::Work { threads: 1, control: &mut crate::go_on },
        )
        .unwrap();
        let file =
            LabelledTrips { sha256: sha256_hex(b"data"), trips: examples.trips, ..LabelledTrips::default() };
        Artifact::new(candidate, params, &[file])
    }

    #[test]
    fn what_is_written_is_read_and_written_alike() {
        let (bytes, version) = artifact().to_bytes().unwrap();
        let read = Artifact::from_bytes(&bytes).unwrap();
        assert_eq!(read, artifact());
        assert_eq!(read.to_bytes().unwrap(), (bytes.clone(), version.clone()));
        assert_eq!(Artifact::with_version(&bytes).unwrap(), (read.clone(), version.clone()));
        assert_eq!(version.as_str(), &sha256_hex(&bytes)[..12]);
        assert_eq!(read.lineage.data, [DataFingerprint { sha256: sha256_hex(b"data"), rows: 19 }]);
    }

    #[test]
    fn no_damage_passes() {
        let (bytes, _) = artifact().to_bytes().unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Artifact::from_bytes(&damaged).is_err(), "byte {at}");
            assert!(Artifact::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Artifact::from_bytes(&longer).is_err());
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused_before_they_predict() {
        // Of the pairs of zones that are asked for when the model is read.
        let miles = |trip| Trip { distance_miles: Some(1.0), ..trip };
        let artifact = fitted(golden_trips().into_iter().map(miles).collect());
        let mut parts = serde_json::to_value(&artifact.model).unwrap();
        let miles = parts.pointer_mut("/Duration/estimate/Linear/fallback/pair_miles").unwrap();
        *miles = serde_json::json!([]);
        let unfit: Model = serde_json::from_value(parts).unwrap();
        let sound = postcard::to_stdvec(&(&artifact.model, golden::predictions(&artifact.model))).unwrap();
        let unfit = postcard::to_stdvec(&(&unfit, golden::predictions(&artifact.model))).unwrap();
        let (bytes, _) = artifact.to_bytes().unwrap();
        let mut changed = bytes[..bytes.len() - DIGEST_BYTES - sound.len() - 8].to_vec();
        changed.extend_from_slice(&(unfit.len() as u64).to_le_bytes());
        changed.extend_from_slice(&unfit);
        let digest = Sha256::digest(&changed);
        changed.extend_from_slice(&digest);
        assert!(matches!(Artifact::from_bytes(&changed), Err(ArtifactError::Unsound(_))));
    }

    #[test]
    fn a_tree_of_other_features_is_refused() {
        let tree = trees::Ensemble::constant(0, 0.5);
        let mut parts = serde_json::to_value(tip_tree().model).unwrap();
        *parts.pointer_mut("/Tip/estimate/Tree/ensemble").unwrap() = serde_json::to_value(tree).unwrap();
        let unfit: Model = serde_json::from_value(parts).unwrap();
        assert!(unfit.defect().is_some());
        assert!(tip_tree().model.defect().is_none());
    }

    #[test]
    fn a_foreign_file_is_told_apart() {
        let mut future = artifact().to_bytes().unwrap().0;
        future[8] = 9;
        for (bytes, expected) in [
            (&b"PK\x03\x04 a pickle"[..], "not a tripcast model"),
            (&b""[..], "not a tripcast model"),
            (&b"TRIPCAST"[..], "truncated"),
            (&future[..], "model format 9: this build reads format 4"),
        ] {
            let refused = Artifact::from_bytes(bytes).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused:?} should say {expected:?}");
        }
    }

    #[test]
    fn a_model_that_answers_otherwise_is_refused() {
        let artifact = artifact();
        let model = postcard::to_stdvec(&(&artifact.model, golden::predictions(&artifact.model))).unwrap();
        let (bytes, _) = artifact.to_bytes().unwrap();
        // Flips one bit of the last prediction, under a valid checksum.
        let at = bytes.len() - DIGEST_BYTES - model.len();
        let mut off = bytes[..bytes.len() - DIGEST_BYTES].to_vec();
        assert_eq!(&off[at..], model);
        *off.last_mut().unwrap() ^= 1;
        let digest = Sha256::digest(&off);
        off.extend_from_slice(&digest);
        assert!(matches!(Artifact::from_bytes(&off), Err(ArtifactError::Golden)));
    }

    #[test]
    fn a_model_of_other_features_is_refused() {
        let mut other = artifact();
        other.lineage.feature_schema = "000000000000".into();
        let refused = Artifact::from_bytes(&other.to_bytes().unwrap().0).unwrap_err().to_string();
        assert!(refused.contains("feature schema 000000000000"), "{refused}");
        other = artifact();
        other.lineage.target = Target::Tip;
        assert!(matches!(
            Artifact::from_bytes(&other.to_bytes().unwrap().0),
            Err(ArtifactError::Target { .. })
        ));
    }
}
