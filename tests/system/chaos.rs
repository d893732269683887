//! The built functions, killed with SIGKILL at any moment. `make chaos` does it long; the gate a short form of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::Target;
use model::testing::constant_duration;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use registry::{NO_CARD, Registry};
use serde_json::{Value, json};
use store::{DirectoryStore, Store};
use tests::bootstrap::{Bootstrap, Reply};
use tests::needs::{Need, has};
use tests::queues::Queues;
use tests::simulation::invocation::{Verdict, verdict};
use tests::simulation::retrainings::{month, readable};
use tests::{function_binary, months};

/// How much of it: the gate's, or `make chaos`'s.
fn size(short: u64, long: u64) -> u64 {
    if tests::variable("CHAOS").is_some_and(|size| size == "long") { long } else { short }
}

/// Text of rides whose predictions the queue refuses for good.
const REFUSED: &str = "refused";
/// Receives after which SQS moves a message to the dead-letter queue, as in template.yaml.
const RECEIVES_MAX: u32 = 10;
/// Environments at once.
const ENVIRONMENTS: u64 = 2;

/// Messages that wait, each with its receives, and those that are dead.
#[derive(Default)]
struct Trips {
    waiting: VecDeque<(String, u32)>,
    under_way: usize,
    dead: Vec<String>,
}

impl Trips {
    fn receive(&mut self) -> Vec<(String, u32)> {
        let mut received = Vec::new();
        while received.len() < 10 {
            let Some((body, receives)) = self.waiting.pop_front() else { break };
            if receives == RECEIVES_MAX {
                self.dead.push(body);
            } else {
                received.push((body, receives + 1));
            }
        }
        self.under_way += received.len();
        received
    }

    fn end(&mut self, again: Vec<(String, u32)>, received: usize) {
        self.under_way -= received;
        self.waiting.extend(again);
    }
}

async fn start(function: &str, folder: &Path, queues: &str) -> Bootstrap {
    let at = |name: &str| folder.join(name).display().to_string();
    let url = |name: &str| format!("{queues}/1/{name}");
    let (data, models) = (at("data"), at("models"));
    let (predictions, rejects) = (url("predictions"), url("rejects"));
    let variables = [
        ("DATA_STORE", data.as_str()),
        ("MODEL_STORE", &models),
        ("PREDICTIONS_QUEUE_URL", &predictions),
        ("DLQ_URL", &rejects),
        ("AWS_ENDPOINT_URL", queues),
    ];
    Bootstrap::start(&function_binary(function), &variables).await
}

async fn promote(folder: &Path) {
    let registry = Registry::new(Arc::new(DirectoryStore::new(&folder.join("models"))));
    let bytes = constant_duration(10.0).into();
    let version = registry.publish(Target::Duration, bytes, &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "2021-01-01T00:00:00Z").await.unwrap();
}

/// Returns messages: one in twenty can never be predicted, one in two hundred is refused, one in ten is sent twice.
fn messages(number: u64, random: &mut ChaCha8Rng) -> Vec<String> {
    let mut all = Vec::new();
    let unique = number * 10 / 11;
    for ride in 0..unique {
        all.push(match ride % 200 {
            7 => json!({"ride_id": format!("{REFUSED}-{ride}"), "ride": {"PULocationID": 1, "DOLocationID": 2}}).to_string(),
            at if at % 20 == 0 => format!("no ride {ride}"),
            _ => json!({"ride_id": ride, "ride": {"PULocationID": 1, "DOLocationID": 2}}).to_string(),
        });
    }
    for _ in unique..number {
        let again = all[random.random_range(0..unique as usize)].clone();
        all.insert(random.random_range(0..all.len()), again);
    }
    all
}

