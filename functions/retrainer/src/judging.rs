//! Judges challengers and champion on the same rows, then publishes and promotes.

use std::sync::Arc;

use chrono::Utc;
use model::artifact::ArtifactError;
use model::card::Findings;
use model::decision::{Challenger, HoldoutScore, PromotionPolicy};
use model::{
    Artifact, Decision, Holdout, LabelledTrips, Lineage, Metrics, ModelVersion, Rules, Target, Trained,
    decide,
};
use model::{Classified, chain};
use monitoring::Profile;
use platform::lambda::Deadline;
use registry::runs::{Judged, Retrained, Run};
use registry::{Champion, Registry, RegistryError};
use store::{ObjectKey, json};

use crate::card::{Card, Previous};
use crate::learn::Comparison;

use crate::{RESERVE_LAST, RetrainError, compute};

/// Compares the candidates with the champion, publishes them, and promotes the one that the decision names, if any.
pub(crate) async fn judge(
    registry: &Registry,
    comparison: Comparison,
    judging: &Arc<[LabelledTrips; 1]>,
    policy: &PromotionPolicy,
    run: &Run,
    deadline: Deadline,
) -> Result<Retrained, RetrainError> {
    let Comparison { target, candidates, curve } = comparison;
    let champion = registry.champion(target).await?;
    let incumbent = read_champion(registry, target, champion.as_ref()).await?;
    let measuring = Arc::clone(judging);
    let measured = compute(move || Measured::new(target, candidates, incumbent, &*measuring)).await;
    let Measured { rows, candidates, challengers, findings, incumbent } = measured;
    let present = champion.as_ref().map(|champion| &champion.alias.version).zip(incumbent.as_ref());
    let beside = present.map(|(version, (scored, _))| (version, scored));
    let mut decision = decide(&rows, beside, challengers, policy);
    for (one, findings) in candidates.iter().zip(&findings) {
        let previous = present.map(|(version, (scored, artifact))| Previous {
            version: version.as_str(),
            artifact,
            metrics: &scored.metrics,
        });
        publish(registry, one, &decision, findings, previous, run).await?;
    }
    let is_late = deadline.left() <= RESERVE_LAST;
    if let Some(version) = decision.promote.take_if(|_| is_late) {
        decision.reason = format!("not promoted, no time was left to promote {version}: {}", decision.reason);
    }
    let promoted = match &decision.promote {
        Some(version) => promote(registry, target, version, champion.as_ref(), &decision).await?,
        None => false,
    };
    if decision.promote.is_some() && !promoted {
        decision.reason = format!("not promoted, another promotion was first: {}", decision.reason);
    }
    let judged = |version: &ModelVersion, metrics: &Metrics| Judged {
        version: version.clone(),
        rules: Rules::Course,
        metrics: metrics.clone(),
    };
    let best = decision.promote.as_ref().and_then(|version| decision.assessment(version));
    let Some(best) = best.or(decision.challengers.first()) else {
        return Err(RetrainError::NoChallenger { target });
    };
    tracing::info!(%target, version = %best.version, promoted, reason = decision.reason, "decided");
    let fitted = candidates.iter().find(|one| one.version == best.version);
    let lineage = fitted.map(|one| &one.artifact.lineage);
    Ok(Retrained {
        target,
        params: lineage.map(|lineage| lineage.params.clone()).unwrap_or_default(),
        course: lineage.map(|lineage| lineage.course).unwrap_or_default(),
        family: best.family,
        version: best.version.clone(),
        learning: curve,
        challenger: judged(&best.version, &best.metrics),
        champion: beside.map(|(version, scored)| judged(version, &scored.metrics)),
        promoted,
        decision,
    })
}

/// Champion and challengers, scored on the same rows.
struct Measured {
    rows: Holdout,
    candidates: Vec<Trained>,
    challengers: Vec<Challenger>,
    /// One for each candidate.
    findings: Vec<Findings>,
    incumbent: Option<(HoldoutScore, Artifact)>,
}

impl Measured {
    fn new(
        target: Target,
        candidates: Vec<Trained>,
        incumbent: Option<Artifact>,
        judging: &[LabelledTrips],
    ) -> Self {
        let rows = Holdout::new(target, judging);
        let incumbent = incumbent.map(|artifact| (rows.score(&artifact.model), artifact));
        let mut findings = Vec::new();
        let mut challenger = |one: &Trained| {
            let scored = rows.score(&one.artifact.model);
            findings.push(rows.findings(&one.artifact.model, &scored, judging));
            let (version, family) = (one.version.clone(), one.artifact.lineage.family);
            Challenger { version, family, scored, defects: one.defects() }
        };
        let challengers = candidates.iter().map(&mut challenger).collect();
        Self { rows, challengers, findings, incumbent, candidates }
    }
}

/// Reads the champion; none if there is none or it cannot be read.
async fn read_champion(
    registry: &Registry,
    target: Target,
    champion: Option<&Champion>,
) -> Result<Option<Artifact>, RetrainError> {
    let Some(champion) = champion else { return Ok(None) };
    let read = match registry.artifact(target, &champion.alias.version).await {
        Ok(bytes) => Artifact::from_bytes(&bytes).map_err(|error: ArtifactError| chain(&error)),
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => Err(chain(&error)),
    };
    // No function can serve an unreadable champion either, so any candidate that can be measured is better.
    let log_reason = |reason: &String| {
        tracing::warn!(%target, version = %champion.alias.version, reason, "the champion cannot be read");
    };
    Ok(read.inspect_err(log_reason).ok())
}

async fn publish(
    registry: &Registry,
    trained: &Trained,
    decision: &Decision,
    findings: &Findings,
    previous: Option<Previous<'_>>,
    run: &Run,
) -> Result<(), RetrainError> {
    let Some(assessed) = decision.assessment(&trained.version) else { return Ok(()) };
    let profile = training_profile(run, &trained.artifact.lineage);
    let (run, made, data) = (&run.run, run.started, &run.data);
    let card = Card { run, made, trained, assessed, findings, data, previous };
    let (document, markdown, html) = card.files();
    let target = trained.artifact.lineage.target;
    let files = [
        ("card.json", json::bytes(&ObjectKey::new("card.json")?, &document)?),
        ("card.md", markdown.into()),
        ("card.html", html.into()),
        ("profile.json", json::line(&ObjectKey::new("profile.json")?, &profile)?.into()),
    ];
    registry.publish(target, trained.bytes.clone().into(), &files).await?;
    Ok(())
}

/// Returns the profile of the months that a model was learned from, with which monitoring compares later trips.
fn training_profile(run: &Run, lineage: &Lineage) -> Profile {
    let is_learned = |sha256: &str| lineage.data.iter().any(|file| file.sha256 == sha256);
    let mut profile = Profile::default();
    for file in run.data.iter().filter(|file| is_learned(&file.sha256)) {
        let inspection = run.gates.iter().find(|gates| gates.figures.month == Some(file.month));
        inspection.into_iter().for_each(|gates| profile.merge(&gates.figures.profile));
    }
    profile
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
