//! A retraining step by step, led by a state machine (`Training` in template.yaml): gates, fits in parallel, judging.
//!
//! Each fit is an invocation of its own. [`Step::Next`] walks through [`crate::learn`] with the fits that are done and says which
//! are missing, until none is; so both ways lead to the same models. What a step leaves lies below `fits/<run>/`, and a repeated
//! step finds it there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use model::candidates::ValidationFit;
use model::training::TrainError;
use model::{LabelledTrips, Month, Target, Trained, chain};
use monitoring::Profile;
use platform::lambda::Deadline;
use registry::layout;
use registry::runs::{Failed, Retrained, Run, Runs, StepTaken};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Condition, Get, ObjectKey, StoreError, json};

use crate::fits::{FitResult, LocalFits, RecordedFit, RecordedFits, name_of};
use crate::gather::{HoldoutMonth, gather, read, rows_of};
use crate::learn::{Comparison, FitTask, Fits, Learning, NotFitted, ValidationTask, learn};
use crate::plan::MonthFile;
use crate::request::{Step, StepError, retrain_request};
use crate::timing::Stopwatch;
use crate::{MONTHS, RESERVE, RESERVE_LAST, RetrainError, Retrainer, compute, emit_run, fail, record};

/// What the steps of a run hand on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    /// The record so far.
    run: Run,
    targets: Vec<Target>,
    /// The months that passed the gates, oldest first.
    train: Vec<MonthFile>,
    /// The holdout month.
    judge: MonthFile,
    /// The share of the rows of the training months that is drawn; a run that an earlier build began has all.
    #[serde(default = "whole")]
    share: f64,
    /// The profiles of the months in the record, which has none of them itself.
    #[serde(default)]
    profiles: Vec<Profile>,
}

fn whole() -> f64 {
    1.0
}

/// The output of a step; the state machine reads `nothing_to_do`, `done` and `tasks`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StepOutput {
    /// The run.
    pub run: String,
    /// Whether there are no months to learn from or to judge on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_to_do: Option<bool>,
    /// Whether no fit is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<bool>,
    /// The fits to do next, in any order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<FitTask>,
    /// What became of each target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetOutcome>,
}

/// What became of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetOutcome {
    target: Target,
    version: String,
    promoted: bool,
    reason: String,
}

impl Retrainer {
    /// Does one step of a retraining.
    ///
    /// # Errors
    /// [`RetrainError`]; Step Functions repeats the step, and then has the run abandoned.
    pub async fn step(&self, step: Step, deadline: Deadline) -> Result<StepOutput, RetrainError> {
        match step {
            Step::Begin { request, name } => {
                let request = if request.is_null() { json!({}) } else { request };
                let request = retrain_request(&request)?;
                let targets = request.target.map_or(Target::ALL.to_vec(), |target| vec![target]);
                let now = request.now.unwrap_or_else(|| Utc::now().date_naive());
                self.begin(record::begun(now, &name, &self.settings), targets, deadline).await
            }
            Step::Next { run } => self.next(&run).await,
            Step::Fit { run, task, retries } => self.fit(&run, task, retries, deadline).await,
            Step::Judge { run } => self.judge_fits(&run, deadline).await,
            Step::Abandon { run, error } => self.abandon(&run, error).await,
        }
    }

