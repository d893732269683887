//! Histories of files: the batch predictor, whose events come late, twice and in any order, while files are replaced.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use batch_predictor::{BatchPredictor, FileOutcome};
use bytes::Bytes;
use model::request::local_time;
use model::{Outcome, Target, Trip, Zone};
use platform::event::ObjectCreated;
use platform::lambda::Deadline;
use registry::{Models, NO_CARD, Registry};
use serde_json::{Value, json};
use store::{Condition, ETag, Get, MemoryStore, ObjectKey, Store};
use tokio::time::sleep;

use super::chance::Chance;
use super::invocation::{Ended, Environment, event, limit};
use super::models::{self, KNOWN, champions};
use super::store::Bucket;
use super::{Broken, Counts, side_by_side};
use crate::promise;

/// Calls of a hundred that end in a fault, while it storms.
const FAULTS: u64 = 2;
/// The batch predictor's time limit, and Lambda's attempts, as in template.yaml.
const LIMIT_SECONDS: u64 = 300;
const ATTEMPTS: u32 = 3;
const STORM: Duration = Duration::from_secs(600);
/// Time after which no late call arrives any more.
const LATE: Duration = Duration::from_secs(120);
/// Where files are dropped: one names its month, one does not.
const KEYS: [&str; 2] = ["incoming/green_tripdata_2021-03.parquet", "incoming/mine.parquet"];
/// The day of all rows.
const DAY: &str = "2021-03-01";

/// What is dropped: five trips, three others, or no trips.
static CONTENTS: LazyLock<[Bytes; 3]> =
    LazyLock::new(|| [file(5, 12), file(3, 7), Bytes::from_static(b"no trips in here at all")]);

fn file(rows: usize, minutes: u32) -> Bytes {
    let pickup = local_time(&format!("{DAY} 10:00:00"));
    let trip = Trip { pickup_zone: Zone::new(1), dropoff_zone: Zone::new(2), pickup, ..Trip::default() };
    let outcome = Outcome { dropoff: local_time(&format!("{DAY} 10:{minutes:02}:00")), ..Outcome::default() };
    dataset::trips::to_parquet(&vec![trip; rows], &vec![outcome; rows]).unwrap().into()
}

/// The world of a history.
#[derive(Debug, Clone)]
struct World {
    chance: Chance,
    models: Bucket,
    data: Bucket,
    /// Environments that serve one event after the other.
    idle: Arc<Mutex<Vec<Environment<BatchPredictor>>>>,
    /// Events that Lambda gave up.
    failures: Arc<Mutex<Vec<Value>>>,
    /// What each ETag stands for.
    contents: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// Runs a history.
///
/// # Errors
/// The first promise that was broken.
pub async fn run(chance: &Chance) -> Result<Counts, Broken> {
    let world = World {
        chance: chance.clone(),
        models: Bucket::new(chance, FAULTS),
        data: Bucket::new(chance, FAULTS),
        idle: Arc::default(),
        failures: Arc::default(),
        contents: Arc::default(),
    };
    models::prepare(&world.models, chance).await;
    let changing = tokio::spawn(models::change(world.models.clone(), chance.clone(), chance.below(3)));
    let drops: Vec<_> = (0..1 + chance.below(4)).map(|_| drop_file(world.clone())).collect();
    let (dropped, ()) = tokio::join!(side_by_side(drops), chance.storm(STORM));
    changing.await.map_err(|error| Broken(error.to_string()))?;
    sleep(LATE).await;
    let failed = std::mem::take(&mut *world.failures.lock().unwrap_or_else(PoisonError::into_inner));
    let mut counts = Counts::from([("dropped", dropped.len() as u64), ("given up", failed.len() as u64)]);
    // Somebody replays what Lambda gave up.
    for event in failed {
        deliver(world.clone(), event).await;
    }
    let failed = world.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
    promise!(failed.is_empty(), "what was replayed in calm failed again: {failed:?}");
    for key in KEYS {
        check(&world, key, &mut counts).await?;
    }
    Ok(counts)
}

/// Drops a file, and delivers its event, sometimes twice.
async fn drop_file(world: World) {
    let chance = &world.chance;
    chance.wait(STORM / 3).await;
    let (key, content) = (*chance.one(&KEYS), chance.below(CONTENTS.len() as u64) as usize);
    let at = ObjectKey::new(key).unwrap();
    // S3 acknowledges what it has; a client repeats what failed.
    let ETag(etag) = world.data.objects.put(&at, CONTENTS[content].clone(), Condition::Always).await.unwrap();
    chance.note(format_args!("{key}: content {content}, {etag}"));
    world.contents.lock().unwrap_or_else(PoisonError::into_inner).insert(etag.clone(), content);
    let event = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {
        "bucket": {"name": "trips"}, "object": {"key": key, "etag": etag}}});
    let deliver = || {
        let (world, event) = (world.clone(), event.clone());
        async move {
            world.chance.wait(Duration::from_secs(60)).await;
            deliver(world, event).await;
        }
    };
    let deliveries: Vec<_> = (0..if chance.percent(15) { 2 } else { 1 }).map(|_| deliver()).collect();
    side_by_side(deliveries).await;
}

