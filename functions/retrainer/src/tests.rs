use mlflow::{Credentials, Tracking};
use model::candidates::FitParams;
use model::request::local_time;
use model::{Month, Outcome, Trip, Zone};
use room::Room;
use store::{Condition, Get, MemoryStore, ObjectKey};

use super::*;

/// Builds a month of 600 card trips of `minutes` (by zone) whose tip depends on the zone.
fn month(month: &str, minutes: impl Fn(u16) -> i64) -> Vec<u8> {
    let (mut trips, mut outcomes) = (Vec::new(), Vec::new());
    for row in 0..600u16 {
        let zone = row % 7 + 1;
        let pickup = local_time(&format!("{month}-{:02} 10:00:00", row % 28 + 1)).unwrap();
        trips.push(Trip {
            pickup_zone: Zone::new(zone),
            dropoff_zone: Zone::new(9),
            pickup: Some(pickup),
            distance_miles: Some(f64::from(row % 50) / 10.0 + 0.1),
            ..Trip::default()
        });
        outcomes.push(Outcome {
            dropoff: Some(pickup + chrono::TimeDelta::minutes(minutes(zone))),
            tip_amount: Some(if zone > 3 && row % 5 > 0 { 1.0 } else { 0.0 }),
            fare_amount: Some(9.0),
            payment_type: Some(1),
        });
    }
    dataset::trips::to_parquet(&trips, &outcomes).unwrap()
}

struct Bench {
    data: MemoryStore,
    models: MemoryStore,
    retrainer: Retrainer,
}

fn bench() -> Bench {
    bench_of(usize::MAX, Room::default())
}

/// A bench that learns from so many rows at most, in so much memory.
fn bench_of(rows_max: usize, room: Room) -> Bench {
    let (data, models) = (MemoryStore::default(), MemoryStore::default());
    let learning = Learning {
        windows: vec![1, 3, 12],
        params: FitParams::default(),
        trials: 2,
        rows_max,
        room,
        threads: 0,
    };
    let settings = Settings {
        taxi: "green".into(),
        utc_times: Default::default(),
        learning,
        policy: PromotionPolicy::default(),
    };
    let retrainer = Retrainer::new(Arc::new(data.clone()), Arc::new(models.clone()), settings);
    Bench { data, models, retrainer }
}

fn an_hour() -> Deadline {
    Deadline::after(Duration::from_secs(3600))
}

async fn seed(bench: &Bench, of: &str, bytes: Vec<u8>) {
    assert!(of.parse::<Month>().is_ok());
    let key = ObjectKey::new(format!("history/green_tripdata_{of}.parquet")).unwrap();
    bench.data.put(&key, bytes.into(), Condition::Always).await.unwrap();
}

async fn retrain(bench: &Bench, now: &str, request: &str) -> Run {
    bench.retrainer.retrain(now.parse().unwrap(), &Target::ALL, request, an_hour()).await.unwrap()
}

#[tokio::test]
async fn the_first_models_become_champions_and_the_same_data_changes_nothing() {
    let bench = bench();
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let first = retrain(&bench, "2021-03-15", "one").await;
    assert_eq!(first.targets.iter().map(|target| target.promoted).collect::<Vec<_>>(), [true, true]);
    assert_eq!(
        first.data.iter().map(|file| file.month.to_string()).collect::<Vec<_>>(),
        ["2021-01", "2021-02"]
    );
    let again = retrain(&bench, "2021-03-15", "two").await;
    assert_eq!(again.targets.iter().map(|target| target.promoted).collect::<Vec<_>>(), [false, false]);
    assert!(again.targets[0].decision.reason.contains("champion already"), "{:?}", again.targets[0]);
    assert_eq!(first.targets[0].version, again.targets[0].version, "same data, same seed, same version");
    let registry = Registry::new(Arc::new(bench.models.clone()));
    let card = registry.card(Target::Duration, &first.targets[0].version).await.unwrap();
    let profile = registry.file(Target::Duration, &first.targets[0].version, "profile.json").await.unwrap();
    assert!(profile.len() <= 64 << 10, "{} bytes", profile.len());
    let profile: monitoring::Profile = serde_json::from_slice(&profile).unwrap();
    assert_eq!((profile.rows, profile.vendors.total()), (600, 0), "of January, which it learned from");
    let card = &card["model_details"]["tripcast"];
    assert_eq!(card["run"], "2021-03-15-one", "the card of the first stays");
    assert_eq!(card["validate"]["rules"], "course");
    let record = ObjectKey::new("runs/2021-03-15-two/run.json").unwrap();
    let record: Value =
        serde_json::from_slice(&bench.models.get(&record, Get::default()).await.unwrap().bytes).unwrap();
    assert_eq!(record["targets"][1]["target"], "tip");
}

