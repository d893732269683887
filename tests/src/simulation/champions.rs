//! Histories of promotions and rollbacks: many hands on one registry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Target;
use model::artifact::sha256_hex;
use registry::{Alias, NO_CARD, Registry, RegistryError};
use tokio::time::sleep;

use super::chance::Chance;
use super::invocation::{Ended, Environment, limit};
use super::models::KNOWN;
use super::store::Bucket;
use super::{Broken, Counts, side_by_side};
use crate::promise;

/// Calls of a hundred that end in a fault, while it storms.
const FAULTS: u64 = 20;
const TARGET: Target = Target::Duration;
/// Time over which champions change.
const STORM: Duration = Duration::from_secs(240);
/// Time after which no late call arrives any more.
const LATE: Duration = Duration::from_secs(120);

/// What somebody who changed the champion knows of it.
#[derive(Debug, Clone)]
enum Known {
    /// It was acknowledged.
    Done(Alias),
    /// Somebody else was faster: nothing was changed by this reason.
    Lost(String),
}

/// Runs a history.
///
/// # Errors
/// The first promise that was broken.
pub async fn run(chance: &Chance) -> Result<Counts, Broken> {
    let bucket = Bucket::new(chance, FAULTS);
    let change = |number| change(bucket.clone(), chance.clone(), number);
    let hands: Vec<_> = (0..2 + chance.below(3)).map(change).collect();
    let (known, read, ()) = tokio::join!(side_by_side(hands), watch(&bucket, chance), chance.storm(STORM));
    read?;
    sleep(LATE).await;
    let known: Vec<Known> = known.into_iter().flatten().collect();
    let history = check(&bucket, &known).await?;
    // Whatever happened, the next one succeeds.
    let registry = Registry::new(Arc::new(bucket.clone()));
    let next = async {
        let model = &KNOWN[&TARGET][0];
        registry.publish(TARGET, model.artifact.clone(), &NO_CARD).await?;
        let expected = registry.champion(TARGET).await?;
        registry.promote(TARGET, &model.version, expected.as_ref(), "last", "2021-03-01T00:00:00Z").await
    };
    let next = next.await.map_err(|error| Broken(format!("the last promotion: {}", model::chain(&error))))?;
    promise!(next.seq == history + 1, "the last promotion has number {} after {history}", next.seq);
    let acknowledged = known.iter().filter(|known| matches!(known, Known::Done(_))).count() as u64;
    Ok(Counts::from([("changes", history), ("acknowledged", acknowledged)]))
}

/// Changes the champion a few times, and returns what is known of it.
async fn change(bucket: Bucket, chance: Chance, hand: u64) -> Vec<Known> {
    let mut known = Vec::new();
    for number in 0..1 + chance.below(4) {
        chance.wait(STORM / 6).await;
        let environment = Environment::new(Registry::new(Arc::new(bucket.clone())));
        let registry = &environment.function;
        let model = chance.one(&KNOWN[&TARGET]);
        let reason = format!("{hand}-{number}");
        let goes_back = chance.percent(25);
        let work = async {
            registry.publish(TARGET, model.artifact.clone(), &NO_CARD).await?;
            let expected = registry.champion(TARGET).await?;
            chance.call().await;
            let since = "2021-02-01T00:00:00Z";
            if goes_back {
                registry.rollback(TARGET, &reason, since).await
            } else {
                registry.promote(TARGET, &model.version, expected.as_ref(), &reason, since).await
            }
        };
        let ended = environment.invoke(&chance, limit(60), work).await;
        chance.note(format_args!("{reason}: {ended:?}"));
        match ended {
            Ended::Answered(Ok(alias)) => known.push(Known::Done(alias)),
            Ended::Answered(Err(RegistryError::Lost { .. })) => known.push(Known::Lost(reason)),
            Ended::Answered(Err(_)) | Ended::Killed => (),
        }
    }
    known
}

/// Reads the champion all the while, without faults: it is there whole, and its number never falls.
async fn watch(bucket: &Bucket, chance: &Chance) -> Result<(), Broken> {
    let registry = Registry::new(Arc::new(bucket.objects.clone()));
    let (mut last, failed) = (0, |error: RegistryError| Broken(model::chain(&error)));
    while !chance.is_calm() {
        chance.call().await;
        sleep(Duration::from_secs(1)).await;
        let Some(champion) = registry.champion(TARGET).await.map_err(failed)? else { continue };
        let alias = champion.alias;
        promise!(alias.seq >= last, "the champion's number fell from {last} to {}", alias.seq);
        last = alias.seq;
        let artifact = registry.artifact(TARGET, &alias.version).await.map_err(failed)?;
        promise!(sha256_hex(&artifact) == alias.sha256, "the champion {last} is another model than it says");
        registry.card(TARGET, &alias.version).await.map_err(failed)?;
    }
    Ok(())
}

/// Checks the history against what is known, and returns the number of its last entry.
async fn check(bucket: &Bucket, known: &[Known]) -> Result<u64, Broken> {
    let registry = Registry::new(Arc::new(bucket.objects.clone()));
    let history = registry.history(TARGET).await.map_err(|error| Broken(model::chain(&error)))?;
    let by_seq: BTreeMap<u64, &Alias> = history.iter().map(|alias| (alias.seq, alias)).collect();
    let last = history.last().map_or(0, |alias| alias.seq);
    let seqs: Vec<u64> = history.iter().map(|alias| alias.seq).collect();
    promise!(seqs == (1..=last).collect::<Vec<_>>(), "the history has a hole: {seqs:?}");
    for pair in history.windows(2) {
        promise!(
            pair[1].previous.as_ref() == Some(&pair[0].version),
            "{:?} does not follow {:?}",
            pair[1],
            pair[0]
        );
    }
    for one in known {
        match one {
            Known::Done(alias) => promise!(
                by_seq.get(&alias.seq) == Some(&alias),
                "an acknowledged change is not in the history: {alias:?}, but {:?}",
                by_seq.get(&alias.seq)
            ),
            Known::Lost(reason) => promise!(
                history.iter().all(|alias| alias.reason != *reason),
                "{reason} is in the history, and was reported as lost"
            ),
        }
    }
    Ok(last)
}
