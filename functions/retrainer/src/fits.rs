//! Carries out the fits that [`crate::learn`] asks for, or reads what other invocations have recorded of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use bytes::Bytes;
use model::artifact::{Artifact, ArtifactError, sha256_hex};
use model::candidates::{Progress, Validated, ValidationFit};
use model::rejection::RejectionCounts;
use model::training::TrainError;
use model::{Examples, LabelledTrips, Metrics, Target, Trained, Work, train, train_validated};
use registry::runs::StepTaken;
use serde::{Deserialize, Serialize};

use crate::learn::{FitTask, Fits, IsBehind, Learning, NotFitted, ValidationTask};

/// Fits in this process, from trips in memory.
pub(crate) struct LocalFits<'a> {
    files: &'a [LabelledTrips],
    how: &'a Learning,
    /// End of validation and search; the best fit found by then is taken.
    validate_until: Instant,
    until: Instant,
    /// The examples of each file, by its index.
    by_month: Vec<Examples>,
}

impl<'a> LocalFits<'a> {
    /// Prepares fits of `target` from `files`, oldest first; what is not done by `until` is left out or cut short, and of
    /// validation fits what is not done after that share of the time.
    pub(crate) fn new(
        target: Target,
        files: &'a [LabelledTrips],
        how: &'a Learning,
        until: Instant,
        validation_share: f64,
    ) -> Self {
        let by_month =
            files.iter().map(|file| how.params.rules.learned(target, std::slice::from_ref(file)).0);
        let now = Instant::now();
        let validate_until = now + until.saturating_duration_since(now).mul_f64(validation_share);
        Self { files, how, validate_until, until, by_month: by_month.collect() }
    }

    fn together(&self, months: std::ops::Range<usize>) -> Examples {
        let mut together = Examples::default();
        self.by_month[months].iter().for_each(|month| together.append(month));
        together
    }

    /// Returns the trips that a validation fit predicts.
    pub(crate) fn later(&self, task: &ValidationTask) -> Examples {
        self.together(task.window.validation_fit_to..self.by_month.len())
    }
}

impl Fits for LocalFits<'_> {
    fn validate(
        &self,
        task: &ValidationTask,
        is_behind: &mut IsBehind<'_>,
    ) -> Result<(ValidationFit, bool), NotFitted> {
        let learn = self.together(task.window.validation_fit_from..task.window.validation_fit_to);
        let (mut losses, mut behind) = (Vec::new(), false);
        let mut control = |progress: &Progress| {
            losses.extend(progress.validation_loss);
            behind = is_behind(&losses);
            if behind || self.is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut work = Work { threads: self.how.threads, control: &mut control };
        let (target, family) = (task.target, task.family);
        let found =
            ValidationFit::validate(target, family, &learn, &self.later(task), &task.params, &mut work)
                .map_err(|source| TrainError::Fit { target, family, source })?;
        Ok((found, behind))
    }

    fn finish(&self, task: &FitTask, found: Option<&ValidationFit>) -> Result<Trained, NotFitted> {
        let until = self.until;
        let mut control = move |_: &Progress| match Instant::now() >= until {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let mut work = Work { threads: self.how.threads, control: &mut control };
        Ok(match (task, found) {
            (FitTask::Finish(task), Some(found)) => {
                train_validated(found, &self.files[task.window.fit_from..], &mut work)?
            }
            (FitTask::Alone { target, family }, _) => {
                train(*target, *family, &self.how.params, self.files, &mut work)?
            }
            (FitTask::Validate(_) | FitTask::Finish(_), _) => return Err(NotFitted::Missing),
        })
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.validate_until
    }
}

/// What a fit left for later invocations.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FitResult {
    /// Of [`FitTask::Validate`].
    Validated(Validated),
    /// Of the other tasks, whose artifact is kept beside it.
    Trained {
        /// Metrics on what it learned from.
        train: Metrics,
        /// The other rows, by reason.
        dropped: RejectionCounts,
    },
    /// It cannot be fitted; the reason.
    Failed(String),
}

/// A fit that another invocation has carried out, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "KeptFit")]
pub(crate) struct RecordedFit {
    /// When it was carried out; an earlier build did not keep that.
    pub step: Option<StepTaken>,
    /// What it left.
    pub result: FitResult,
}