#[tokio::test]
async fn a_later_model_is_promoted_only_if_it_is_better_on_the_same_rows() {
    let bench = bench();
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 5)).await;
    retrain(&bench, "2021-03-15", "one").await;
    // Trips became slower: a model that learns from February too is better on March.
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 15)).await;
    seed(&bench, "2021-03", month("2021-03", |zone| i64::from(zone) + 15)).await;
    let better = &retrain(&bench, "2021-04-15", "two").await.targets[0];
    assert!(better.promoted, "{better:?}");
    let champion = better.champion.as_ref().unwrap();
    assert_eq!(champion.metrics.rows, better.challenger.metrics.rows);
    // Trips become fast again: a model of the slow months is worse than the champion.
    seed(&bench, "2021-03", month("2021-03", |zone| i64::from(zone) + 40)).await;
    seed(&bench, "2021-04", month("2021-04", |zone| i64::from(zone) + 5)).await;
    let worse = &retrain(&bench, "2021-05-15", "three").await.targets[0];
    assert!(!worse.promoted && worse.decision.reason.starts_with("kept the champion"), "{worse:?}");
}

#[tokio::test]
async fn nothing_to_do_is_said_and_recorded() {
    let bench = bench();
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 6)).await;
    let run = retrain(&bench, "2021-06-15", "one").await;
    assert!(run.nothing_to_do.as_deref().unwrap().contains("no green trips of 2021-05"));
    assert_eq!(bench.models.list("").await.unwrap().len(), 1, "the record of the run, and nothing else");
}

#[tokio::test]
async fn a_bad_training_month_is_left_out_and_a_bad_judging_month_stops() {
    let bench = bench();
    seed(&bench, "2020-12", b"this is not a month of trips".to_vec()).await;
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 6)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let run = retrain(&bench, "2021-03-15", "one").await;
    assert_eq!(run.left_out.len(), 1);
    assert!(run.left_out[0].reason.contains("not a readable parquet file"), "{:?}", run.left_out);
    let stopped =
        bench.retrainer.retrain("2021-01-15".parse().unwrap(), &Target::ALL, "two", an_hour()).await;
    assert!(stopped.unwrap().nothing_to_do.is_some());
    seed(&bench, "2021-02", b"this is not a month of trips".to_vec()).await;
    let stopped = bench
        .retrainer
        .retrain("2021-03-15".parse().unwrap(), &Target::ALL, "three", an_hour())
        .await
        .unwrap_err();
    assert_eq!((stopped.error_type(), stopped.is_transient()), ("Dataset.NotParquet", false));
    assert_eq!(recorded(&bench, "2021-03-15-three").await["failed"][0]["error_type"], "Dataset.NotParquet");
}

