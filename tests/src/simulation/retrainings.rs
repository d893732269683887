//! Histories of retrainings, in one invocation or by steps: killed anywhere, and the next one promotes what an undisturbed
//! one would have.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use model::candidates::FitParams;
use model::decision::PromotionPolicy;
use model::request::local_time;
use model::{ModelVersion, Outcome, Target, Trip, Zone};
use registry::Registry;
use registry::runs::Runs;
use retrainer::learn::Learning;
use retrainer::room::Room;
use retrainer::{Retrainer, Settings};
use serde_json::{Value, json};
use store::{Condition, MemoryStore, ObjectKey, Store};
use tokio::time::sleep;

use super::chance::Chance;
use super::invocation::{Ended, Environment, event, limit};
use super::store::Bucket;
use super::{Broken, Counts};
use crate::promise;

/// Calls of a hundred that end in a fault, while it storms.
const FAULTS: u64 = 2;
/// The retrainer's time limit, as in template.yaml.
const LIMIT_SECONDS: u64 = 900;
/// Time after which no late call arrives any more.
const LATE: Duration = Duration::from_secs(120);

/// Two months of trips, of which the second one judges.
static MONTHS: LazyLock<[(&str, Bytes); 2]> =
    LazyLock::new(|| ["2021-01", "2021-02"].map(|of| (of, month(of, 5))));

/// Returns a month of 300 trips that take `minutes`, and one more for each zone.
pub fn month(of: &str, minutes: i64) -> Bytes {
    let row = |row: u16| {
        let zone = row % 7 + 1;
        let pickup = local_time(&format!("{of}-{:02} 10:00:00", row % 28 + 1)).unwrap();
        let trip = Trip {
            pickup_zone: Zone::new(zone),
            dropoff_zone: Zone::new(9),
            pickup: Some(pickup),
            distance_miles: Some(f64::from(row % 50) / 10.0 + 0.1),
            ..Trip::default()
        };
        let outcome = Outcome {
            dropoff: Some(pickup + chrono::TimeDelta::minutes(i64::from(zone) + minutes)),
            ..Outcome::default()
        };
        (trip, outcome)
    };
    let (trips, outcomes): (Vec<Trip>, Vec<Outcome>) = (0..300).map(row).unzip();
    dataset::trips::to_parquet(&trips, &outcomes).unwrap().into()
}

fn retrainer(data: Arc<dyn Store>, models: Arc<dyn Store>) -> Retrainer {
    let mut params = FitParams::default();
    params.boosted.rounds_max = 10;
    let learning = Learning {
        windows: vec![1],
        params,
        trials: 1,
        rows_max: usize::MAX,
        room: Room::default(),
        threads: 1,
    };
    let settings = Settings {
        taxi: "green".into(),
        utc_times: Default::default(),
        learning,
        policy: PromotionPolicy::default(),
    };
    Retrainer::new(data, models, settings)
}

/// Runs a history.
///
/// # Errors
/// The first promise that was broken.
pub async fn run(chance: &Chance) -> Result<Counts, Broken> {
    let (data, models) = (Bucket::new(chance, FAULTS), Bucket::new(chance, FAULTS));
    for (of, bytes) in MONTHS.iter() {
        let key = ObjectKey::new(format!("history/green_tripdata_{of}.parquet")).unwrap();
        data.objects.put(&key, bytes.clone(), Condition::Always).await.unwrap();
    }
    let mut killed = 0;
    for attempt in 0..1 + chance.below(3) {
        killed += u64::from(!retrain(chance, &data, &models, attempt).await);
        readable(Arc::new(models.objects.clone())).await?;
        chance.wait(Duration::from_secs(60)).await;
    }
    chance.calm();
    sleep(LATE).await;
    promise!(retrain(chance, &data, &models, 9).await, "a retraining fails though nothing else does");
    let champion = readable(Arc::new(models.objects.clone())).await?;
    promise!(champion.is_some(), "nothing was promoted");
    let expected = undisturbed(&data).await;
    promise!(
        champion == expected,
        "the champion is {champion:?} where an undisturbed run promotes {expected:?}"
    );
    Ok(Counts::from([("retrainings", 1), ("killed", killed)]))
}

/// Retrains once, in one invocation or by the steps of the state machine; returns whether that ended well.
async fn retrain(chance: &Chance, data: &Bucket, models: &Bucket, attempt: u64) -> bool {
    let name = format!("attempt-{attempt}");
    let request = json!({"now": "2021-03-15", "target": "duration"});
    let function = Function { chance, data, models, name };
    match chance.percent(50) {
        true => function.invoke(request).await.is_some(),
        false => function.by_steps(request).await.is_some(),
    }
}

