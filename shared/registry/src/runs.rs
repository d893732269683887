//! Records of retrainings: what was read, tried, measured and decided, and the resources it took. A record exists from
//! the beginning of its run, however the run ends.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use model::candidates::boosted::BoostedParams;
use model::candidates::{FitParams, FitSummary};
use model::performance::{each_or_nan, or_nan};
use model::{Decision, Family, Metrics, ModelVersion, Month, Rules, Target};
use monitoring::gates::Inspection;
use serde::{Deserialize, Serialize, Serializer};
use store::{Condition, Store, StoreError, json};

use crate::layout;

/// Limit of runs of one name and day; more are a mistake of the caller.
const SAME_NAMES_MAX: usize = 1000;

/// The records in a store of models.
#[derive(Debug, Clone)]
pub struct Runs {
    store: Arc<dyn Store>,
}

impl Runs {
    /// Opens the records on `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Creates the record of a run that begins. If its name is taken, `run` is renamed to `<name>-2` and so on. Until
    /// [`Runs::end`] writes the record again, it states that the run has not ended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin(&self, run: &mut Run) -> Result<(), StoreError> {
        let name = run.run.clone();
        let mut begun = not_ended(run);
        for number in 1..=SAME_NAMES_MAX {
            if number > 1 {
                run.run = format!("{name}-{number}");
                begun.run.clone_from(&run.run);
            }
            let key = layout::run(&run.run)?;
            match json::write(&*self.store, &key, &begun, Condition::IfAbsent).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Precondition { .. }) => {
                    // The SDK repeats a write whose response was lost; the repeat then fails on the first write.
                    let present = json::read::<Run>(&*self.store, &key).await;
                    if present.is_ok_and(|found| found.is_some_and(|(one, _)| one.started == begun.started)) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Precondition { operation: "recording", key: layout::run(&name)?.to_string() })
    }

    /// Writes the record of a run that is at work with what it has decided so far; it still states that the run has not ended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note(&self, run: &Run) -> Result<(), StoreError> {
        json::write(&*self.store, &layout::run(&run.run)?, &not_ended(run), Condition::Always).await.map(drop)
    }

    /// Writes the final record of a run that was begun.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end(&self, run: &Run) -> Result<(), StoreError> {
        json::write(&*self.store, &layout::run(&run.run)?, run, Condition::Always).await.map(drop)
    }

    /// Reads the record of the run called `name`, if there is one.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Document`] if the record does not have the form of this build.
    pub async fn read(&self, name: &str) -> Result<Option<Run>, StoreError> {
        Ok(json::read::<Run>(&*self.store, &layout::run(name)?).await?.map(|(run, _)| run))
    }

    /// Reads how the run called `name` ended, if there is one.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Document`] for what is no record.
    pub async fn status(&self, name: &str) -> Result<Option<RunStatus>, StoreError> {
        Ok(json::read::<RunStatus>(&*self.store, &layout::run(name)?).await?.map(|(status, _)| status))
    }

    /// Returns the names of all runs in ascending order; a name begins with the day of its run.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn names(&self) -> Result<Vec<String>, StoreError> {
        let found = self.store.list(layout::RUNS).await?;
        Ok(found.iter().filter_map(|meta| layout::run_name(&meta.key).map(String::from)).collect())
    }
}

/// Returns the record of a run as long as it has not ended.
fn not_ended(run: &Run) -> Run {
    let detail = "the run began and has not ended: it is still at work, or was ended from outside".into();
    let failed = vec![Failed { target: None, error_type: NOT_ENDED.into(), detail }];
    Run { failed, ..run.clone() }
}

/// How a run ended: the part of a record that every build has written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunStatus {
    /// When it began.
    pub started: DateTime<Utc>,
    nothing_to_do: Option<String>,
    failed: Vec<FailedPart>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct FailedPart {
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    detail: String,
}

impl RunStatus {
    /// Returns whether the run had something to do and no part of it failed.
    pub fn ended_well(&self) -> bool {
        self.nothing_to_do.is_none() && self.failed.is_empty()
    }

    /// Returns why a run that is over did not end well; none if it did, or is still at work.
    pub fn why_not(&self) -> Option<&str> {
        let failed = self.failed.iter().find(|part| part.error_type != NOT_ENDED);
        self.nothing_to_do.as_deref().or(failed.map(|part| part.detail.as_str()))
    }
}

/// The error type in the record of a run that has not ended.
const NOT_ENDED: &str = "Retraining.NotEnded";

/// The record of a retraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub run: String,
    /// The day that the run is as of.
    pub now: NaiveDate,
    /// The taxis.
    pub taxi: String,
    /// When it began, to the millisecond.
    #[serde(serialize_with = "millis")]
    pub started: DateTime<Utc>,
    /// How long it took, seconds.
    pub seconds: f64,
    /// The peak memory of the process so far, bytes; none where the system does not report it.
    #[serde(default)]
    pub memory_peak_bytes: Option<u64>,
    /// The cost in US dollars at Lambda's list price; none elsewhere.
    #[serde(default)]
    pub cost_usd_estimated: Option<f64>,
    /// The version of this code, and the git revision that it was built from.
    pub code_version: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// Why nothing was trained, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_to_do: Option<String>,
    /// The files that were used, the holdout month last.
    pub data: Vec<Fingerprint>,
    /// The training months that were left out.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// The results of the gates for every month that was read, the holdout month last.
    #[serde(default)]
    pub gates: Vec<Inspection>,
    /// Months after the first training month, up to the last full one, that are not available.
    #[serde(default)]
    pub missing: Vec<Month>,
    /// Files among the months whose names are not those of a month, such as `green_tripdata_2021-03 (1).parquet`: nothing is learned
    /// from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrecognised: Vec<String>,
    /// Why the run could not be logged on the tracking server, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untracked: Option<String>,
    /// The share of the rows of the training months that was drawn; none if it was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// What took time, in the order in which it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTaken>,
    /// The result for each target.
    pub targets: Vec<Retrained>,
    /// The parts that failed, if any.
    pub failed: Vec<Failed>,
}

