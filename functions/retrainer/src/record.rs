//! The record of a retraining: what was read, tried, measured, decided, and what it took. It stands in the store whatever
//! becomes of the run.

use std::time::Duration;

use chrono::{NaiveDate, SecondsFormat, Utc};
use model::candidates::{FitParams, FitSummary};
use model::{Decision, Family, Metrics, ModelVersion, Rules, Target};
use monitoring::gates::Inspection;
use platform::lambda;
use registry::layout;
use serde::{Deserialize, Serialize};
use store::{Condition, ObjectKey, Store, StoreError, json};

use crate::Settings;
use crate::gather::{Fingerprint, LeftOut};
use crate::learn::LearningCurve;

/// The revision of git that release builds are given; none where there was no git.
const REVISION: Option<&str> = option_env!("TRIPCAST_REVISION");
/// Runs of one name and day; more than this is a mistake in whoever calls.
const SAME_NAMES_MAX: usize = 1000;

/// When a recorded run began, to the millisecond.
#[derive(Deserialize)]
struct Started {
    started: String,
}

/// Creates the record of a run that begins, under a name that no other has: `run` is renamed to `<name>-2` and on where there is
/// one already. Until it is written anew at the end, the record says that the run has not ended.
///
/// # Errors
/// Those of the store.
pub(crate) async fn begin(models: &dyn Store, run: &mut Run) -> Result<ObjectKey, StoreError> {
    let name = run.run.clone();
    let detail = "the run began and has not ended: it is still at work, or was ended from outside".into();
    let mut begun = run.clone();
    begun.failed = vec![Failed { target: None, error_type: "Retraining.NotEnded", detail }];
    for number in 1..=SAME_NAMES_MAX {
        if number > 1 {
            run.run = format!("{name}-{number}");
            begun.run.clone_from(&run.run);
        }
        let key = layout::run(&run.run)?;
        match json::write(models, &key, &begun, Condition::IfAbsent).await {
            Ok(_) => return Ok(key),
            Err(StoreError::Precondition { .. }) => {
                // A write whose answer was lost is sent again by the SDK, and then fails on what it wrote itself.
                let present = json::read::<Started>(models, &key).await;
                if present.is_ok_and(|found| found.is_some_and(|(one, _)| one.started == begun.started)) {
                    return Ok(key);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Precondition { operation: "recording", key: layout::run(&name)?.to_string() })
}

/// What became of a retraining; also its record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its name.
    pub run: String,
    /// The day it was as of.
    pub now: String,
    /// Which taxis.
    pub taxi: String,
    /// When it began, RFC 3339, UTC.
    pub started: String,
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
    pub missing: Vec<String>,
    /// Target by target.
    pub targets: Vec<Retrained>,
    /// What failed, if anything did.
    pub failed: Vec<Failed>,
}

/// A part of a retraining that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Which target's; none if all were to share it.
    pub target: Option<Target>,
    /// A stable name.
    pub error_type: &'static str,
    /// With its causes.
    pub detail: String,
}

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Which model.
    pub version: ModelVersion,
    /// The rules that chose the rows.
    pub rules: Rules,
    /// The figures.
    #[serde(flatten)]
    pub metrics: Metrics,
}

impl Run {
    pub(crate) fn new(now: NaiveDate, request: &str, settings: &Settings) -> Self {
        Self {
            run: format!("{now}-{request}"),
            now: now.to_string(),
            taxi: settings.taxi.clone(),
            started: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            seconds: 0.0,
            memory_peak_bytes: None,
            cost_usd_estimated: None,
            code_version: format!("{}+{}", env!("CARGO_PKG_VERSION"), REVISION.unwrap_or("unknown")),
            seed: settings.learning.params.seed,
            nothing_to_do: None,
            data: Vec::new(),
            left_out: Vec::new(),
            gates: Vec::new(),
            missing: Vec::new(),
            targets: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Notes what it took.
    pub(crate) fn end(&mut self, took: Duration) {
        self.seconds = took.as_secs_f64();
        self.memory_peak_bytes = lambda::memory_peak_bytes();
        self.cost_usd_estimated = lambda::cost_usd(took);
    }
}
