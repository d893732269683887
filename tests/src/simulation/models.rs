//! Models whose predictions are known, and people who change champions meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use model::{Bundle, Family, ModelVersion, Target, Trip, Zone, testing};
use registry::{Models, NO_CARD, Registry};
use serde_json::{Value, json};
use store::Store;

use super::Broken;
use super::chance::Chance;
use super::store::Bucket;
use crate::promise;

/// Time after which functions look for other champions.
pub const REFRESH: Duration = Duration::from_secs(20);

/// A model with what it answers to every trip.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its artifact.
    pub artifact: Bytes,
    /// Its version.
    pub version: ModelVersion,
    /// What it answers: minutes, or a probability.
    pub answer: f64,
}

/// Two models of durations and two of tips.
pub static KNOWN: LazyLock<BTreeMap<Target, [Known; 2]>> = LazyLock::new(|| {
    let durations = [10.0, 20.0].map(|minutes| known(Target::Duration, testing::constant_duration(minutes)));
    // Of ten rides from the first of two zones, so many are tipped; from the other one, the rest.
    let tips = [2, 7].map(|tipped| {
        let trip = |row: u16| Trip { pickup_zone: Zone::new(row % 2 + 1), ..Trip::default() };
        let label = |row: u16| f64::from(u8::from((row / 2 % 10 < tipped) == row.is_multiple_of(2)));
        let (trips, labels) = ((0..400).map(trip).collect(), (0..400).map(label).collect());
        known(Target::Tip, testing::artifact(Target::Tip, Family::Tree, trips, labels))
    });
    BTreeMap::from([(Target::Duration, durations), (Target::Tip, tips)])
});

fn known(target: Target, artifact: Vec<u8>) -> Known {
    let version = ModelVersion::from_bytes(&artifact);
    let trip = [Trip { pickup_zone: Zone::new(1), ..Trip::default() }];
    let answer = match target {
        Target::Duration => Bundle::from_bytes(&artifact, None).unwrap().predict(&trip).duration_min[0],
        Target::Tip => {
            let duration = testing::constant_duration(10.0);
            let predicted = Bundle::from_bytes(&duration, Some(&artifact)).unwrap().predict(&trip);
            predicted.tip_probability.unwrap()[0]
        }
    };
    Known { artifact: artifact.into(), version, answer }
}

/// Returns the models of a bucket, as a function keeps them.
pub fn champions(bucket: &Bucket) -> Models {
    Models::new(Registry::new(Arc::new(bucket.clone())), REFRESH, |_, _| ())
}

/// Publishes all known models and promotes the first of durations, and perhaps one of tips, without faults.
pub async fn prepare(bucket: &Bucket, chance: &Chance) {
    let registry = Registry::new(Arc::new(bucket.objects.clone()) as Arc<dyn Store>);
    for (target, models) in KNOWN.iter() {
        for model in models {
            registry.publish(*target, model.artifact.clone(), &NO_CARD).await.unwrap();
        }
        if *target == Target::Duration || chance.percent(50) {
            registry
                .promote(*target, &models[0].version, None, "first", "2021-01-01T00:00:00Z")
                .await
                .unwrap();
        }
    }
}

/// Promotes other champions now and then, and rolls some back, over a line with faults.
pub async fn change(bucket: Bucket, chance: Chance, changes: u64) {
    let registry = Registry::new(Arc::new(bucket));
    for number in 0..changes {
        chance.wait(Duration::from_secs(90)).await;
        let target = *chance.one(&Target::ALL);
        let model = chance.one(&KNOWN[&target]);
        let Ok(expected) = registry.champion(target).await else { continue };
        let (reason, since) = (number.to_string(), "2021-01-02T00:00:00Z");
        let changed = if chance.percent(30) {
            registry.rollback(target, &reason, since).await
        } else {
            registry.promote(target, &model.version, expected.as_ref(), &reason, since).await
        };
        chance.note(format_args!(
            "champion of {target}: {:?}",
            changed.map(|alias| (alias.seq, alias.version))
        ));
    }
}

/// Checks that a prediction is what the models answer that it names.
pub fn check_prediction(prediction: &Value) -> Result<(), Broken> {
    let versions = &prediction["versions"];
    let find = |target: Target, version: &Value| {
        KNOWN[&target].iter().find(|known| json!(known.version) == *version).map(|known| json!(known.answer))
    };
    let duration = find(Target::Duration, &versions["duration"])
        .filter(|_| prediction["version"] == versions["duration"]);
    promise!(
        duration.as_ref() == Some(&prediction["prediction"]["ride_duration"]),
        "a duration is not what its model answers: {prediction}"
    );
    let tip = match &versions["tip"] {
        Value::Null => Value::Null,
        version => find(Target::Tip, version).unwrap_or_default(),
    };
    promise!(
        tip == prediction["prediction"]["tip_probability"],
        "a probability is not what its model answers: {prediction}"
    );
    Ok(())
}