/// The retrainer, in an environment of its own for each invocation.
struct Function<'a> {
    chance: &'a Chance,
    data: &'a Bucket,
    models: &'a Bucket,
    name: String,
}

impl Function<'_> {
    /// Invokes it once; returns its answer, none if it failed or was killed.
    async fn invoke(&self, payload: Value) -> Option<Value> {
        let Self { chance, data, models, name } = self;
        let environment = Environment::new(retrainer(Arc::new((*data).clone()), Arc::new((*models).clone())));
        let event = event(name.clone(), payload, limit(LIMIT_SECONDS));
        let handled = environment.function.handle(event);
        match environment.invoke(chance, limit(LIMIT_SECONDS), handled).await {
            Ended::Answered(Ok(answer)) => {
                chance.note(format_args!("it answered"));
                Some(json!(answer))
            }
            Ended::Answered(Err(error)) => {
                chance.note(format_args!("{}", model::chain(&error)));
                None
            }
            Ended::Killed => None,
        }
    }

    /// Does a step, and twice more if it fails, as the state machine does.
    async fn step(&self, mut step: Value) -> Option<Value> {
        for retries in 0..3 {
            if step["step"] == "fit" {
                step["retries"] = json!(retries);
            }
            if let Some(answer) = self.invoke(json!({"pipeline": step})).await {
                return Some(answer);
            }
            sleep(Duration::from_secs(5 * 3u64.pow(retries))).await;
        }
        None
    }

    /// Leads a retraining as the state machine does: it begins once, and what fails three times ends it.
    async fn by_steps(&self, request: Value) -> Option<()> {
        let begin = json!({"step": "begin", "request": request, "name": self.name});
        let begun = self.invoke(json!({"pipeline": begin})).await?;
        let run = &begun["run"];
        let led = self.lead(run).await;
        if led.is_none() {
            let error = json!({"Error": "States.TaskFailed"});
            self.step(json!({"step": "abandon", "run": run, "error": error})).await;
        }
        led
    }

    async fn lead(&self, run: &Value) -> Option<()> {
        loop {
            let next = self.step(json!({"step": "next", "run": run})).await?;
            if next["done"] == true {
                return self.step(json!({"step": "judge", "run": run})).await.map(drop);
            }
            for task in next["tasks"].as_array()? {
                self.step(json!({"step": "fit", "run": run, "task": task})).await?;
            }
        }
    }
}

/// Checks that the registry and the records of runs can be read, and returns the champion.
///
/// # Errors
/// What cannot be read.
pub async fn readable(store: Arc<dyn Store>) -> Result<Option<ModelVersion>, Broken> {
    let broken = |error: &dyn std::error::Error| Broken(model::chain(error));
    let registry = Registry::new(Arc::clone(&store));
    let history = registry.history(Target::Duration).await.map_err(|error| broken(&error))?;
    let seqs: Vec<u64> = history.iter().map(|alias| alias.seq).collect();
    promise!(seqs == (1..=seqs.len() as u64).collect::<Vec<_>>(), "the history has a hole: {seqs:?}");
    let runs = Runs::new(store);
    for name in runs.names().await.map_err(|error| broken(&error))? {
        let status = runs.status(&name).await.map_err(|error| broken(&error))?;
        promise!(status.is_some(), "the run {name} has no record");
    }
    let Some(alias) = history.into_iter().last() else { return Ok(None) };
    registry.artifact(Target::Duration, &alias.version).await.map_err(|error| broken(&error))?;
    registry.card(Target::Duration, &alias.version).await.map_err(|error| broken(&error))?;
    Ok(Some(alias.version))
}

/// Returns how often the champion has changed.
///
/// # Panics
/// If the history cannot be read.
pub async fn promotions(models: &Arc<dyn Store>) -> u64 {
    let history = Registry::new(Arc::clone(models)).history(Target::Duration).await.unwrap();
    history.len() as u64
}

/// Returns the version that a run promotes where nothing fails.
async fn undisturbed(data: &Bucket) -> Option<ModelVersion> {
    static VERSION: std::sync::Mutex<Option<ModelVersion>> = std::sync::Mutex::new(None);
    if let Some(known) = VERSION.lock().unwrap().clone() {
        return Some(known);
    }
    let models = MemoryStore::default();
    let deadline = platform::lambda::Deadline::after(limit(LIMIT_SECONDS));
    let day = "2021-03-15".parse().unwrap();
    let retrainer = retrainer(Arc::new(data.objects.clone()), Arc::new(models.clone()));
    retrainer.retrain(day, &[Target::Duration], "undisturbed", deadline).await.unwrap();
    let champion = Registry::new(Arc::new(models)).champion(Target::Duration).await.unwrap();
    *VERSION.lock().unwrap() = champion.map(|champion| champion.alias.version);
    VERSION.lock().unwrap().clone()
}