/// Invokes the batch predictor as Lambda does with events: three attempts, then the failure queue.
async fn deliver(world: World, payload: Value) {
    let chance = &world.chance;
    for attempt in 1..=ATTEMPTS {
        let idle = world.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let environment = idle.unwrap_or_else(|| {
            let data = Arc::new(world.data.clone());
            let models = champions(&world.models);
            Environment::new(BatchPredictor::new(data, Some("trips".into()), models, "green".into()))
        });
        chance.apart().await;
        let event = event(format!("attempt-{attempt}"), payload.clone(), limit(LIMIT_SECONDS));
        let handled = environment.function.handle(event);
        let ended = environment.invoke(chance, limit(LIMIT_SECONDS), handled).await;
        if environment.is_alive() {
            world.idle.lock().unwrap_or_else(PoisonError::into_inner).push(environment);
        }
        match ended {
            Ended::Answered(Ok(answer)) => {
                chance.note(format_args!("{}: {answer:?}", payload["detail"]["object"]));
                return;
            }
            Ended::Answered(Err(error)) => {
                chance.note(format_args!("{}: {}", payload["detail"]["object"], model::chain(&error)));
            }
            Ended::Killed => (),
        }
        sleep(Duration::from_secs(60 * u64::from(attempt))).await;
    }
    world.failures.lock().unwrap_or_else(PoisonError::into_inner).push(payload);
}

/// Checks what became of the last content of a key, and that nothing is there in part.
async fn check(world: &World, key: &str, counts: &mut Counts) -> Result<(), Broken> {
    let objects = &world.data.objects;
    let Ok(present) = objects.head(&ObjectKey::new(key).unwrap()).await else { return Ok(()) };
    let contents = world.contents.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let below = key.trim_start_matches("incoming/");
    let mut is_predicted = false;
    for meta in all(objects, "summaries/", below).await {
        let summary = document(objects, &meta).await?;
        let (bundle, etag) = (summary["bundle"].as_str().unwrap_or_default(), &summary["source"]["etag"]);
        if etag.is_null() && summary["replacing"].is_string() {
            // Its run ended before it could say what the predictions are of.
            continue;
        }
        let content = etag.as_str().and_then(|etag| contents.get(etag)).copied();
        let content = content.ok_or_else(|| Broken(format!("a summary of no object: {summary}")))?;
        let predictions = ObjectKey::new(summary["predictions"].as_str().unwrap_or_default());
        let predictions = predictions.map_err(|error| Broken(error.to_string()))?;
        let found = objects.get(&predictions, Get::default()).await;
        let found = found.map_err(|_| Broken(format!("a summary without predictions: {meta}")))?;
        promise!(
            found.bytes == reference(key, content, bundle).await?,
            "{key}: the predictions by {bundle} are not those of the object that their summary names"
        );
        is_predicted |= *etag == present.etag.0;
        *counts.entry("summaries").or_default() += 1;
    }
    let mut is_refused = false;
    for meta in all(objects, "quarantine/", below).await {
        is_refused |= document(objects, &meta).await?["etag"] == present.etag.0;
    }
    let is_bad = contents.get(&present.etag.0) == Some(&2);
    promise!(
        if is_bad { is_refused } else { is_predicted },
        "{key}: the present object ({}) has neither predictions nor a reason",
        present.etag.0
    );
    if !is_bad {
        check_profile(objects, below, contents[&present.etag.0]).await?;
    }
    Ok(())
}