/// A step of a retraining: reading the months, a fit, judging a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTaken {
    /// What was done.
    pub name: String,
    /// Its target, if it concerns only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// When it began, seconds after the run.
    pub began: f64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// How often a state machine had to repeat it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A part of a retraining that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The target; none if the failure concerns all.
    pub target: Option<Target>,
    /// The stable name of the error.
    pub error_type: Cow<'static, str>,
    /// The error with its causes.
    pub detail: String,
}

/// The result of a retraining for one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retrained {
    /// The target.
    pub target: Target,
    /// The family of the best challenger.
    pub family: Family,
    /// The best challenger; all are published.
    pub version: ModelVersion,
    /// The parameters of its fit.
    pub params: FitParams,
    /// The summary of its fit.
    pub course: FitSummary,
    /// What was tried before its fit.
    pub learning: LearningCurve,
    /// Its performance on the holdout month.
    pub challenger: Judged,
    /// The performance of the champion on the same rows, if there was one that this build can read.
    pub champion: Option<Judged>,
    /// The decision.
    pub decision: Decision,
    /// Whether a challenger is the champion now; false if the promotion lost a race or came too late.
    pub promoted: bool,
}

/// Metrics of a model on the holdout month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The model.
    pub version: ModelVersion,
    /// The rules that selected the rows.
    pub rules: Rules,
    /// The metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// The identity of the file of one month: it shows which bytes a model was learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The month.
    pub month: Month,
    /// Its key.
    pub key: String,
    /// Its ETag.
    pub etag: String,
    /// sha256 of its bytes, hex.
    pub sha256: String,
    /// Its rows, before any rule is applied.
    pub rows: u64,
    /// What of its columns was missing or could not be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// A training month that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its key.
    pub key: String,
    /// The reason.
    pub reason: String,
}

/// The windows and parameters that were tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// Every window that was validated on the last training months.
    pub windows: Vec<WindowTried>,
    /// The window that was chosen, months; none if there was only one month.
    pub window: Option<u32>,
    /// The trials of the search, the initial parameters first.
    pub trials: Vec<Trial>,
    /// The loss of the chosen validation fit after each round, see `trees::boost::Objective::loss`.
    #[serde(deserialize_with = "each_or_nan")]
    pub losses: Vec<f64>,
    /// Whether time ran out before everything was tried.
    pub cut: bool,
}

/// The validation of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowTried {
    /// The months that it spans at most.
    pub months: u32,
    /// The number of months that its validation fit learned from.
    pub files: usize,
    /// The deciding metric on the last training months, which the fit did not see: RMSE in minutes, or log loss.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// The number of trees with the lowest loss.
    pub rounds: Option<u32>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialOutcome {
    /// It ended with this loss; smaller is better.
    Complete(#[serde(deserialize_with = "or_nan")] f64),
    /// It fell behind, and was stopped.
    Pruned,
    /// Time ran out.
    Cut,
}

/// One set of parameters that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The parameters.
    pub params: BoostedParams,
    /// How it ended.
    pub outcome: TrialOutcome,
    /// The loss after each round.
    #[serde(skip)]
    pub losses: Vec<f64>,
}

fn millis<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as the retrainer of 2026-11-26 wrote it, of two months; losses after each round are cut to three.
    const RECORD: &str = include_str!("runs-2026-11-26.json");

    #[test]
    fn a_record_of_an_earlier_build_is_read() {
        let run: Run = serde_json::from_str(RECORD).unwrap();
        assert_eq!(run.targets.len(), 2);
        let written = serde_json::to_value(&run).unwrap();
        let before: serde_json::Value = serde_json::from_str(RECORD).unwrap();
        assert_eq!(written, before, "and written alike");
        let status: RunStatus = serde_json::from_str(RECORD).unwrap();
        assert!(status.ended_well());
    }

    /// JSON has no NaN: a model without rows to validate on, or one that predicts no number, must not hide its record.
    #[test]
    fn a_record_of_broken_figures_is_read() {
        let mut run: Run = serde_json::from_str(RECORD).unwrap();
        for target in &mut run.targets {
            target.learning.windows.iter_mut().for_each(|window| window.loss = f64::NAN);
            target.learning.losses.push(f64::INFINITY);
            for trial in &mut target.learning.trials {
                trial.outcome = TrialOutcome::Complete(f64::NAN);
            }
        }
        let mut document = serde_json::to_value(&run).unwrap();
        let metrics = document["targets"][0]["challenger"].as_object_mut().unwrap();
        metrics
            .values_mut()
            .filter(|value| value.is_f64())
            .for_each(|value| *value = serde_json::Value::Null);
        let read: Run = serde_json::from_value(document).unwrap();
        assert!(read.targets[0].challenger.metrics.figures.deciding().1.is_nan());
    }
}
