use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::TimeDelta;
use model::{Classified, Family, Target, Trip, testing};
use monitoring::Profile;
use monitoring::days::DayProfile;
use monitoring::profile::TripPrediction;
use monitoring::testing::{ROWS, Row, day, profile, rows};
use platform::topic::MemoryTopic;
use registry::Registry;
use store::{Get, MemoryStore, ObjectKey};

use super::*;
use crate::alarms::AlarmRecord;

/// Days until all signals have a verdict.
const BEFORE: u64 = 150;

struct Bench {
    data: Arc<MemoryStore>,
    models: Arc<MemoryStore>,
    topic: MemoryTopic,
    bundle: String,
}

/// Returns the artifact of a model that predicts `minutes`.
fn artifact(minutes: f64) -> Bytes {
    let trip =
        Trip { pickup_zone: model::Zone::new(130), dropoff_zone: model::Zone::new(205), ..Trip::default() };
    testing::artifact(Target::Duration, Family::Linear, vec![trip, trip], vec![minutes, minutes + 1.0]).into()
}

impl Bench {
    /// Creates stores with a champion and the profiles of the files of [`BEFORE`] days.
    async fn new() -> Self {
        let (data, models) = (Arc::new(MemoryStore::default()), Arc::new(MemoryStore::default()));
        let bundle = promote(&models, 10.0).await;
        let bench = Self { data, models, topic: MemoryTopic::default(), bundle };
        for number in 0..BEFORE {
            bench.file(number, &profile(&rows(number, ROWS))).await;
        }
        bench
    }

    async fn file(&self, number: u64, profile: &Profile) {
        let key = layout::profile_of_file(day(number), "green.parquet").unwrap();
        self.put(&key, number, profile).await;
    }

    async fn put(&self, key: &ObjectKey, number: u64, profile: &Profile) {
        let stored =
            DayProfile { day: day(number), bundle: Some(self.bundle.clone()), profile: profile.clone() };
        documents::write(&*self.data, key, &stored, Condition::Always).await.unwrap();
    }

    fn monitor(&self) -> Monitor {
        Monitor::new(self.data.clone(), self.models.clone(), 400).publishing_to(Arc::new(self.topic.clone()))
    }

    /// Watches on the day after day `number`, a minute after each other `run`.
    async fn watch(&self, number: u64, run: i64) -> WatchedSource {
        let now = at(run);
        self.monitor().watch(day(number + 1), now).await.unwrap().sources.remove("batch").unwrap()
    }

    async fn alarms(&self) -> BTreeMap<String, AlarmRecord> {
        let history = alarms::history(&*self.data, Source::Batch).await.unwrap();
        history.into_iter().map(|record| (record.id.clone(), record)).collect()
    }
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::minutes(minutes)
}

/// Publishes a model and promotes it, and returns the id of its bundle.
async fn promote(models: &Arc<MemoryStore>, minutes: f64) -> String {
    let registry = Registry::new(models.clone() as Arc<dyn Store>);
    let bytes = artifact(minutes);
    let version = registry.publish(Target::Duration, bytes.clone(), &registry::NO_CARD).await.unwrap();
    let champion = registry.champion(Target::Duration).await.unwrap();
    registry
        .promote(Target::Duration, &version, champion.as_ref(), "test", "2023-01-01T00:00:00Z")
        .await
        .unwrap();
    model::Bundle::from_bytes(&bytes, None).unwrap().id()
}

/// Returns the profile of a day whose rows were changed.
fn changed(number: u64, change: impl Fn(&mut Row)) -> Profile {
    let mut rows = rows(number, ROWS);
    rows.iter_mut().for_each(change);
    profile(&rows)
}

fn slow((_, prediction, _): &mut Row) {
    let TripPrediction { minutes, interval: (lower, upper), .. } = *prediction;
    *prediction = TripPrediction {
        minutes: minutes / 1.4,
        interval: (lower / 1.4, upper / 1.4),
        tip_probability: None,
    };
}

async fn json(store: &MemoryStore, key: &str) -> Value {
    let object = store.get(&ObjectKey::new(key).unwrap(), Get::default()).await.unwrap();
    serde_json::from_slice(&object.bytes).unwrap()
}

