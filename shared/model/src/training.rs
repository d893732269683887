//! Training and judging on files: the same steps from a terminal and from a schedule.

use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, ArtifactError, ModelVersion};
use crate::candidates::{Candidate, Family, FitError, FitParams, Model, ValidationFit, Work};
use crate::evaluation::{Slice, evaluate, slices};
use crate::outcome::{Examples, LabelledTrips, Target};
use crate::performance::Metrics;
use crate::rejection::RejectionCounts;
use crate::rules::Rules;

/// The largest artifact that a function loads at its start without delaying requests.
const BYTES_MAX: usize = 64 << 20;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Nothing could be learned.
    #[error("fitting the {} model of {target}", family.name())]
    Fit {
        /// The target.
        target: Target,
        /// The family.
        family: Family,
        /// The reason.
        #[source]
        source: FitError,
    },
    /// The rules kept no row.
    #[error("nothing to learn {target} from: the rules {} refuse every row ({dropped})", rules.name())]
    NoRows {
        /// The target.
        target: Target,
        /// The rules.
        rules: Rules,
        /// The rows by reason.
        dropped: String,
    },
    /// An earlier invocation has recorded that it cannot be learned.
    #[error("learning {target}: {reason}")]
    Recorded {
        /// The target.
        target: Target,
        /// The reason that was kept.
        reason: String,
    },
    /// What was learned cannot be written.
    #[error("writing the {target} model")]
    Artifact {
        /// The target.
        target: Target,
        /// The reason.
        #[source]
        source: ArtifactError,
    },
}

/// A model, its bytes and its metrics on what it learned from.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model with its lineage.
    pub artifact: Artifact,
    /// The artifact as bytes.
    pub bytes: Vec<u8>,
    /// The version those bytes have.
    pub version: ModelVersion,
    /// Metrics on the examples it learned from.
    pub train: Metrics,
    /// The other rows, by reason.
    pub dropped: RejectionCounts,
}

impl Trained {
    /// Returns what is wrong with the artifact, found by reading its bytes as a function would; empty if it can serve.
    pub fn defects(&self) -> Vec<String> {
        let mut defects = Vec::new();
        if self.bytes.len() > BYTES_MAX {
            defects.push(format!("it has {} bytes, at most {BYTES_MAX} are served", self.bytes.len()));
        }
        match Artifact::from_bytes(&self.bytes) {
            Ok(read) if read == self.artifact => (),
            Ok(_) => defects.push("its bytes are read as another model".into()),
            Err(error) => defects.push(format!("its bytes cannot be read: {error}")),
        }
        defects
    }
}

/// Fits `target` on `files` by the rules in `params`.
///
/// # Errors
/// See [`TrainError`].
pub fn train(
    target: Target,
    family: Family,
    params: &FitParams,
    files: &[LabelledTrips],
    work: &mut Work<'_>,
) -> Result<Trained, TrainError> {
    let (examples, dropped) = params.rules.learned(target, files);
    if examples.is_empty() {
        return Err(TrainError::NoRows { target, rules: params.rules, dropped: dropped.described() });
    }
    let candidate = Candidate::fit(target, family, &examples, params, work)
        .map_err(|source| TrainError::Fit { target, family, source })?;
    finish(candidate, params, &examples, dropped, files, work.threads)
}

/// Fits the validated family on `files`, by the rules of its parameters.
///
/// # Errors
/// See [`TrainError`].
pub fn train_validated(
    validation_fit: &ValidationFit,
    files: &[LabelledTrips],
    work: &mut Work<'_>,
) -> Result<Trained, TrainError> {
    let ValidationFit { target, family, ref params, .. } = *validation_fit;
    let (examples, dropped) = params.rules.learned(target, files);
    let candidate =
        validation_fit.fit(&examples, work).map_err(|source| TrainError::Fit { target, family, source })?;
    finish(candidate, params, &examples, dropped, files, work.threads)
}

fn finish(
    candidate: Candidate,
    params: &FitParams,
    examples: &Examples,
    dropped: RejectionCounts,
    files: &[LabelledTrips],
    threads: usize,
) -> Result<Trained, TrainError> {
    let target = candidate.model.target();
    let train = evaluate(&candidate.model, examples, threads);
    let artifact = Artifact::new(candidate, params.clone(), files);
    let (bytes, version) = artifact.to_bytes().map_err(|source| TrainError::Artifact { target, source })?;
    Ok(Trained { artifact, bytes, version, train, dropped })
}

/// Metrics of a model on rows chosen by named rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The rules that chose the rows.
    pub rules: Rules,
    /// The metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// There are no rows to measure a model on.
#[derive(Debug, thiserror::Error)]
#[error("nothing to measure {target} on: the rules {} refuse every row ({dropped})", rules.name())]
pub struct NothingToMeasure {
    target: Target,
    rules: Rules,
    dropped: String,
}

/// Measures `model` on the rows of `files` that `rules` keep.
///
/// # Errors
/// [`NothingToMeasure`] if they keep none, with the reasons.
pub fn judge(model: &Model, rules: Rules, files: &[LabelledTrips]) -> Result<Judgement, NothingToMeasure> {
    let target = model.target();
    let (examples, dropped) = rules.examples(target, files);
    if examples.is_empty() {
        return Err(NothingToMeasure { target, rules, dropped: dropped.described() });
    }
    Ok(Judgement { rules, metrics: evaluate(model, &examples, 0) })
}

/// Measures the same by slice.
pub fn judge_slices(model: &Model, rules: Rules, files: &[LabelledTrips]) -> Vec<Slice> {
    slices(model, &examples(model, rules, files))
}

fn examples(model: &Model, rules: Rules, files: &[LabelledTrips]) -> Examples {
    rules.examples(model.target(), files).0
}
