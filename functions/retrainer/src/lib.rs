//! The retrainer: a day in, a better model out, or a recorded reason why not.
//!
//! One walk, front to back: [`plan`] chooses months (pure); [`gather`] reads them, pinned; every target is learned
//! ([`learn`]); only then the month to judge on is opened, and challengers and champion are asked about the same rows; what the
//! decision (pure, `model::decision`) says is published and promoted; the run is recorded. Promotion is a compare-and-swap: a
//! race that is lost ends cleanly.
//!
//! It does not know how a model is fitted (`model`), nor how the registry keeps it (`platform::registry`).

mod card;
pub mod config;
pub mod gather;
pub mod learn;
pub mod plan;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use lambda_runtime::LambdaEvent;
use model::artifact::ArtifactError;
use model::decision::{Bars, Challenger, Scored};
use model::gates::Inspection;
use model::training::TrainError;
use model::{
    Artifact, Decision, Family, JudgingRows, LabelledTrips, Metrics, ModelVersion, Rules, Target, Trained,
    decide, judge, judge_slices,
};
use platform::event::{EventError, retrain_request};
use platform::lambda::Deadline;
use platform::registry::{Champion, Registry, RegistryError};
use platform::store::{Condition, ObjectKey, Store, StoreError, json};
use platform::telemetry::{Metric, emit};
use platform::{Classified, chain};
use serde::Serialize;
use serde_json::{Value, json};

use card::Card;
use gather::{Fingerprint, GatherError, LeftOut, gather};
use learn::{Contest, Learning, LearningCourse, learn};
use plan::{Plan, PlanError, plan};

