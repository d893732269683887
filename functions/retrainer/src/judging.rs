//! Judging what was learned: challengers and champion on the same rows, then publishing and promoting.

use chrono::Utc;
use model::artifact::ArtifactError;
use model::decision::{Bars, Challenger, Scored};
use model::{
    Artifact, Decision, JudgingRows, LabelledTrips, Metrics, ModelVersion, Rules, Target, Trained, decide,
    judge as measure, judge_slices,
};
use platform::lambda::Deadline;
use platform::registry::{Champion, Registry, RegistryError};
use platform::{Classified, chain};

use crate::card::Card;
use crate::learn::Contest;
use crate::record::{Judged, Retrained, Run};
use crate::{RESERVE_LAST, RetrainError};

/// Judges what was learned beside the champion, publishes it, and promotes what is to be promoted.
pub(crate) async fn judge(
    registry: &Registry,
    contest: Contest,
    judging: &[LabelledTrips],
    bars: &Bars,
    run: &Run,
    deadline: Deadline,
) -> Result<Retrained, RetrainError> {
    let Contest { target, entrants, course } = contest;
    let rows = JudgingRows::of(target, judging);
    let champion = registry.champion(target).await?;
    let incumbent = score_champion(registry, &rows, champion.as_ref()).await?;
    let challenger = |one: &Trained| Challenger {
        version: one.version.clone(),
        family: one.artifact.lineage.family,
        scored: rows.score(&one.artifact.model),
        defects: one.defects(),
    };
    let challengers = entrants.iter().map(challenger).collect();
    let present = champion.as_ref().map(|champion| &champion.alias.version).zip(incumbent.as_ref());
    let mut decision = decide(&rows, present, challengers, bars);
    for one in &entrants {
        publish(registry, one, &decision, judging, run).await?;
    }
    let is_late = deadline.left() <= RESERVE_LAST;
    if let Some(version) = decision.promote.take_if(|_| is_late) {
        decision.reason = format!("not promoted, {version} came too late: {}", decision.reason);
    }
    let promoted = match &decision.promote {
        Some(version) => promote(registry, target, version, champion.as_ref(), &decision).await?,
        None => false,
    };
    if decision.promote.is_some() && !promoted {
        decision.reason = format!("not promoted, somebody else was first: {}", decision.reason);
    }
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
    let fitted = entrants.iter().find(|one| one.version == best.version);
    let lineage = fitted.map(|one| &one.artifact.lineage);
    Ok(Retrained {
        target,
        params: lineage.map(|lineage| lineage.params.clone()).unwrap_or_default(),
        course: lineage.map(|lineage| lineage.course).unwrap_or_default(),
        family: best.family,
        version: best.version.clone(),
        learning: course,
        challenger: judged(&best.version, &best.metrics),
        champion: present.map(|(version, scored)| judged(version, &scored.metrics)),
        promoted,
        decision,
    })
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
        strict: &measure(model, Rules::Strict, judging),
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
