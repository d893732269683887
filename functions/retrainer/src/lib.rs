//! The retrainer learns models as of a day, and promotes a better one or records why not.
//!
//! [`plan`] chooses months (pure); [`gather`] reads them, pinned; [`learn`] decides on fits, which [`fits`] carries out. Only
//! then is the holdout month opened, and challengers and champion predict the same rows. What the decision (pure,
//! `model::decision`) allows is promoted, and the run is recorded. Promotion is a compare-and-swap: a lost race ends
//! cleanly. [`pipeline`] does the same step by step, one invocation for each fit.
//!
//! Deliberately absent: how a model is fitted (`model`), and how the registry stores it (`registry`).

pub mod age;
mod card;
pub mod config;
mod fits;
pub mod gather;
mod interchange;
mod judging;
pub mod learn;
pub mod pipeline;
pub mod plan;
mod record;
pub mod request;
pub mod room;
pub mod search;
mod timing;
mod track;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use dataset::{ReadOptions, UtcTimes};
use lambda_runtime::LambdaEvent;
use model::decision::PromotionPolicy;
use model::training::TrainError;
use model::{Classified, LabelledTrips, Month, Target, chain};
use platform::event::EventError;
use platform::lambda::Deadline;
use platform::telemetry::{Dimension, Metric, emit, emit_by};
use registry::{Registry, RegistryError, layout};
use serde::Serialize;
use serde_json::{Value, json};
use store::{ObjectMeta, Store, StoreError};

use age::Age;
use fits::LocalFits;
use gather::{GatherError, Reading, gather};
use learn::{Comparison, Learning, NotFitted, learn};
use pipeline::StepOutput;
use plan::{Plan, PlanError, plan, unrecognised};
use registry::runs::{Failed, Run, Runs};
use request::{RetrainerEvent, retrainer_event};
use timing::{Stopwatch, TimedFits};
pub use track::Tracker;

/// Why a retraining failed.
#[derive(Debug, thiserror::Error)]
pub enum RetrainError {
    /// The event is of an unknown kind.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The months could not be listed, or the run not recorded.
    #[error("retraining")]
    Store(#[from] StoreError),
    /// The months could not be read.
    #[error("retraining")]
    Gather(#[from] GatherError),
    /// No model could be fitted.
    #[error("retraining")]
    Train(#[from] TrainError),
    /// No family fits the target.
    #[error("no model of {target} was learned")]
    NoChallenger {
        /// The target.
        target: Target,
    },
    /// The registry failed, or refused.
    #[error("retraining")]
    Registry(#[from] RegistryError),
}

impl Classified for RetrainError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(source) => source.error_type(),
            Self::Store(source) => source.error_type(),
            Self::Gather(source) => source.error_type(),
            Self::Train(_) | Self::NoChallenger { .. } => "Retraining.Fit",
            Self::Registry(source) => source.error_type(),
        }
    }
    fn is_transient(&self) -> bool {
        match self {
            Self::Event(_) | Self::Train(_) | Self::NoChallenger { .. } => false,
            Self::Store(source) => source.is_transient(),
            Self::Gather(source) => source.is_transient(),
            Self::Registry(source) => source.is_transient(),
        }
    }
}

/// Settings of a retraining.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The taxis to learn from.
    pub taxi: String,
    /// How to read timestamps that are adjusted to UTC.
    pub utc_times: UtcTimes,
    /// How to learn.
    pub learning: Learning,
    /// What a challenger has to achieve.
    pub policy: PromotionPolicy,
}

/// Time kept after learning: for judging, publishing and promoting.
const RESERVE: Duration = Duration::from_secs(120);
/// Share of the time for validation and search. The final fit takes about as long as its validation fit.
const VALIDATION_SHARE: f64 = 0.6;
/// The step that reads the months and checks them.
const MONTHS: &str = "read and check the months";
/// Nothing is promoted in the last seconds, since it may be cut off in the middle.
const RESERVE_LAST: Duration = Duration::from_secs(10);

/// The response to an event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The record of the retraining.
    Run(Box<Run>),
    /// The ages of the champions and of the last retraining.
    Age(Age),
    /// The output of a step.
    Step(StepOutput),
}

/// The retrainer with its ports; clones share them.
#[derive(Debug, Clone)]
pub struct Retrainer {
    data: Arc<dyn Store>,
    models: Arc<dyn Store>,
    settings: Settings,
    tracker: Option<Tracker>,
}

