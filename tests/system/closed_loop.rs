//! The loop, offline: files are dropped and predicted, their outcomes show that the predictions are worse, an alarm asks for one
//! retraining, its gates let the months pass, the better model is promoted and reloaded, and the alarm clears. A bad month in the same
//! loop is refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use batch_predictor::{BatchPredictor, FileOutcome};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use model::candidates::FitParams;
use model::candidates::boosted::BoostedParams;
use model::decision::PromotionPolicy;
use model::outcome::Outcome;
use model::{Month, Target, Trip};
use monitor::alarms::AlarmRecord;
use monitor::{Monitor, Watched};
use monitoring::testing::{day, rows};
use platform::event::ObjectCreated;
use platform::lambda::Deadline;
use platform::topic::MemoryTopic;
use registry::runs::Run;
use registry::{Models, Registry, layout};
use retrainer::learn::Learning;
use retrainer::request::{RetrainerEvent, retrainer_event};
use retrainer::room::Room;
use retrainer::{Retrainer, Settings};
use serde_json::json;
use store::{Condition, MemoryStore, ObjectKey, Store, json as documents};

/// Rows of a day.
const ROWS: usize = 320;

struct Bench {
    data: Arc<MemoryStore>,
    models: Arc<MemoryStore>,
    topic: MemoryTopic,
    predictor: BatchPredictor,
}

impl Bench {
    fn new() -> Self {
        let (data, models) = (Arc::new(MemoryStore::default()), Arc::new(MemoryStore::default()));
        // What a warm function would reload within its refresh time is reloaded at once.
        let champions = Models::new(Registry::new(models.clone()), Duration::ZERO, |_, _| ());
        let predictor = BatchPredictor::new(data.clone(), None, champions, "green".into());
        Self { data, models, topic: MemoryTopic::default(), predictor }
    }

    fn monitor(&self) -> Monitor {
        Monitor::new(self.data.clone(), self.models.clone(), 400).publishing_to(Arc::new(self.topic.clone()))
    }

    fn retrainer(&self) -> Retrainer {
        let boosted = BoostedParams { rounds_max: 120, ..BoostedParams::default() };
        let params = FitParams { boosted, ..FitParams::default() };
        let learning = Learning {
            windows: vec![1],
            params,
            trials: 1,
            rows_max: usize::MAX,
            room: Room::default(),
            threads: 0,
        };
        let settings = Settings {
            taxi: "green".into(),
            utc_times: Default::default(),
            learning,
            policy: PromotionPolicy::default(),
        };
        Retrainer::new(self.data.clone(), self.models.clone(), settings)
    }

    /// Drops a month and predicts it; the batch predictor is what EventBridge would invoke.
    async fn drop_month(&self, of: &str, change: impl Fn(&mut Trip, &mut Outcome)) {
        let key = ObjectKey::new(format!("incoming/green_tripdata_{of}.parquet")).unwrap();
        let etag = self.data.put(&key, month(of, change), Condition::Always).await.unwrap();
        let object =
            ObjectCreated { bucket: "data".into(), key: key.to_string(), version: None, etag: Some(etag.0) };
        let outcome =
            self.predictor.predict(&object, Deadline::after(Duration::from_secs(600))).await.unwrap();
        assert!(matches!(outcome, FileOutcome::Predicted { .. }), "{outcome:?}");
    }

    async fn watch(&self, on: &str) -> Watched {
        let on: NaiveDate = on.parse().unwrap();
        self.monitor().watch(on, now(on)).await.unwrap()
    }

    /// Retrains as the event would of the object that asks for it.
    async fn retrain_as_asked(&self, on: &str) -> Run {
        let requests = self.data.list(layout::RETRAIN_REQUESTS).await.unwrap();
        let key = requests.last().unwrap().key.to_string();
        let event = json!({
            "source": "aws.s3", "detail-type": "Object Created", "time": format!("{on}T08:00:00Z"),
            "detail": {"bucket": {"name": "data"}, "object": {"key": key}},
        });
        let RetrainerEvent::Retrain(request) = retrainer_event(&event).unwrap() else { panic!("{event}") };
        self.retrain(on, &request.name.unwrap()).await
    }

    async fn retrain(&self, on: &str, name: &str) -> Run {
        let deadline = Deadline::after(Duration::from_secs(3600));
        self.retrainer().retrain(on.parse().unwrap(), &[Target::Duration], name, deadline).await.unwrap()
    }

    async fn champion(&self) -> String {
        let registry = Registry::new(self.models.clone());
        registry.champion(Target::Duration).await.unwrap().unwrap().alias.version.to_string()
    }

    async fn alarms(&self, signal: &str) -> Vec<AlarmRecord> {
        let mut all = Vec::new();
        for meta in self.data.list(&format!("{}batch-{signal}", layout::ALARMS)).await.unwrap() {
            all.push(documents::read(&*self.data, &meta.key).await.unwrap().unwrap().0);
        }
        all
    }
}

fn now(on: NaiveDate) -> DateTime<Utc> {
    on.and_hms_opt(10, 0, 0).unwrap().and_utc()
}