    async fn begin(
        &self,
        mut run: Run,
        targets: Vec<Target>,
        deadline: Deadline,
    ) -> Result<StepOutput, RetrainError> {
        let runs = Runs::new(Arc::clone(&self.models));
        runs.begin(&mut run).await?;
        let mut output =
            StepOutput { run: run.run.clone(), nothing_to_do: Some(false), ..StepOutput::default() };
        let plan = match self.planned(&mut run).await {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                output.nothing_to_do = Some(true);
                runs.end(&run).await?;
                return Ok(output);
            }
            Err(error) => return self.end_with(run, error.into()).await,
        };
        let watch = Stopwatch::start(run.started);
        let gathered = match gather(&*self.data, &plan, &self.reading(), deadline).await {
            Ok(gathered) => gathered,
            Err(error) => return self.end_with(run, error.into()).await,
        };
        run.steps.push(watch.stop(MONTHS, None));
        let keys: Vec<&str> = gathered.fingerprints.iter().map(|file| file.key.as_str()).collect();
        let train = plan.train.into_iter().filter(|file| keys.contains(&file.key.as_str())).collect();
        run.gates = gathered.inspections;
        run.share = Some(gathered.share).filter(|share| *share < 1.0);
        (run.data, run.left_out) = (gathered.fingerprints, gathered.left_out);
        let profiles = run.gates.iter().map(|gates| gates.figures.profile.clone()).collect();
        let state = State { run, targets, train, judge: plan.judge, share: gathered.share, profiles };
        let key = layout::steps(&state.run.run)?;
        match json::write(&*self.models, &key, &state, Condition::Always).await {
            Ok(_) => Ok(output),
            Err(error) => self.end_with(state.run, error.into()).await,
        }
    }

    /// Records an error that ends the run, and returns it.
    async fn end_with(&self, mut run: Run, error: RetrainError) -> Result<StepOutput, RetrainError> {
        let mut first = None;
        fail(&mut run, None, error, &mut first);
        account(&mut run);
        Runs::new(Arc::clone(&self.models)).end(&run).await?;
        first.map_or(Ok(StepOutput::default()), Err)
    }

    async fn next(&self, run: &str) -> Result<StepOutput, RetrainError> {
        let state = self.state(run).await?;
        let ((done, _), months) = (self.done(run).await?, months(&state.train));
        let (targets, how) = (state.targets, self.settings.learning.clone());
        let tasks = compute(move || {
            let fits = RecordedFits::new(done, BTreeMap::new());
            // What cannot be learned at all is an error of the last step, which names it in the record.
            targets.into_iter().for_each(|target| drop(learn(target, &months, &how, &fits)));
            fits.into_missing()
        })
        .await;
        Ok(StepOutput { run: run.into(), done: Some(tasks.is_empty()), tasks, ..StepOutput::default() })
    }

    async fn fit(
        &self,
        run: &str,
        task: FitTask,
        retries: u32,
        deadline: Deadline,
    ) -> Result<StepOutput, RetrainError> {
        let (name, output) = (name_of(&task), StepOutput { run: run.into(), ..StepOutput::default() });
        let key = layout::fit(run, &name, "json")?;
        if json::read::<RecordedFit>(&*self.models, &key).await?.is_some() {
            return Ok(output);
        }
        let state = self.state(run).await?;
        let watch = Stopwatch::start(state.run.started);
        let mut files = Vec::new();
        for (at, month) in state.train.iter().enumerate() {
            if at < task.first_month() {
                files.push(LabelledTrips::default());
                continue;
            }
            let mut file = read(&*self.data, month, &self.reading(), rows_of(&files)).await?.0;
            file.draw(state.share);
            files.push(file);
        }
        let found = match &task {
            FitTask::Finish(task) => {
                let name = name_of(&FitTask::Validate(task.clone()));
                json::read::<RecordedFit>(&*self.models, &layout::fit(run, &name, "json")?)
                    .await?
                    .map(|(done, _)| done.result)
            }
            _ => None,
        };
        let (how, step_name, target) = (self.settings.learning.clone(), task.name(), task.target());
        // A model is measured on its rows and written after its fit.
        let reserve = if matches!(task, FitTask::Validate(_)) { RESERVE_LAST } else { RESERVE };
        let until = Instant::now() + deadline.left().saturating_sub(reserve);
        let fitted = compute(move || carry_out(&task, found, &files, &how, until)).await;
        let result = match fitted {
            Ok(Fitted::Validated(fit)) => FitResult::Validated(fit.validated()),
            Ok(Fitted::Trained(trained)) => {
                let artifact = layout::fit(run, &name, "bin")?;
                self.models.put(&artifact, Bytes::from(trained.bytes), Condition::Always).await?;
                FitResult::Trained { train: trained.train, dropped: trained.dropped }
            }
            Err(error) => {
                tracing::warn!(error_message = chain(&error), "a fit failed");
                FitResult::Failed(chain(&error))
            }
        };
        let step = StepTaken { retries, ..watch.stop(&step_name, Some(target)) };
        let done = RecordedFit { step: Some(step), result };
        // Last, so that where it exists, the artifact does too.
        json::write_line(&*self.models, &key, &done, Condition::Always).await?;
        Ok(output)
    }

    async fn judge_fits(&self, run: &str, deadline: Deadline) -> Result<StepOutput, RetrainError> {
        let runs = Runs::new(Arc::clone(&self.models));
        let State { mut run, mut targets, judge, train, share: _, profiles } = self.state(run).await?;
        for (gates, profile) in run.gates.iter_mut().zip(profiles) {
            gates.figures.profile = profile;
        }
        // A repeated step judges only what the record lacks: a new champion would be judged against itself.
        if let Some(found) = runs.read(&run.run).await? {
            if found.failed.is_empty() {
                return Ok(output_of(&found));
            }
            targets.retain(|target| found.targets.iter().all(|judged| judged.target != *target));
            run.targets = found.targets;
            enter_steps(&mut run, found.steps);
        }
        let months = months(&train);
        let (done, steps) = self.done(&run.run).await?;
        enter_steps(&mut run, steps);
        let mut artifacts = BTreeMap::new();
        for name in
            done.iter().filter(|(_, done)| matches!(done, FitResult::Trained { .. })).map(|(name, _)| name)
        {
            let key = layout::fit(&run.run, name, "bin")?;
            artifacts.insert(name.clone(), self.models.get(&key, Get::default()).await?.bytes);
        }
        let how = self.settings.learning.clone();
        let learned = compute(move || {
            let fits = RecordedFits::new(done, artifacts);
            let learned = targets.into_iter().map(|target| (target, learn(target, &months, &how, &fits)));
            learned.collect::<Vec<_>>()
        })
        .await;
        let mut failure = None;
        let mut comparisons: Vec<Comparison> = Vec::new();
        for (target, learned) in learned {
            match learned {
                Ok(comparison) => comparisons.push(comparison),
                Err(NotFitted::Failed(error)) => fail(&mut run, Some(target), error.into(), &mut failure),
                Err(NotFitted::Missing) => {
                    fail(&mut run, Some(target), RetrainError::NoChallenger { target }, &mut failure);
                }
            }
        }
        let holdout = HoldoutMonth::read(&*self.data, &judge, &self.reading()).await?;
        let (rows, comparisons) = holdout.open(comparisons);
        self.judge_all(&mut run, comparisons, rows, deadline, &mut failure).await;
        let took = account(&mut run);
        runs.end(&run).await?;
        self.track(&mut run, deadline).await;
        emit_run(&run, took);
        failure.map_or(Ok(output_of(&run)), Err)
    }

    async fn abandon(&self, run: &str, error: StepError) -> Result<StepOutput, RetrainError> {
        let runs = Runs::new(Arc::clone(&self.models));
        let recorded = runs.status(run).await?;
        // What a step has recorded itself stays.
        if recorded.is_some_and(|status| status.why_not().is_none() && !status.ended_well()) {
            let mut run = self.state(run).await?.run;
            run.failed.push(Failed { target: None, error_type: error.error.into(), detail: error.cause });
            if let Some(found) = runs.read(&run.run).await? {
                run.targets = found.targets;
                enter_steps(&mut run, found.steps);
            }
            // The record of why it ended must not depend on what it ended in.
            let steps = self.done(&run.run).await.map(|(_, steps)| steps).unwrap_or_default();
            enter_steps(&mut run, steps);
            account(&mut run);
            runs.end(&run).await?;
        }
        Ok(StepOutput { run: run.into(), ..StepOutput::default() })
    }

    async fn state(&self, run: &str) -> Result<State, RetrainError> {
        let key = layout::steps(run)?;
        match json::read::<State>(&*self.models, &key).await? {
            Some((state, _)) => Ok(state),
            None => {
                Err(StoreError::NotFound { operation: "reading the steps of", key: key.to_string() }.into())
            }
        }
    }

    /// Reads what the fits have left, by their names, without the predictions of validation fits: only what finishes them needs those.
    /// The second value is when they were carried out.
    async fn done(&self, run: &str) -> Result<(BTreeMap<String, FitResult>, Vec<StepTaken>), RetrainError> {
        let folder = layout::fits(run);
        let (mut done, mut steps) = (BTreeMap::new(), Vec::new());
        for meta in self.models.list(&folder).await? {
            let name = |key: &ObjectKey| {
                Some(key.as_str().strip_prefix(&folder)?.strip_suffix(".json")?.to_string())
            };
            if let Some(name) = name(&meta.key)
                && let Some((mut one, _)) = json::read::<RecordedFit>(&*self.models, &meta.key).await?
            {
                if let FitResult::Validated(found) = &mut one.result {
                    found.predicted = Vec::new();
                }
                done.insert(name, one.result);
                steps.extend(one.step);
            }
        }
        Ok((done, steps))
    }
}