/// Hands messages to a scorer that is killed now and then, until none waits. Returns how often it was killed.
async fn environment(trips: Arc<Mutex<Trips>>, folder: PathBuf, queues: String, seed: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut scorer, mut killed) = (start("scorer", &folder, &queues).await, 0);
    loop {
        let received = trips.lock().unwrap().receive();
        if received.is_empty() {
            if trips.lock().unwrap().under_way == 0 {
                return killed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let ids: Vec<String> = (0..received.len()).map(|at| format!("m{at}")).collect();
        let record = |(id, (body, _)): (&String, &(String, u32))| json!({"messageId": id, "body": body});
        let event = json!({"Records": ids.iter().zip(&received).map(record).collect::<Vec<_>>()});
        let dies = random.random_bool(0.25);
        let after =
            if dies { Duration::from_micros(random.random_range(0..8000)) } else { Duration::from_secs(60) };
        let reply = scorer.handle_or_die(event, after).await;
        let verdict = match &reply {
            Some(Reply::Response(answer)) => verdict(Some(answer), &ids),
            Some(Reply::Error(_)) | None => Verdict::AllAgain,
        };
        let number = received.len();
        let again =
            received.into_iter().enumerate().filter(|(at, _)| verdict.comes_back(*at)).map(|(_, one)| one);
        trips.lock().unwrap().end(again.collect(), number);
        if reply.is_none() {
            killed += 1;
            scorer = start("scorer", &folder, &queues).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scorer_that_is_killed_loses_no_message() {
    if !has(Need::Built) {
        return;
    }
    let (number, kills) = (size(3_000, 100_000), size(20, 1_000));
    let folder = tempfile::tempdir().unwrap();
    promote(folder.path()).await;
    let sent = messages(number, &mut ChaCha8Rng::seed_from_u64(1));
    let (queues, address) = Queues::serve(REFUSED).await;
    let waiting = sent.iter().map(|body| (body.clone(), 0)).collect();
    let trips = Arc::new(Mutex::new(Trips { waiting, ..Trips::default() }));
    let environments = (0..ENVIRONMENTS).map(|seed| {
        tokio::spawn(environment(Arc::clone(&trips), folder.path().into(), address.clone(), seed))
    });
    let killed: u64 = futures::future::join_all(environments).await.into_iter().map(Result::unwrap).sum();
    let mut predictions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in queues.sent("predictions") {
        let prediction: Value = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        let ride = prediction["prediction"]["ride_id"].to_string();
        predictions.entry(ride).or_default().insert(prediction["id"].to_string());
    }
    let rejects = queues.sent("rejects");
    assert!(
        rejects.iter().all(|entry| entry["MessageAttributes"]["reason"].is_object()),
        "each with its reason"
    );
    let rejected: BTreeSet<&str> =
        rejects.iter().map(|entry| entry["MessageBody"].as_str().unwrap()).collect();
    let dead = std::mem::take(&mut trips.lock().unwrap().dead);
    let dead: BTreeSet<&str> = dead.iter().map(String::as_str).collect();
    let (mut lost, mut astray) = (Vec::new(), Vec::new());
    for body in sent.iter().collect::<BTreeSet<_>>() {
        let ride = serde_json::from_str::<Value>(body).map_or(Value::Null, |ride| ride["ride_id"].clone());
        let is_predicted = predictions.contains_key(&ride.to_string());
        let (is_rejected, is_dead) = (rejected.contains(body.as_str()), dead.contains(body.as_str()));
        let expected = (!ride.is_null() && !body.contains(REFUSED), ride.is_null(), body.contains(REFUSED));
        match (is_predicted, is_rejected, is_dead) {
            (false, false, false) => lost.push(body),
            found if found != expected => astray.push((body, found)),
            _ => (),
        }
    }
    let doubled = predictions.values().filter(|ids| ids.len() > 1).count();
    println!(
        "killed {killed} scorers: {number} messages, {} predicted, {} rejected, {} dead; {} lost, {doubled} doubled by id, {} astray",
        predictions.len(),
        rejected.len(),
        dead.len(),
        lost.len(),
        astray.len()
    );
    let some = (lost.iter().take(5).collect::<Vec<_>>(), astray.iter().take(5).collect::<Vec<_>>());
    assert_eq!((lost.len(), doubled, astray.len()), (0, 0, 0), "{some:?}");
    assert!(killed >= kills, "killed only {killed} times");
}

#[tokio::test]
async fn a_batch_predictor_that_is_killed_leaves_no_part() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    promote(folder.path()).await;
    let name = months::file_name(months::SAMPLE[0]);
    let place = folder.path().join("data/incoming");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::copy(months::sample_folder().join(&name), place.join(&name)).unwrap();
    let event = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {
        "bucket": {"name": "any"}, "object": {"key": format!("incoming/{name}")}}});
    let start = || start("batch-predictor", folder.path(), "http://127.0.0.1:9");
    // An undisturbed run says what is right, and how long it takes.
    let mut undisturbed = start().await;
    undisturbed.first_poll().await;
    let began = Instant::now();
    let answer = undisturbed.handle(event.clone()).await.response();
    let took = began.elapsed();
    let predictions = folder.path().join("data").join(answer[0]["predictions"].as_str().unwrap());
    let expected = std::fs::read(&predictions).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let (mut killed, mut ended) = (0, 0);
    while killed < size(5, 200) {
        std::fs::remove_file(&predictions).ok();
        let mut predictor = start().await;
        predictor.first_poll().await;
        let after = took.mul_f64(random.random_range(0.0..1.2));
        match predictor.handle_or_die(event.clone(), after).await {
            Some(reply) => {
                reply.response();
                ended += 1;
            }
            None => killed += 1,
        }
        if let Ok(found) = std::fs::read(&predictions) {
            assert!(found == expected, "predictions in part");
        }
    }
    start().await.handle(event).await.response();
    assert!(std::fs::read(&predictions).unwrap() == expected, "other predictions");
    for store in ["data", "models"] {
        let left = std::fs::read_dir(folder.path().join(store).join(".tripcast")).unwrap().count();
        assert_eq!(left, 1, "nothing but the lock is left in {store}");
    }
    println!("killed {killed} batch predictors, {ended} others ended: no part, the same bytes");
}

#[tokio::test]
async fn a_retrainer_that_is_killed_leaves_a_registry_that_can_be_read() {
    if !has(Need::Built) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("data/history");
    std::fs::create_dir_all(&history).unwrap();
    let models: Arc<dyn Store> = Arc::new(DirectoryStore::new(&folder.path().join("models")));
    // Trips change each time, so that the next run has something better to promote.
    let write = |promotions: u64| {
        for of in ["2021-01", "2021-02"] {
            let bytes = month(of, if promotions.is_multiple_of(2) { 5 } else { 25 });
            std::fs::write(history.join(months::file_name(of)), bytes).unwrap();
        }
    };
    let start = || start("retrainer", folder.path(), "http://127.0.0.1:9");
    let event = json!({"now": "2021-03-15", "target": "duration"});
    let (mut killed, mut promotions, mut took) = (0, 0, Duration::from_secs(20));
    let mut random = ChaCha8Rng::seed_from_u64(3);
    while killed < size(3, 100) || promotions < 3 {
        write(promotions);
        let mut retrainer = start().await;
        retrainer.first_poll().await;
        let began = Instant::now();
        // The second run has a champion to compare with, and says how long that takes.
        let dies = promotions > 1 && killed < size(3, 100);
        let after = if dies { took.mul_f64(random.random_range(0.0..1.2)) } else { Duration::from_secs(120) };
        let reply = retrainer.handle_or_die(event.clone(), after).await;
        let before = promotions;
        promotions = tests::simulation::retrainings::promotions(&models).await;
        match reply {
            Some(reply) => {
                let run = reply.response();
                took = if dies { took } else { began.elapsed() };
                assert!(promotions > before, "the next run promotes: {run}");
            }
            None => killed += 1,
        }
        let champion = readable(Arc::clone(&models)).await;
        assert!(champion.is_ok(), "{champion:?}");
    }
    println!("killed {killed} retrainers, {promotions} promotions: the history has no hole");
}