/// The forms in which fits are kept. A run may have begun before a deployment.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptFit {
    Timed { step: Option<StepTaken>, result: FitResult },
    Untimed(FitResult),
}

impl From<KeptFit> for RecordedFit {
    fn from(kept: KeptFit) -> Self {
        match kept {
            KeptFit::Timed { step, result } => Self { step, result },
            KeptFit::Untimed(result) => Self { step: None, result },
        }
    }
}

/// Returns the name of a task, the same for equal tasks.
pub(crate) fn name_of(task: &FitTask) -> String {
    // A task has numbers, texts and lists alone, so that it has a JSON form.
    sha256_hex(&serde_json::to_vec(task).unwrap_or_default())[..16].to_string()
}

/// Fits that other invocations have done.
#[derive(Debug, Default)]
pub(crate) struct RecordedFits {
    done: BTreeMap<String, FitResult>,
    /// Artifacts, as far as they were read.
    artifacts: BTreeMap<String, Bytes>,
    missing: RefCell<Vec<FitTask>>,
}

impl RecordedFits {
    /// Creates fits from what is done, and the artifacts of what is trained, by the names of the tasks. Without its artifact a
    /// model is [`NotFitted::Missing`], but not requested.
    pub(crate) fn new(done: BTreeMap<String, FitResult>, artifacts: BTreeMap<String, Bytes>) -> Self {
        Self { done, artifacts, missing: RefCell::default() }
    }

    /// Returns the tasks that were asked for and are not done.
    pub(crate) fn into_missing(self) -> Vec<FitTask> {
        self.missing.into_inner()
    }

    fn request(&self, task: FitTask) {
        let mut missing = self.missing.borrow_mut();
        if !self.done.contains_key(&name_of(&task)) && !missing.contains(&task) {
            missing.push(task);
        }
    }

    fn found(&self, task: &FitTask) -> Result<&FitResult, NotFitted> {
        self.done.get(&name_of(task)).ok_or_else(|| {
            self.request(task.clone());
            NotFitted::Missing
        })
    }
}

impl Fits for RecordedFits {
    fn validate(
        &self,
        task: &ValidationTask,
        is_behind: &mut IsBehind<'_>,
    ) -> Result<(ValidationFit, bool), NotFitted> {
        let fit_task = FitTask::Validate(task.clone());
        let mut found = match self.found(&fit_task)? {
            FitResult::Validated(found) => found.clone(),
            other => return Err(unfit(&fit_task, other)),
        };
        // It went on to its end; where it would have been pruned follows from its losses.
        let behind = (1..=found.losses.len()).find(|&rounds| is_behind(&found.losses[..rounds]));
        if let Some(rounds) = behind {
            found.losses.truncate(rounds);
            found.cut = true;
        }
        // The trips that it predicted are needed only by the fit of all months, which another invocation carries out.
        found.predicted.clear();
        let (target, family) = (task.target, task.family);
        let fit = ValidationFit::from_validated(target, family, found, &Examples::default());
        fit.map(|fit| (fit, behind.is_some())).ok_or(NotFitted::Missing)
    }

    fn finish(&self, task: &FitTask, _: Option<&ValidationFit>) -> Result<Trained, NotFitted> {
        match self.found(task)? {
            FitResult::Trained { train, dropped } => {
                let bytes = self.artifacts.get(&name_of(task)).ok_or(NotFitted::Missing)?;
                let (artifact, version) =
                    Artifact::with_version(bytes).map_err(|source| unreadable(task, source))?;
                let (train, dropped) = (train.clone(), dropped.clone());
                Ok(Trained { artifact, bytes: bytes.to_vec(), version, train, dropped })
            }
            other => Err(unfit(task, other)),
        }
    }

    fn is_late(&self) -> bool {
        false
    }

    fn prefetch(&self, tasks: Vec<FitTask>) {
        tasks.into_iter().for_each(|task| self.request(task));
    }
}

fn unreadable(task: &FitTask, source: ArtifactError) -> NotFitted {
    TrainError::Artifact { target: task.target(), source }.into()
}

/// Returns the error of a task that failed in another invocation.
fn unfit(task: &FitTask, done: &FitResult) -> NotFitted {
    let reason = match done {
        FitResult::Failed(reason) => reason.clone(),
        _ => "another kind of fit was kept under its name".into(),
    };
    TrainError::Recorded { target: task.target(), reason }.into()
}