#[tokio::test]
async fn a_month_that_a_gate_refuses_is_not_learned_from_and_not_judged_on() {
    let bench = bench();
    let few = |of: &str| {
        let (file, _) =
            dataset::read_all(&month(of, |zone| i64::from(zone) + 6).into(), None, ReadOptions::default())
                .unwrap();
        dataset::trips::to_parquet(&file.trips[..200], &file.outcomes[..200]).unwrap()
    };
    for of in ["2020-11", "2020-12", "2021-02"] {
        seed(&bench, of, month(of, |zone| i64::from(zone) + 6)).await;
    }
    seed(&bench, "2021-01", few("2021-01")).await;
    let run = retrain(&bench, "2021-03-15", "one").await;
    assert_eq!(run.left_out.len(), 1, "{:?}", run.left_out);
    assert!(run.left_out[0].reason.starts_with("rows_beside_recent_months is 0.3333"), "{:?}", run.left_out);
    assert_eq!((run.data.len(), run.gates.len()), (3, 4), "what was measured of it is recorded all the same");
    seed(&bench, "2021-02", few("2021-02")).await;
    let refused = bench
        .retrainer
        .retrain("2021-03-15".parse().unwrap(), &Target::ALL, "two", an_hour())
        .await
        .unwrap_err();
    assert_eq!((refused.error_type(), refused.is_transient()), ("Retraining.MonthRefused", false));
    assert!(chain(&refused).contains("the holdout month, is refused"), "{}", chain(&refused));
}

#[tokio::test]
async fn without_time_nothing_is_promoted() {
    let bench = bench();
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let late = Deadline::after(Duration::from_secs(5));
    let run =
        bench.retrainer.retrain("2021-03-15".parse().unwrap(), &Target::ALL, "one", late).await.unwrap();
    for target in &run.targets {
        assert!(target.learning.cut && !target.promoted, "{target:?}");
        assert!(target.decision.reason.contains("no time was left"), "{}", target.decision.reason);
    }
    let registry = Registry::new(Arc::new(bench.models.clone()));
    assert_eq!(registry.champion(Target::Duration).await.unwrap(), None);
    assert_eq!(
        registry.versions(Target::Duration).await.unwrap().len(),
        2,
        "published, for whoever looks at it"
    );
}

#[tokio::test]
async fn tracking_that_is_down_fails_nothing() {
    let mut bench = bench();
    let nobody = Tracking::new("http://127.0.0.1:1", Credentials::default()).unwrap();
    bench.retrainer = bench.retrainer.tracked_by(Some(Tracker::new(nobody, "tripcast".into())));
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let run = retrain(&bench, "2021-03-15", "one").await;
    assert!(run.failed.is_empty() && run.targets.iter().all(|target| target.promoted), "{:?}", run.failed);
    let recorded = recorded(&bench, "2021-03-15-one").await;
    assert_eq!(recorded["untracked"].as_str(), run.untracked.as_deref(), "and its record says so");
    assert!(run.untracked.is_some());
}

#[tokio::test]
async fn a_target_that_cannot_be_learned_does_not_stop_the_other() {
    let bench = bench();
    let cash = |of: &str| {
        let (file, _) =
            dataset::read_all(&month(of, |zone| i64::from(zone) + 6).into(), None, ReadOptions::default())
                .unwrap();
        let mut outcomes = file.outcomes;
        outcomes.iter_mut().for_each(|outcome| outcome.payment_type = Some(2));
        dataset::trips::to_parquet(&file.trips, &outcomes).unwrap()
    };
    seed(&bench, "2021-01", cash("2021-01")).await;
    seed(&bench, "2021-02", cash("2021-02")).await;
    let failed = bench
        .retrainer
        .retrain("2021-03-15".parse().unwrap(), &Target::ALL, "one", an_hour())
        .await
        .unwrap_err();
    assert_eq!(failed.error_type(), "Retraining.Fit");
    let run = recorded(&bench, "2021-03-15-one").await;
    assert_eq!((&run["targets"][0]["promoted"], &run["failed"][0]["target"]), (&json!(true), &json!("tip")));
}

