//! Records of retrainings: what was read, tried, measured and decided, and what it took. A record stands in the store from the
//! beginning of its run, whatever becomes of it.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use model::candidates::boosted::BoostedParams;
use model::candidates::{FitParams, FitSummary};
use model::{Decision, Family, Metrics, ModelVersion, Month, Rules, Target};
use monitoring::gates::Inspection;
use serde::{Deserialize, Serialize};
use store::{Condition, Store, StoreError, json};

use crate::layout;

/// Runs of one name and day; more than this is a mistake of the caller.
const SAME_NAMES_MAX: usize = 1000;

/// The records on a store of models.
#[derive(Debug, Clone)]
pub struct Runs {
    store: Arc<dyn Store>,
}

impl Runs {
    /// The records on `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Creates the record of a run that begins, under a name that no other has: `run` is renamed to `<name>-2` and so on where
    /// there is one already. Until [`Runs::end`] writes it again, the record says that the run has not ended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin(&self, run: &mut Run) -> Result<(), StoreError> {
        let name = run.run.clone();
        let detail = "the run began and has not ended: it is still at work, or was ended from outside".into();
        let mut begun = run.clone();
        begun.failed = vec![Failed { target: None, error_type: NOT_ENDED.into(), detail }];
        for number in 1..=SAME_NAMES_MAX {
            if number > 1 {
                run.run = format!("{name}-{number}");
                begun.run.clone_from(&run.run);
            }
            let key = layout::run(&run.run)?;
            match json::write(&*self.store, &key, &begun, Condition::IfAbsent).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Precondition { .. }) => {
                    // The SDK repeats a write whose response was lost, and that then fails on what it wrote itself.
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

    /// Writes the record of a run that has begun and now has ended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end(&self, run: &Run) -> Result<(), StoreError> {
        json::write(&*self.store, &layout::run(&run.run)?, run, Condition::Always).await.map(drop)
    }

    /// The record of the run called `name`, if there is one.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Json`] for what is no record of this build's form.
    pub async fn read(&self, name: &str) -> Result<Option<Run>, StoreError> {
        Ok(json::read::<Run>(&*self.store, &layout::run(name)?).await?.map(|(run, _)| run))
    }

    /// The names of all runs in ascending order; a name begins with the day of its run.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn names(&self) -> Result<Vec<String>, StoreError> {
        let found = self.store.list(layout::RUNS).await?;
        Ok(found.iter().filter_map(|meta| layout::run_name(&meta.key).map(String::from)).collect())
    }
}

impl Run {
    /// Whether the run had something to do and nothing of it failed.
    pub fn ended_well(&self) -> bool {
        self.nothing_to_do.is_none() && self.failed.is_empty()
    }
}

/// The error type in the record of a run that has not ended.
const NOT_ENDED: &str = "Retraining.NotEnded";

/// What became of a retraining; also its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub run: String,
    /// The day it was as of.
    pub now: NaiveDate,
    /// Which taxis.
    pub taxi: String,
    /// When it began, to the millisecond.
    pub started: DateTime<Utc>,
    /// How long it took.
    pub seconds: f64,
    /// The most memory that the process has held so far, bytes; none where the system does not say.
    pub memory_peak_bytes: Option<u64>,
    /// What that costs at Lambda's list price; none elsewhere.
    pub cost_usd_estimated: Option<f64>,
    /// The version of this code, and the revision that it was built from.
    pub code_version: String,
    /// What every random choice is seeded by.
    pub seed: u64,
    /// Why nothing was trained, if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_to_do: Option<String>,
    /// What was read.
    pub data: Vec<Fingerprint>,
    /// What could not be.
    pub left_out: Vec<LeftOut>,
    /// What the gates found of every month that was read, the month to judge on last.
    pub gates: Vec<Inspection>,
    /// Months that are not there, between those that are.
    pub missing: Vec<Month>,
    /// Target by target.
    pub targets: Vec<Retrained>,
    /// What failed, if anything did.
    pub failed: Vec<Failed>,
}

/// A part of a retraining that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which target's; none if all were to share it.
    pub target: Option<Target>,
    /// A stable name.
    pub error_type: Cow<'static, str>,
    /// With its causes.
    pub detail: String,
}

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retrained {
    /// Which target.
    pub target: Target,
    /// What kind of model the best challenger is.
    pub family: Family,
    /// The best challenger; all are published.
    pub version: ModelVersion,
    /// What it was fitted with.
    pub params: FitParams,
    /// How the fit went.
    pub course: FitSummary,
    /// What was tried to come to it.
    pub learning: LearningCurve,
    /// How it does on the month to judge on.
    pub challenger: Judged,
    /// How the champion does on the same rows, if there was one that this build can read.
    pub champion: Option<Judged>,
    /// What was decided.
    pub decision: Decision,
    /// Whether a challenger is the champion now. A promotion that lost a race, or came too late, is not.
    pub promoted: bool,
}

/// Figures on the rows that are judged on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Which model.
    pub version: ModelVersion,
    /// The rules that chose the rows.
    pub rules: Rules,
    /// The figures.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// What was read of one month: enough to say which bytes a model is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Which month.
    pub month: Month,
    /// Where it was read.
    pub key: String,
    /// Its ETag.
    pub etag: String,
    /// sha256 of its bytes, hex.
    pub sha256: String,
    /// Its rows, before any rule.
    pub rows: u64,
}

/// A month that could not be learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Where it is.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What was tried, for the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// Every window that was validated, on the last training months.
    pub windows: Vec<WindowTried>,
    /// The window that was taken, months; none where there was only one month.
    pub window: Option<u32>,
    /// What the search tried, the parameters it began with first.
    pub trials: Vec<Trial>,
    /// Of the validation fit that was taken: the loss after each round, see `trees::boost::Objective::loss`.
    pub losses: Vec<f64>,
    /// Whether time ran out before everything was tried.
    pub cut: bool,
}

/// How one window did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowTried {
    /// Months it spans at most.
    pub months: u32,
    /// How many of them there were.
    pub files: usize,
    /// The figure that decides on the last training months, which it did not see: RMSE in minutes, or log loss.
    pub loss: f64,
    /// Trees that were best.
    pub rounds: Option<u32>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialOutcome {
    /// With this figure, smaller is better.
    Complete(f64),
    /// It fell behind.
    Pruned,
    /// Time ran out.
    Cut,
}

/// One set of parameters that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was tried.
    pub params: BoostedParams,
    /// How it ended.
    pub outcome: TrialOutcome,
    /// The loss after each round.
    #[serde(skip)]
    pub losses: Vec<f64>,
}
