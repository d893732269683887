//! Histories of days: the monitor, which records each alarm once and publishes it at least once.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use monitor::Monitor;
use monitor::alarms::AlarmRecord;
use monitoring::days::DayProfile;
use monitoring::testing::{ROWS, day, profile, rows};
use platform::topic::{PublishError, Topic};
use registry::layout;
use store::{Condition, Get, Store};
use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::invocation::{Ended, Environment, limit};
use super::models;
use super::store::Bucket;
use super::{Broken, Counts, side_by_side};
use crate::promise;

/// Calls of a hundred that end in a fault, while it storms.
const FAULTS: u64 = 4;
/// The monitor's time limit, as in template.yaml.
const LIMIT_SECONDS: u64 = 300;
const STORM: Duration = Duration::from_secs(1800);
/// Time after which no late call arrives any more, and no monitor waits for another one.
const LATE: Duration = Duration::from_secs(600);
/// Days until exact rules have a verdict, before the one that rings.
const BEFORE: u64 = 8;

/// The profiles of days; of the last one, all rows have a vendor that nobody knows.
static PROFILES: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let stored = |number: u64| {
        let mut rows = rows(number, ROWS);
        if number == BEFORE {
            rows.iter_mut().for_each(|(trip, ..)| trip.vendor = Some(9));
        }
        let profile = DayProfile { day: day(number), bundle: None, profile: profile(&rows) };
        serde_json::to_vec(&profile).unwrap().into()
    };
    (0..=BEFORE).map(stored).collect()
});

/// A double of SNS: some notes are refused, and the answer to some is lost.
#[derive(Debug, Clone)]
struct Notes {
    chance: Chance,
    taken: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Topic for Notes {
    async fn publish(&self, subject: &str, _: &str) -> Result<(), PublishError> {
        self.chance.call().await;
        let failed = |detail: &str| Err(PublishError::new("alarms", detail.into()));
        if self.chance.fault(15) {
            return failed("throttled");
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(subject.into());
        self.chance.call().await;
        if self.chance.fault(10) { failed("the answer is lost") } else { Ok(()) }
    }
}

/// The world of a history.
#[derive(Debug, Clone)]
struct World {
    chance: Chance,
    data: Bucket,
    models: Bucket,
    notes: Notes,
}

/// Runs a history.
///
/// # Errors
/// The first promise that was broken.
pub async fn run(chance: &Chance) -> Result<Counts, Broken> {
    let (data, models) = (Bucket::new(chance, FAULTS), Bucket::new(chance, FAULTS));
    models::prepare(&models, chance).await;
    for (number, stored) in PROFILES.iter().enumerate() {
        let key = layout::profile_of_file(day(number as u64), "green.parquet").unwrap();
        data.objects.put(&key, stored.clone(), Condition::Always).await.unwrap();
    }
    let notes = Notes { chance: chance.clone(), taken: Arc::default() };
    let is_calm = chance.percent(30);
    if is_calm {
        chance.calm();
    }
    let (began, runs) = (Instant::now(), 1 + chance.below(3));
    let world = World { chance: chance.clone(), data, models, notes };
    let watch = |name: u64| watch(world.clone(), began, name);
    let (_, ()) = tokio::join!(side_by_side((0..runs).map(watch).collect::<Vec<_>>()), chance.storm(STORM));
    sleep(LATE).await;
    // The day after, in calm.
    promise!(watch(runs).await, "the monitor fails though nothing else does");
    let id = format!("batch-quality-{}", day(BEFORE));
    let record = world.data.objects.get(&layout::alarm(&id).unwrap(), Get::default()).await;
    let record = record.map_err(|_| Broken(format!("there is no record of the alarm {id}")))?;
    let record: AlarmRecord =
        serde_json::from_slice(&record.bytes).map_err(|error| Broken(error.to_string()))?;
    let taken = world.notes.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
    promise!(record.published.is_some() && record.ended.is_none(), "the alarm is not published: {record:?}");
    promise!(!taken.is_empty(), "the record says that it was published, and no note was");
    promise!(!is_calm || taken.len() == 1, "in calm, an alarm was published {} times", taken.len());
    let alarms = world.data.objects.list(layout::ALARMS).await.unwrap();
    promise!(alarms.len() == 1, "one alarm has {} records", alarms.len());
    for form in ["json", "html"] {
        let key = layout::report("batch", day(BEFORE), form).unwrap();
        promise!(world.data.objects.head(&key).await.is_ok(), "there is no report {key}");
    }
    Ok(Counts::from([("runs", runs + 1), ("notes", taken.len() as u64)]))
}

/// Runs the monitor as Lambda does, in three attempts; returns whether one of them succeeded.
async fn watch(world: World, began: Instant, name: u64) -> bool {
    let World { chance, data, models, notes } = &world;
    if !chance.is_calm() {
        chance.wait(STORM / 2).await;
    }
    for attempt in 0..3u64 {
        let monitor = Monitor::new(Arc::new(data.clone()), Arc::new(models.clone()), 60);
        let environment = Environment::new(monitor.publishing_to(Arc::new(notes.clone())));
        let now = at(began.elapsed());
        let watched = environment.function.watch(day(BEFORE + 1), now);
        let ended = environment.invoke(chance, limit(LIMIT_SECONDS), watched).await;
        chance
            .note(format_args!("run {name}, attempt {attempt}: {}", matches!(ended, Ended::Answered(Ok(_)))));
        if matches!(ended, Ended::Answered(Ok(_))) {
            return true;
        }
        sleep(Duration::from_secs(60 * (attempt + 1))).await;
    }
    false
}

fn at(since: Duration) -> DateTime<Utc> {
    let began = day(BEFORE + 1).and_hms_opt(12, 0, 0).unwrap().and_utc();
    began + TimeDelta::from_std(since).unwrap()
}