#[tokio::test]
async fn an_ordinary_day_is_reported_and_rings_nothing() {
    let bench = Bench::new().await;
    let watched = bench.watch(BEFORE - 1, 0).await;
    assert_eq!((watched.days, watched.published.len()), (BEFORE as usize, 0), "{watched:?}");
    assert!(watched.verdicts.iter().all(|verdict| verdict.contains("as expected")), "{watched:?}");
    let report = json(&bench.data, &watched.report).await;
    assert_eq!(report["verdict"]["data"]["rings"], false);
    assert_eq!(report["command"], format!("tripcast monitor report --day {}", day(BEFORE)));
    let page = bench
        .data
        .get(&ObjectKey::new(watched.report.replace(".json", ".html")).unwrap(), Get::default())
        .await
        .unwrap();
    let page = String::from_utf8(page.bytes.to_vec()).unwrap();
    for title in
        ["Verdicts", "Alarms", "Errors over time", "Drift over time", "Distributions", "Errors by slice"]
    {
        assert!(page.contains(title), "{title}");
    }
    assert!(!page.contains("http://") && !page.contains("<script"), "it needs no network");
    let figures = bench.data.list(layout::METRICS).await.unwrap();
    assert_eq!(figures.len(), 3, "the months of 62 days: {figures:?}");
}

#[tokio::test]
async fn an_alarm_is_published_once_and_ends() {
    let bench = Bench::new().await;
    bench.file(BEFORE, &changed(BEFORE, |(trip, ..)| trip.distance_miles = None)).await;
    let watched = bench.watch(BEFORE, 0).await;
    let data = format!("batch-data-{}", day(BEFORE));
    let quality = format!("batch-quality-{}", day(BEFORE));
    assert_eq!(watched.published, [quality.clone(), data.clone()]);
    let notes = bench.topic.notes();
    assert!(
        notes[1].0.contains("trip_distance is missing") && notes[1].1.contains("above the threshold"),
        "{notes:?}"
    );
    assert!(
        notes[1].1.contains(&format!("--alarm {data}")) && notes[1].1.contains("(900 rows)"),
        "{notes:?}"
    );
    assert_eq!(bench.watch(BEFORE, 1).await.published.len(), 0, "the same days again");
    for number in BEFORE + 1..BEFORE + 10 {
        bench.file(number, &profile(&rows(number, ROWS))).await;
    }
    let watched = bench.watch(BEFORE + 9, 2).await;
    assert_eq!((watched.published.len(), watched.open.len()), (0, 0), "{watched:?}");
    let record = &bench.alarms().await[&data];
    assert_eq!((record.days, record.ended), (1, Some(day(BEFORE + 1))));
    assert!(record.published.is_some() && record.retraining.is_none());
}

#[tokio::test]
async fn what_could_not_be_published_is_published_later() {
    let mut bench = Bench::new().await;
    bench.file(BEFORE, &changed(BEFORE, |(trip, ..)| trip.vendor = Some(9))).await;
    bench.topic.refuses = true;
    let failed = bench.monitor().watch(day(BEFORE + 1), at(0)).await.unwrap_err();
    assert!(failed.is_transient() && failed.error_type() == "Topic.Publish", "{failed}");
    bench.topic.refuses = false;
    assert!(!bench.watch(BEFORE, 1).await.published.is_empty(), "the next attempt");
    assert!(bench.watch(BEFORE, 20).await.published.is_empty());
    // A monitor that began and was ended from outside: another one waits for it, and then does it.
    let (id, mut record) = bench.alarms().await.pop_first().unwrap();
    (record.published, record.publishing) = (None, Some(at(30)));
    documents::write(&*bench.data, &layout::alarm(&id).unwrap(), &record, Condition::Always).await.unwrap();
    assert!(bench.watch(BEFORE, 32).await.published.is_empty());
    assert_eq!(bench.watch(BEFORE, 36).await.published, [id]);
}

#[tokio::test]
async fn an_alarm_of_days_that_were_corrected_is_withdrawn() {
    let bench = Bench::new().await;
    bench.file(BEFORE, &changed(BEFORE, |(trip, ..)| trip.distance_miles = None)).await;
    assert_eq!(bench.watch(BEFORE, 0).await.published.len(), 2);
    bench.file(BEFORE, &profile(&rows(BEFORE, ROWS))).await;
    let watched = bench.watch(BEFORE, 1).await;
    assert_eq!((watched.open.len(), watched.published.len()), (0, 0), "{watched:?}");
    assert!(bench.alarms().await.values().all(|record| record.withdrawn && record.ended.is_some()));
}

#[tokio::test]
async fn a_late_event_says_nothing_of_alarms_that_began_after_its_day() {
    let bench = Bench::new().await;
    bench.file(BEFORE, &changed(BEFORE, |(trip, ..)| trip.distance_miles = None)).await;
    bench.watch(BEFORE, 0).await;
    let recorded = bench.alarms().await;
    bench.watch(BEFORE - 1, 1).await;
    assert!(!recorded.is_empty());
    assert_eq!(bench.alarms().await, recorded, "an event of the day before is done again");
}