impl Retrainer {
    /// Creates a retrainer on these stores.
    pub fn new(data: Arc<dyn Store>, models: Arc<dyn Store>, settings: Settings) -> Self {
        Self { data, models, settings, tracker: None }
    }

    /// Sets the tracker that logs every run.
    pub fn tracked_by(self, tracker: Option<Tracker>) -> Self {
        Self { tracker, ..self }
    }

    /// Handles one Lambda event.
    ///
    /// # Errors
    /// [`RetrainError`].
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Answer, RetrainError> {
        let started = Instant::now();
        let request = match retrainer_event(&event.payload)? {
            RetrainerEvent::Retrain(request) => request,
            RetrainerEvent::ReportAge => return self.report_age().await.map(Answer::Age),
            RetrainerEvent::Step(step) => {
                let deadline = Deadline::from_context(&event.context);
                return self.step(*step, deadline).await.map(Answer::Step);
            }
        };
        let targets = request.target.map_or(Target::ALL.to_vec(), |target| vec![target]);
        let now = request.now.unwrap_or_else(|| Utc::now().date_naive());
        let deadline = Deadline::from_context(&event.context);
        let name = request.name.unwrap_or_else(|| event.context.request_id.clone());
        let run = self.retrain(now, &targets, &name, deadline).await?;
        emit_run(&run, started.elapsed());
        Ok(Answer::Run(Box::new(run)))
    }

    async fn report_age(&self) -> Result<Age, RetrainError> {
        let age = Age::measure(&self.models, Utc::now()).await?;
        emit("retrainer", &age.metrics(), &json!({"report": "age"}));
        Ok(age)
    }

    /// Retrains `targets` as of `now` in a run named after the day and `request`, with a number if that name is taken.
    /// Learning ends two minutes before `deadline`, and nothing is promoted in the last ten seconds.
    ///
    /// # Errors
    /// The first [`RetrainError`], after all targets were tried and the run recorded. Nothing to do is no error.
    pub async fn retrain(
        &self,
        now: NaiveDate,
        targets: &[Target],
        request: &str,
        deadline: Deadline,
    ) -> Result<Run, RetrainError> {
        let started = Instant::now();
        let runs = Runs::new(Arc::clone(&self.models));
        let mut run = record::begun(now, request, &self.settings);
        runs.begin(&mut run).await?;
        let mut failure = None;
        match self.planned(&mut run).await {
            Err(error) => fail(&mut run, None, error.into(), &mut failure),
            Ok(None) => (),
            Ok(Some(plan)) => {
                if let Err(error) =
                    self.learn_and_judge(&mut run, &plan, targets, deadline, &mut failure).await
                {
                    fail(&mut run, None, error, &mut failure);
                }
            }
        }
        record::account(&mut run, started.elapsed());
        runs.end(&run).await?;
        self.track(&mut run, deadline).await;
        failure.map_or(Ok(run), Err)
    }

    /// Plans a run as of its day; none if there is nothing to do, and the record says why.
    async fn planned(&self, run: &mut Run) -> Result<Option<Plan>, StoreError> {
        let available = self.available().await?;
        run.unrecognised = unrecognised(&available);
        match plan(run.now, &available, &self.settings.taxi, &self.settings.learning.windows) {
            Ok(plan) => {
                run.missing.clone_from(&plan.missing);
                Ok(Some(plan))
            }
            Err(reason @ (PlanError::NothingToJudgeOn { .. } | PlanError::NothingToLearnFrom { .. })) => {
                tracing::warn!(reason = %reason, "nothing to do");
                run.nothing_to_do = Some(reason.to_string());
                Ok(None)
            }
        }
    }

    /// Logs a run that has ended on the tracking server, if there is one; the record says why not.
    async fn track(&self, run: &mut Run, deadline: Deadline) {
        let Some(tracker) = &self.tracker else { return };
        let runs = Runs::new(Arc::clone(&self.models));
        run.untracked = tracker.log(run, &Registry::new(Arc::clone(&self.models)), deadline).await;
        if run.untracked.is_some()
            && let Err(error) = runs.end(run).await
        {
            tracing::warn!(
                error_message = chain(&error),
                "the record does not say that the run is not tracked"
            );
        }
    }

    fn reading(&self) -> Reading {
        let Settings { utc_times, learning, .. } = &self.settings;
        let options = ReadOptions { utc_times: *utc_times, ..ReadOptions::default() };
        Reading { options, rows_max: learning.rows_max, room: learning.room }
    }