/// Adds steps to a record, as they began; a repeated step finds some there already.
fn enter_steps(run: &mut Run, steps: Vec<StepTaken>) {
    for step in steps {
        if !run.steps.contains(&step) {
            run.steps.push(step);
        }
    }
    run.steps.sort_by(|one, other| one.began.total_cmp(&other.began));
}

/// Records how long a run took, from its beginning on. What its invocations cost is not known to any of them.
fn account(run: &mut Run) -> Duration {
    let took = (Utc::now() - run.started).to_std().unwrap_or_default();
    run.seconds = took.as_secs_f64();
    took
}

enum Fitted {
    Validated(ValidationFit),
    Trained(Box<Trained>),
}

fn carry_out(
    task: &FitTask,
    found: Option<FitResult>,
    files: &[LabelledTrips],
    how: &Learning,
    until: Instant,
) -> Result<Fitted, TrainError> {
    let here = LocalFits::new(task.target(), files, how, until, 1.0);
    let missing =
        || TrainError::Recorded { target: task.target(), reason: "its validation fit is missing".into() };
    let again = |task: &ValidationTask| match found {
        Some(FitResult::Validated(found)) => {
            ValidationFit::from_validated(task.target, task.family, found, &here.later(task))
        }
        _ => None,
    };
    let fitted = match task {
        FitTask::Validate(task) => {
            here.validate(task, &mut |_: &[f64]| false).map(|(fit, _)| Fitted::Validated(fit))
        }
        FitTask::Finish(validated) => {
            let found = again(validated).ok_or_else(missing)?;
            here.finish(task, Some(&found)).map(|trained| Fitted::Trained(Box::new(trained)))
        }
        FitTask::Alone { .. } => here.finish(task, None).map(|trained| Fitted::Trained(Box::new(trained))),
    };
    fitted.map_err(|error| match error {
        NotFitted::Failed(error) => error,
        NotFitted::Missing => missing(),
    })
}

fn months(files: &[MonthFile]) -> Vec<Month> {
    files.iter().map(|file| file.month).collect()
}

fn output_of(run: &Run) -> StepOutput {
    let decided = |one: &Retrained| TargetOutcome {
        target: one.target,
        version: one.version.to_string(),
        promoted: one.promoted,
        reason: one.decision.reason.clone(),
    };
    StepOutput {
        run: run.run.clone(),
        targets: run.targets.iter().map(decided).collect(),
        ..StepOutput::default()
    }
}
