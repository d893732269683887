//! The retrainer: a day in, a better model out, or a recorded reason why not.
//!
//! One walk, front to back: [`plan`] chooses months (pure); [`gather`] reads them, pinned; each target is fitted,
//! judged on the same rows as its champion, published, and promoted if the decision (pure, `model::decision`) says so;
//! the run is recorded. Promotion is a compare-and-swap: a race that is lost ends cleanly.
//!
//! It does not know how a model is fitted (`model`), nor how the registry keeps it (`platform::registry`).

mod card;
pub mod config;
pub mod gather;
pub mod plan;

use std::sync::Arc;
use std::time::Instant;

use chrono::{NaiveDate, Utc};
use lambda_runtime::LambdaEvent;
use model::artifact::ArtifactError;
use model::candidates::FitParams;
use model::training::TrainError;
use model::{
    Artifact, Decision, Family, Judgement, ModelVersion, Rules, Target, Trained, decide, judge, judge_slices,
    train,
};
use model::{Work, go_on};
use platform::event::{EventError, retrain_request};
use platform::registry::{Champion, Registry, RegistryError};
use platform::store::{Condition, ObjectKey, Store, StoreError, json};
use platform::telemetry::{Metric, emit};
use platform::{Classified, chain};
use serde::Serialize;
use serde_json::{Value, json};

use card::Card;
use gather::{Fingerprint, GatherError, Gathered, LeftOut, gather};
use plan::{PlanError, plan};

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
            Self::Train(_) => "Retraining.Fit",
            Self::Registry(source) => source.error_type(),
        }
    }
    fn is_transient(&self) -> bool {
        match self {
            Self::Event(_) | Self::Train(_) => false,
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
    /// Months to learn from, at most.
    pub training_months: u32,
    /// How to fit.
    pub params: FitParams,
}

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
    /// What kind of model was fitted.
    pub family: Family,
    /// The model that was published.
    pub version: ModelVersion,
    /// How it does on the month to judge on.
    pub challenger: Judgement,
    /// How the champion does on the same rows, if there was one that this build can read.
    pub champion: Option<Judgement>,
    /// What was decided.
    pub decision: Decision,
    /// Whether it is the champion now. A promotion that lost a race is not.
    pub promoted: bool,
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
        let run = self.retrain(now, &targets, &event.context.request_id).await?;
        let metrics = [
            (Metric::ModelsPublished, run.targets.len() as f64),
            (Metric::ModelsPromoted, run.targets.iter().filter(|target| target.promoted).count() as f64),
            (Metric::RetrainingMilliseconds, started.elapsed().as_secs_f64() * 1e3),
        ];
        emit("retrainer", &metrics, &json!({"run": run.run, "nothing_to_do": run.nothing_to_do}));
        Ok(run)
    }

    /// Retrains `targets` as of `now` in a run called after the day and `request`.
    ///
    /// # Errors
    /// [`RetrainError`], the first, after every target was tried and the run recorded. That there is nothing to learn from is no error but a run that says so.
    pub async fn retrain(
        &self,
        now: NaiveDate,
        targets: &[Target],
        request: &str,
    ) -> Result<Run, RetrainError> {
        let mut run = Run {
            run: format!("{now}-{request}"),
            now: now.to_string(),
            taxi: self.settings.taxi.clone(),
            nothing_to_do: None,
            data: Vec::new(),
            left_out: Vec::new(),
            targets: Vec::new(),
            failed: Vec::new(),
        };
        let mut failure = None;
        let mut available = self.data.list("history/").await?;
        available.extend(self.data.list("incoming/").await?);
        match plan(now, &available, &self.settings.taxi, self.settings.training_months) {
            Err(reason @ (PlanError::NothingToJudgeOn { .. } | PlanError::NothingToLearnFrom { .. })) => {
                tracing::warn!(reason = %reason, "nothing to do");
                run.nothing_to_do = Some(reason.to_string());
            }
            Ok(plan) => match gather(&*self.data, &plan).await {
                Err(error) => fail(&mut run, None, error.into(), &mut failure),
                Ok(gathered) => {
                    for target in targets {
                        match self.retrain_target(*target, &gathered, &run.run).await {
                            Ok(retrained) => run.targets.push(retrained),
                            Err(error) => fail(&mut run, Some(*target), error, &mut failure),
                        }
                    }
                    (run.data, run.left_out) = (gathered.fingerprints, gathered.left_out);
                }
            },
        }
        let key = ObjectKey::new(format!("runs/{}/run.json", run.run))?;
        json::write(&*self.models, &key, &run, Condition::Always).await?;
        failure.map_or(Ok(run), Err)
    }

    async fn retrain_target(
        &self,
        target: Target,
        data: &Gathered,
        run: &str,
    ) -> Result<Retrained, RetrainError> {
        let registry = Registry::new(Arc::clone(&self.models));
        let champion = registry.champion(target).await?;
        let family = Family::of(target)[0];
        let mut work = Work { threads: 0, control: &mut go_on };
        let trained = train(target, family, &self.settings.params, &data.train, &mut work)?;

        let challenger = judge(&trained.artifact.model, Rules::Course, &data.validate);
        let incumbent = self.judge_champion(&registry, target, champion.as_ref(), data).await?;
        let decision = match &champion {
            Some(champion) if champion.alias.version == trained.version => Decision {
                promote: false,
                reason: "the same data gave the same model: it is the champion already".into(),
            },
            _ => decide(incumbent.as_ref().map(|judged| &judged.metrics), &challenger.metrics),
        };
        let version = publish(&registry, target, &trained, &challenger, data, run).await?;
        let promoted =
            decision.promote && promote(&registry, target, &version, champion.as_ref(), &decision).await?;
        tracing::info!(%target, %version, promoted, reason = decision.reason, "decided");
        Ok(Retrained { target, family, version, challenger, champion: incumbent, decision, promoted })
    }

    /// How the champion does on the rows of the challenger; none if there is none that can be read.
    async fn judge_champion(
        &self,
        registry: &Registry,
        target: Target,
        champion: Option<&Champion>,
        data: &Gathered,
    ) -> Result<Option<Judgement>, RetrainError> {
        let Some(champion) = champion else { return Ok(None) };
        let read = match registry.artifact(target, &champion.alias.version).await {
            Ok(bytes) => Artifact::from_bytes(&bytes).map_err(|error: ArtifactError| chain(&error)),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => Err(chain(&error)),
        };
        match read {
            Ok(artifact) => Ok(Some(judge(&artifact.model, Rules::Course, &data.validate))),
            Err(reason) => {
                // No function can serve it either: whatever is measured is better.
                tracing::warn!(%target, version = %champion.alias.version, reason, "the champion cannot be read");
                Ok(None)
            }
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
    target: Target,
    trained: &Trained,
    challenger: &Judgement,
    data: &Gathered,
    run: &str,
) -> Result<ModelVersion, RetrainError> {
    let model = &trained.artifact.model;
    let card = Card {
        run,
        trained,
        validate: challenger,
        strict: &judge(model, Rules::Strict, &data.validate),
        slices: &judge_slices(model, Rules::Course, &data.validate),
        data: &data.fingerprints,
    };
    let (document, page) = (card.json(), card.markdown());
    Ok(registry.publish(target, trained.bytes.clone().into(), &document, page).await?)
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