    /// Lists the objects that may be months to learn from.
    async fn available(&self) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut available = self.data.list(layout::HISTORY).await?;
        available.extend(self.data.list(layout::INCOMING).await?);
        Ok(available)
    }

    async fn learn_and_judge(
        &self,
        run: &mut Run,
        plan: &Plan,
        targets: &[Target],
        deadline: Deadline,
        failure: &mut Option<RetrainError>,
    ) -> Result<(), RetrainError> {
        let watch = Stopwatch::start(run.started);
        let gathered = gather(&*self.data, plan, &self.reading(), deadline).await?;
        run.steps.push(watch.stop(MONTHS, None));
        (run.data, run.left_out) = (gathered.fingerprints, gathered.left_out);
        run.gates = gathered.inspections;
        run.share = Some(gathered.share).filter(|share| *share < 1.0);
        let train = Arc::new(gathered.train);
        let mut comparisons = Vec::new();
        for (number, &target) in targets.iter().enumerate() {
            // Each target has an even share of the time that is left.
            let share = deadline.left().saturating_sub(RESERVE) / (targets.len() - number) as u32;
            let (train, learning) = (Arc::clone(&train), self.settings.learning.clone());
            let (began, until) = (run.started, Instant::now() + share);
            let (learned, steps) = compute(move || {
                let fits = LocalFits::new(target, &train, &learning, until, VALIDATION_SHARE);
                let fits = TimedFits::new(fits, began);
                let months: Vec<Month> = train.iter().filter_map(|file| file.month).collect();
                (learn(target, &months, &learning, &fits), fits.into_steps())
            })
            .await;
            run.steps.extend(steps);
            match learned {
                Ok(comparison) => comparisons.push(comparison),
                Err(NotFitted::Failed(error)) => fail(run, Some(target), error.into(), failure),
                Err(NotFitted::Missing) => {
                    fail(run, Some(target), RetrainError::NoChallenger { target }, failure);
                }
            }
        }
        let (rows, comparisons) = gathered.judge.open(comparisons);
        self.judge_all(run, comparisons, rows, deadline, failure).await;
        Ok(())
    }

    /// Judges the candidates of every target on the holdout month, and records what became of them.
    async fn judge_all(
        &self,
        run: &mut Run,
        comparisons: Vec<Comparison>,
        holdout: LabelledTrips,
        deadline: Deadline,
        failure: &mut Option<RetrainError>,
    ) {
        let judging = Arc::new([holdout]);
        let registry = Registry::new(Arc::clone(&self.models));
        for comparison in comparisons {
            let target = comparison.target;
            let watch = Stopwatch::start(run.started);
            let judged =
                judging::judge(&registry, comparison, &judging, &self.settings.policy, run, deadline).await;
            run.steps.push(watch.stop("judge, publish, promote", Some(target)));
            match judged {
                Ok(retrained) => {
                    run.targets.push(retrained);
                    // What has been promoted stands in the record even if the run is ended from outside.
                    if let Err(error) = Runs::new(Arc::clone(&self.models)).note(run).await {
                        tracing::warn!(error_message = chain(&error), "the record lacks a decision");
                    }
                }
                Err(error) => fail(run, Some(target), error, failure),
            }
        }
    }
}

/// Emits the metrics of a run that has ended.
fn emit_run(run: &Run, took: Duration) {
    let notes = json!({"run": run.run, "nothing_to_do": run.nothing_to_do});
    for retrained in &run.targets {
        let promoted = f64::from(u8::from(retrained.promoted));
        let metrics = [(Metric::ModelsPublished, 1.0), (Metric::ModelsPromoted, promoted)];
        let dimensions = [(Dimension::Target, retrained.target.name()), (Dimension::Taxi, &run.taxi)];
        emit_by("retrainer", &dimensions, &metrics, &notes);
    }
    emit("retrainer", &[(Metric::RetrainingMilliseconds, took.as_secs_f64() * 1e3)], &notes);
}

/// Runs work that takes seconds or minutes of CPU time on a thread of its own, so that it blocks no async task.
pub(crate) async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Work that has begun is never cancelled; other work is only when the runtime ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Records the failure of one target, which does not stop the other, and keeps the first to return at the end.
fn fail(run: &mut Run, target: Option<Target>, error: RetrainError, first: &mut Option<RetrainError>) {
    run.failed.push(Failed { target, error_type: error.error_type().into(), detail: chain(&error) });
    first.get_or_insert(error);
}

#[cfg(test)]
mod tests;