/// A function that is killed for its memory would say nothing.
#[tokio::test]
async fn what_does_not_fit_into_memory_is_refused_and_recorded() {
    let bench = bench_of(usize::MAX, Room::of_mb(Some(64)));
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let day = "2021-03-15".parse().unwrap();
    let failed = bench.retrainer.retrain(day, &Target::ALL, "one", an_hour()).await.unwrap_err();
    assert_eq!((failed.error_type(), failed.is_transient()), ("Retraining.Memory", false));
    let run = recorded(&bench, "2021-03-15-one").await;
    let reason = run["failed"][0]["detail"].as_str().unwrap();
    assert!(reason.contains("2021-01.parquet: reading its 0 rows in"), "{reason}");
    assert!(reason.contains("the function has 64: raise RetrainerMemory"), "{reason}");
}

/// So would one that is killed because its time is over.
#[tokio::test]
async fn what_cannot_be_read_in_time_is_refused_and_recorded() {
    let bench = bench();
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let day = "2021-03-15".parse().unwrap();
    let soon = Deadline::after(Duration::from_secs(2));
    let failed = bench.retrainer.retrain(day, &Target::ALL, "one", soon).await.unwrap_err();
    assert_eq!((failed.error_type(), failed.is_transient()), ("Retraining.Time", false));
    let run = recorded(&bench, "2021-03-15-one").await;
    let reason = run["failed"][0]["detail"].as_str().unwrap();
    assert!(reason.contains("2021-01.parquet: the time ends, with 0 months read"), "{reason}");
}

/// Two retrainings on one day each keep their record, and one that did not end is recorded as such.
#[tokio::test]
async fn no_run_overwrites_the_record_of_another() {
    let bench = bench();
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let names = [
        retrain(&bench, "2021-03-15", "by-hand").await.run,
        retrain(&bench, "2021-03-15", "by-hand").await.run,
    ];
    assert_eq!(names, ["2021-03-15-by-hand", "2021-03-15-by-hand-2"]);
    for (name, promoted) in names.iter().zip([true, false]) {
        let run = recorded(&bench, name).await;
        assert_eq!((&run["run"], &run["targets"][0]["promoted"]), (&json!(name), &json!(promoted)));
        let read = Runs::new(Arc::new(bench.models.clone())).read(name).await.unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), run, "what is written is read alike");
    }
    let runs = Runs::new(Arc::new(bench.models.clone()));
    let mut begun = record::begun("2021-03-15".parse().unwrap(), "killed", &bench.retrainer.settings);
    runs.begin(&mut begun).await.unwrap();
    let run = recorded(&bench, "2021-03-15-killed").await;
    assert_eq!(run["failed"][0]["error_type"], "Retraining.NotEnded");
}

async fn recorded(bench: &Bench, run: &str) -> Value {
    let key = ObjectKey::new(format!("runs/{run}/run.json")).unwrap();
    serde_json::from_slice(&bench.models.get(&key, Get::default()).await.unwrap().bytes).unwrap()
}

#[tokio::test]
async fn the_age_of_champions_and_of_the_last_retraining_is_reported() {
    let bench = bench();
    let models: Arc<dyn Store> = Arc::new(bench.models.clone());
    let age = Age::measure(&models, Utc::now()).await.unwrap();
    assert_eq!((age.metrics(), &age), (vec![], &Age { model_hours: None, retraining_hours: None }));
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    retrain(&bench, "2021-03-15", "one").await;
    // The later run had nothing to do, so it does not count.
    retrain(&bench, "2021-05-15", "two").await;
    let in_two_days = Utc::now() + chrono::TimeDelta::hours(48);
    let age = Age::measure(&models, in_two_days).await.unwrap();
    for hours in [age.model_hours.unwrap(), age.retraining_hours.unwrap()] {
        assert!((48.0..48.2).contains(&hours), "{age:?}");
    }
    let names: Vec<&str> = age.metrics().iter().map(|(metric, _)| metric.name()).collect();
    assert_eq!(names, ["ModelAgeHours", "HoursSinceRetraining"]);
}

mod steps;