/// Checks that the profile of the day counts the rows of the present object.
async fn check_profile(objects: &MemoryStore, below: &str, content: usize) -> Result<(), Broken> {
    let key = registry::layout::profile_of_file(DAY.parse().unwrap(), below).unwrap();
    let rows = document(objects, key.as_str()).await?["profile"]["rows"].clone();
    let expected = [5, 3][content];
    promise!(rows == expected, "the profile of {below} counts {rows} rows where its file has {expected}");
    Ok(())
}

/// Lists the documents of a file below a prefix.
async fn all(objects: &MemoryStore, prefix: &str, below: &str) -> Vec<String> {
    let listed = objects.list(prefix).await.unwrap();
    let of_file = listed.into_iter().map(|meta| meta.key.to_string());
    of_file.filter(|key| key.contains(below) && key.ends_with(".json")).collect()
}

async fn document(objects: &MemoryStore, key: &str) -> Result<Value, Broken> {
    let found = objects.get(&ObjectKey::new(key).unwrap(), Get::default()).await;
    let found = found.map_err(|error| Broken(error.to_string()))?;
    serde_json::from_slice(&found.bytes).map_err(|error| Broken(format!("{key}: {error}")))
}

/// Predictions by key, content and bundle, which are made once.
static REFERENCES: Mutex<BTreeMap<(String, usize, String), Bytes>> = Mutex::new(BTreeMap::new());

/// Returns the predictions of a content under a key by a bundle, made where nothing fails.
async fn reference(key: &str, content: usize, bundle: &str) -> Result<Bytes, Broken> {
    let of = (key.to_string(), content, bundle.to_string());
    let known = REFERENCES.lock().unwrap_or_else(PoisonError::into_inner).get(&of).cloned();
    if let Some(known) = known {
        return Ok(known);
    }
    let tips = [None, Some(0), Some(1)];
    for (duration, tip) in [0, 1].into_iter().flat_map(|duration| tips.map(|tip| (duration, tip))) {
        let (id, bytes) = predicted(key, content, duration, tip).await;
        let made = (key.to_string(), content, id);
        REFERENCES.lock().unwrap_or_else(PoisonError::into_inner).insert(made, bytes);
    }
    let known = REFERENCES.lock().unwrap_or_else(PoisonError::into_inner).get(&of).cloned();
    known.ok_or_else(|| Broken(format!("predictions by an unknown bundle: {bundle}")))
}

async fn predicted(key: &str, content: usize, duration: usize, tip: Option<usize>) -> (String, Bytes) {
    let (data, models) = (MemoryStore::default(), Arc::new(MemoryStore::default()));
    let registry = Registry::new(models);
    for (target, number) in [(Target::Duration, Some(duration)), (Target::Tip, tip)] {
        let Some(number) = number else { continue };
        let bytes = KNOWN[&target][number].artifact.clone();
        let version = registry.publish(target, bytes, &NO_CARD).await.unwrap();
        registry.promote(target, &version, None, "", "").await.unwrap();
    }
    let models = Models::new(registry, Duration::ZERO, |_, _| ());
    let id = models.bundle().await.unwrap().id();
    let at = ObjectKey::new(key).unwrap();
    data.put(&at, CONTENTS[content].clone(), Condition::Always).await.unwrap();
    let predictor = BatchPredictor::new(Arc::new(data.clone()), None, models, "green".into());
    let object = ObjectCreated { bucket: "trips".into(), key: key.into(), version: None, etag: None };
    let done = predictor.predict(&object, Deadline::after(Duration::from_secs(300))).await.unwrap();
    let FileOutcome::Predicted { predictions, .. } = &done else { panic!("{done:?}") };
    let bytes = data.get(&ObjectKey::new(predictions.as_str()).unwrap(), Get::default()).await.unwrap().bytes;
    (id, bytes)
}