#[tokio::test]
async fn worse_predictions_ask_for_a_retraining_once_for_each_champion() {
    let mut bench = Bench::new().await;
    bench.file(BEFORE, &changed(BEFORE, slow)).await;
    let (one, other) = (bench.monitor(), bench.monitor());
    let (one, other) = tokio::join!(one.watch(day(BEFORE + 1), at(0)), other.watch(day(BEFORE + 1), at(0)));
    let asked: Vec<String> = [one, other]
        .into_iter()
        .filter_map(|run| run.unwrap().sources["batch"].asked_to_replace.clone())
        .collect();
    assert_eq!(asked.len(), 1, "two monitors at once");
    let requests = bench.data.list(layout::RETRAIN_REQUESTS).await.unwrap();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(bench.topic.notes().len(), 1, "{:?}", bench.topic.notes());
    let id = format!("batch-performance-{}", day(BEFORE));
    let asked = bench.alarms().await[&id].retraining.clone().unwrap();
    assert_eq!((asked.asked_by.as_str(), asked.outcome), (id.as_str(), None));
    // A better model: the alarm about the days of the one before asks for nothing more.
    bench.bundle = promote(&bench.models, 12.0).await;
    let run = json!({"started": "2023-06-02T00:00:00Z", "nothing_to_do": null, "failed": []});
    let key = layout::run(&format!("2023-06-02-requested-{}", asked.champion)).unwrap();
    documents::write(&*bench.models, &key, &run, Condition::Always).await.unwrap();
    assert_eq!(bench.watch(BEFORE, 5).await.asked_to_replace, None);
    let outcome = bench.alarms().await[&id].retraining.clone().unwrap().outcome.unwrap();
    assert!(outcome.ends_with("was promoted"), "{outcome}");
    // Its own predictions are wrong, too: another champion, another request.
    bench.file(BEFORE + 12, &changed(BEFORE + 12, slow)).await;
    assert!(bench.watch(BEFORE + 12, 6).await.asked_to_replace.is_some());
    assert_eq!(bench.data.list(layout::RETRAIN_REQUESTS).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_person_says_whether_an_alarm_was_real() {
    let bench = Bench::new().await;
    bench.file(BEFORE, &changed(BEFORE, |(trip, ..)| trip.vendor = Some(9))).await;
    let watched = bench.watch(BEFORE, 0).await;
    let id = &watched.published[0];
    alarms::acknowledge(&*bench.data, id, false, at(1)).await.unwrap();
    assert!(alarms::acknowledge(&*bench.data, "batch-data-1999-01-01", true, at(1)).await.is_err());
    let watched = bench.watch(BEFORE, 2).await;
    let report = json(&bench.data, &watched.report).await;
    assert_eq!(report["acknowledgements"]["unreal"], 1, "a run keeps it");
}

#[tokio::test]
async fn messages_are_merged_by_day_and_a_day_without_any_rings() {
    let bench = Bench::new().await;
    for number in 0..30 {
        for (minute, part) in rows(number, ROWS).chunks(ROWS / 3).enumerate() {
            let key = layout::profile_of_messages(day(number), &format!("event-{minute}")).unwrap();
            bench.put(&key, number, &profile(part)).await;
        }
    }
    let bench = &bench;
    let watch = |number: u64| async move {
        bench.monitor().watch(day(number), at(0)).await.unwrap().sources.remove("stream").unwrap()
    };
    assert_eq!(watch(30).await.days, 30);
    let merged = bench.data.list(&layout::profiles("days/stream")).await.unwrap();
    assert_eq!(merged.len(), 27, "messages of a day come until the second one after it");
    let key = layout::profile_of_day(day(3)).unwrap();
    let (stored, _) = documents::read::<DayProfile>(&*bench.data, &key).await.unwrap().unwrap();
    assert_eq!(stored.profile, profile(&rows(3, ROWS)), "the same as at once");
    let watched = watch(31).await;
    assert!(watched.verdicts[0].contains("rows of the day"), "{watched:?}");
    assert_eq!(watched.open, [format!("stream-quality-{}", day(30))]);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_rest_is_judged() {
    let bench = Bench::new().await;
    let key = layout::profile_of_file(day(5), "broken.parquet").unwrap();
    bench.data.put(&key, Bytes::from_static(b"{\"day\": 1}"), Condition::Always).await.unwrap();
    let watched = bench.watch(BEFORE - 1, 0).await;
    let report = json(&bench.data, &watched.report).await;
    assert!(report["unreadable"][0].as_str().unwrap().contains("broken.parquet"), "{}", report["unreadable"]);
    let none = Monitor::new(Arc::new(MemoryStore::default()), bench.models.clone(), 400);
    assert!(none.watch(day(3), at(0)).await.unwrap().sources.is_empty(), "no profiles, no verdict");
}