/// Why a retraining failed.
#[derive(Debug, thiserror::Error)]
pub enum RetrainError {
    /// The event asks for nothing that is known.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The months could not be listed, or the run not recorded.
    #[error("retraining")]
    Store(#[from] StoreError),
    /// The months could not be read.
    #[error("retraining")]
    Gather(#[from] GatherError),
    /// Nothing could be learned.
    #[error("retraining")]
    Train(#[from] TrainError),
    /// No family learns the target.
    #[error("no model of {target} was learned")]
    NoChallenger {
        /// Which target.
        target: Target,
    },
    /// The registry did not do it.
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

/// How to retrain.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which taxis to learn from.
    pub taxi: String,
    /// How to learn.
    pub learning: Learning,
    /// What a challenger has to reach.
    pub bars: Bars,
}

/// Left of a function's time when learning ends: for judging, publishing and promoting.
const RESERVE: Duration = Duration::from_secs(120);
/// Left when nothing is promoted any more: what is begun then may be cut off in the middle.
const RESERVE_LAST: Duration = Duration::from_secs(10);

/// The function with its ports; clones share them.
#[derive(Debug, Clone)]
pub struct Retrainer {
    data: Arc<dyn Store>,
    models: Arc<dyn Store>,
    settings: Settings,
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
    /// What was tried to come to it.
    pub learning: LearningCourse,
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

impl Retrainer {
    /// A retrainer on these stores.
    pub fn new(data: Arc<dyn Store>, models: Arc<dyn Store>, settings: Settings) -> Self {
        Self { data, models, settings }
    }

    /// Answers one Lambda event.
    ///
    /// # Errors
    /// [`RetrainError`].
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Run, RetrainError> {
        let started = Instant::now();
        let request = retrain_request(&event.payload)?;
        let targets = request.target.map_or(Target::ALL.to_vec(), |target| vec![target]);
        let now = request.now.unwrap_or_else(|| Utc::now().date_naive());
        let deadline = Deadline::of(&event.context);
        let run = self.retrain(now, &targets, &event.context.request_id, deadline).await?;
        let metrics = [
            (Metric::ModelsPublished, run.targets.len() as f64),
            (Metric::ModelsPromoted, run.targets.iter().filter(|target| target.promoted).count() as f64),
            (Metric::RetrainingMilliseconds, started.elapsed().as_secs_f64() * 1e3),
        ];
        emit("retrainer", &metrics, &json!({"run": run.run, "nothing_to_do": run.nothing_to_do}));
        Ok(run)
    }

    /// Retrains `targets` as of `now` in a run called after the day and `request`. Learning ends two minutes before
    /// `deadline`, and nothing is promoted in the last ten seconds.
    ///
    /// # Errors
    /// [`RetrainError`], the first, after every target was tried and the run recorded. That there is nothing to learn from is
    /// no error but a run that says so.
    pub async fn retrain(
        &self,
        now: NaiveDate,
        targets: &[Target],
        request: &str,
        deadline: Deadline,
    ) -> Result<Run, RetrainError> {
        let mut run = Run::new(now, request, &self.settings.taxi);
        let mut failure = None;
        let mut available = self.data.list("history/").await?;
        available.extend(self.data.list("incoming/").await?);
        match plan(now, &available, &self.settings.taxi, &self.settings.learning.windows) {
            Err(reason @ (PlanError::NothingToJudgeOn { .. } | PlanError::NothingToLearnFrom { .. })) => {
                tracing::warn!(reason = %reason, "nothing to do");
                run.nothing_to_do = Some(reason.to_string());
            }
            Ok(plan) => {
                run.missing = plan.missing.iter().map(ToString::to_string).collect();
                if let Err(error) =
                    self.learn_and_judge(&mut run, &plan, targets, deadline, &mut failure).await
                {
                    fail(&mut run, None, error, &mut failure);
                }
            }
        }
        let key = ObjectKey::new(format!("runs/{}/run.json", run.run))?;
        json::write(&*self.models, &key, &run, Condition::Always).await?;
        failure.map_or(Ok(run), Err)
    }

    async fn learn_and_judge(
        &self,
        run: &mut Run,
        plan: &Plan,
        targets: &[Target],
        deadline: Deadline,
        failure: &mut Option<RetrainError>,
    ) -> Result<(), RetrainError> {
        let gathered = gather(&*self.data, plan).await?;
        (run.data, run.left_out) = (gathered.fingerprints, gathered.left_out);
        run.gates = gathered.inspections;
        let mut contests = Vec::new();
        for (number, target) in targets.iter().enumerate() {
            // Each has an even share of the time that is left.
            let share = deadline.left().saturating_sub(RESERVE) / (targets.len() - number) as u32;
            match learn(*target, &gathered.train, &self.settings.learning, Instant::now() + share) {
                Ok(contest) => contests.push(contest),
                Err(error) => fail(run, Some(*target), error.into(), failure),
            }
        }
        let (judging, contests) = gathered.judge.open(contests);
        let judging = [judging];
        for contest in contests {
            let target = contest.target;
            match self.judge(contest, &judging, run, deadline).await {
                Ok(retrained) => run.targets.push(retrained),
                Err(error) => fail(run, Some(target), error, failure),
            }
        }
        Ok(())
    }

    /// Judges what was learned beside the champion, publishes it, and promotes what is to be promoted.
    async fn judge(
        &self,
        contest: Contest,
        judging: &[LabelledTrips],
        run: &Run,
        deadline: Deadline,
    ) -> Result<Retrained, RetrainError> {
        let Contest { target, entrants, course } = contest;
        let registry = Registry::new(Arc::clone(&self.models));
        let rows = JudgingRows::of(target, judging);
        let champion = registry.champion(target).await?;
        let incumbent = score_champion(&registry, &rows, champion.as_ref()).await?;
        let challenger = |one: &Trained| Challenger {
            version: one.version.clone(),
            family: one.artifact.lineage.family,
            scored: rows.score(&one.artifact.model),
            defects: one.defects(),
        };
        let challengers = entrants.iter().map(challenger).collect();
        let present = champion.as_ref().map(|champion| &champion.alias.version).zip(incumbent.as_ref());
        let mut decision = decide(&rows, present, challengers, &self.settings.bars);
        for one in &entrants {
            publish(&registry, one, &decision, judging, run).await?;
        }
        let is_late = deadline.left() <= RESERVE_LAST;
        if let Some(version) = decision.promote.take_if(|_| is_late) {
            decision.reason = format!("not promoted, {version} came too late: {}", decision.reason);
        }
        let promoted = match &decision.promote {
            Some(version) => promote(&registry, target, version, champion.as_ref(), &decision).await?,
            None => false,
        };
        let judged = |version: &ModelVersion, metrics: &Metrics| Judged {
            version: version.clone(),
            rules: Rules::Course,
            metrics: metrics.clone(),
        };
        let best = decision.promote.as_ref().and_then(|version| decision.of(version));
        let Some(best) = best.or(decision.challengers.first()) else {
            return Err(RetrainError::NoChallenger { target });
        };
        tracing::info!(%target, version = %best.version, promoted, reason = decision.reason, "decided");
        Ok(Retrained {
            target,
            family: best.family,
            version: best.version.clone(),
            learning: course,
            challenger: judged(&best.version, &best.metrics),
            champion: present.map(|(version, scored)| judged(version, &scored.metrics)),
            promoted,
            decision,
        })
    }
}

/// What the champion says of the rows; nothing if there is none that can be read.
async fn score_champion(
    registry: &Registry,
    rows: &JudgingRows,
    champion: Option<&Champion>,
) -> Result<Option<Scored>, RetrainError> {
    let Some(champion) = champion else { return Ok(None) };
    let target = rows.target();
    let read = match registry.artifact(target, &champion.alias.version).await {
        Ok(bytes) => Artifact::from_bytes(&bytes).map_err(|error: ArtifactError| chain(&error)),
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => Err(chain(&error)),
    };
    match read {
        Ok(artifact) => Ok(Some(rows.score(&artifact.model))),
        Err(reason) => {
            // No function can serve it either: whatever is measured is better.
            tracing::warn!(%target, version = %champion.alias.version, reason, "the champion cannot be read");
            Ok(None)
        }
    }
}

impl Run {
    fn new(now: NaiveDate, request: &str, taxi: &str) -> Self {
        Self {
            run: format!("{now}-{request}"),
            now: now.to_string(),
            taxi: taxi.to_string(),
            nothing_to_do: None,
            data: Vec::new(),
            left_out: Vec::new(),
            gates: Vec::new(),
            missing: Vec::new(),
            targets: Vec::new(),
            failed: Vec::new(),
        }
    }
}

/// One target's failure is not the other's: it is recorded, and told at the end.
fn fail(run: &mut Run, target: Option<Target>, error: RetrainError, first: &mut Option<RetrainError>) {
    run.failed.push(Failed { target, error_type: error.error_type(), detail: chain(&error) });
    first.get_or_insert(error);
}

async fn publish(
    registry: &Registry,
    trained: &Trained,
    decision: &Decision,
    judging: &[LabelledTrips],
    run: &Run,
) -> Result<(), RetrainError> {
    let model = &trained.artifact.model;
    let Some(assessed) = decision.of(&trained.version) else { return Ok(()) };
    let card = Card {
        run: &run.run,
        trained,
        assessed,
        strict: &judge(model, Rules::Strict, judging),
        slices: &judge_slices(model, Rules::Course, judging),
        data: &run.data,
    };
    let (document, page) = (card.json(), card.markdown());
    registry.publish(model.target(), trained.bytes.clone().into(), &document, page).await?;
    Ok(())
}

async fn promote(
    registry: &Registry,
    target: Target,
    version: &ModelVersion,
    champion: Option<&Champion>,
    decision: &Decision,
) -> Result<bool, RetrainError> {
    let since = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    match registry.promote(target, version, champion, &decision.reason, &since).await {
        Ok(_) => Ok(true),
        Err(error @ RegistryError::Lost { .. }) => {
            tracing::warn!(%target, %version, error_message = chain(&error), "the promotion lost a race");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