/// Generates a month of 2023.
fn month(of: &str, change: impl Fn(&mut Trip, &mut Outcome)) -> Bytes {
    let month: Month = of.parse().unwrap();
    let numbers = (0..365).filter(|number| Month::from_date(day(*number)) == month);
    let (mut trips, mut outcomes) = (Vec::new(), Vec::new());
    for (mut trip, _, mut outcome) in numbers.flat_map(|number| rows(number, ROWS)) {
        change(&mut trip, &mut outcome);
        trips.push(trip);
        outcomes.push(outcome);
    }
    Bytes::from(dataset::trips::to_parquet(&trips, &outcomes).unwrap())
}

/// Makes trips last longer.
fn slow(trip: &mut Trip, outcome: &mut Outcome) {
    let took = trip.pickup.zip(outcome.dropoff).map(|(from, to)| (to - from).num_seconds() as f64);
    let to = trip.pickup.zip(took).map(|(from, took)| from + TimeDelta::seconds((1.25 * took) as i64));
    outcome.dropoff = to;
}

const fn as_usual(_: &mut Trip, _: &mut Outcome) {}

/// Creates a bench with a champion, and with months whose predictions are as they should be.
async fn at_peace() -> Bench {
    let bench = Bench::new();
    for of in ["2023-01", "2023-02"] {
        let key = ObjectKey::new(format!("history/green_tripdata_{of}.parquet")).unwrap();
        bench.data.put(&key, month(of, as_usual), Condition::Always).await.unwrap();
    }
    assert!(bench.retrain("2023-03-15", "first").await.targets[0].promoted);
    for of in ["2023-03", "2023-04", "2023-05"] {
        bench.drop_month(of, as_usual).await;
    }
    let watched = bench.watch("2023-06-10").await;
    let found = &watched.sources["batch"];
    // Drift may ring falsely on one of 92 days.
    let others = found.published.iter().filter(|alarm| !alarm.contains("-data-")).count();
    assert_eq!((found.days, others), (92, 0), "{found:?}");
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worse_predictions_lead_to_one_better_model_and_the_alarm_clears() {
    let bench = at_peace().await;
    let first = bench.champion().await;
    bench.drop_month("2023-06", slow).await;
    let (one, other) = tokio::join!(bench.watch("2023-07-10"), bench.watch("2023-07-10"));
    let asked = [&one, &other].map(|run| run.sources["batch"].asked_to_replace.clone());
    assert_eq!(asked.iter().flatten().collect::<Vec<_>>(), [&first], "two monitors at once ask once");
    let alarms = bench.alarms("performance").await;
    assert_eq!(alarms.len(), 1, "a fault that lasts is one alarm: {alarms:?}");
    assert!(alarms[0].published.is_some() && alarms[0].always_firing);
    let notes: BTreeSet<String> = bench.topic.notes().into_iter().map(|(_, text)| text).collect();
    assert_eq!(notes.len(), bench.topic.notes().len(), "no note is published twice");

    bench.drop_month("2023-07", slow).await;
    let run = bench.retrain_as_asked("2023-08-10").await;
    assert_eq!(run.run, format!("2023-08-10-requested-{first}"));
    assert!(run.targets[0].promoted, "{:?}", run.targets[0]);
    let second = bench.champion().await;
    assert_ne!(second, first);
    bench.drop_month("2023-08", slow).await;
    let watched = bench.watch("2023-09-10").await;
    let found = &watched.sources["batch"];
    assert!(found.open.iter().all(|alarm| !alarm.contains("performance")), "{found:?}");
    assert_eq!(found.asked_to_replace, None);
    assert!(found.verdicts[2].contains("as expected"), "{found:?}");
    assert_eq!(bench.data.list(layout::RETRAIN_REQUESTS).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_month_in_the_loop_is_refused_and_the_champion_stays() {
    let bench = at_peace().await;
    let first = bench.champion().await;
    let hourly = |trip: &mut Trip, outcome: &mut Outcome| {
        // A clock that writes whole hours: durations are nearly all the same.
        outcome.dropoff = trip.pickup.map(|from| from + TimeDelta::minutes(59));
    };
    bench.drop_month("2023-06", hourly).await;
    assert_eq!(bench.watch("2023-07-10").await.sources["batch"].asked_to_replace.as_ref(), Some(&first));
    let deadline = Deadline::after(Duration::from_secs(3600));
    let name = format!("requested-{first}");
    let refused =
        bench.retrainer().retrain("2023-07-10".parse().unwrap(), &[Target::Duration], &name, deadline).await;
    assert!(refused.is_err(), "the gates refuse the month: {refused:?}");
    assert_eq!(bench.champion().await, first);
    let watched = bench.watch("2023-07-11").await;
    assert_eq!(watched.sources["batch"].asked_to_replace, None);
    let outcome = bench.alarms("performance").await[0].retraining.clone().unwrap().outcome.unwrap();
    assert!(outcome.starts_with("the retraining did not end well"), "{outcome}");
}
