//! Histories of messages: the scorer between queues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use registry::{Registry, Shadows};
use scorer::Scorer;
use scorer::profiles::ProfileWriter;
use scorer::shadow::ShadowScorer;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::chance::Chance;
use super::invocation::{Ended, Environment, event, limit, verdict};
use super::models::{self, REFRESH, champions, check_prediction};
use super::queue::{Held, Queue};
use super::store::Bucket;
use super::{Broken, Counts, side_by_side};
use crate::promise;

/// Calls of a hundred that end in a fault, while it storms.
const FAULTS: u64 = 20;
/// The scorer's time limit, as in template.yaml.
const LIMIT_SECONDS: u64 = 30;
const RESERVE: Duration = Duration::from_secs(5);
/// Time over which messages are sent, and faults happen.
const STORM: Duration = Duration::from_secs(300);
/// Time between two looks at the queue.
const BETWEEN: Duration = Duration::from_secs(2);
/// Text of a ride whose prediction the queue of predictions refuses.
const REFUSED: &str = "refused";

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// It can be predicted.
    Good,
    /// Its prediction is refused for good.
    Refused,
    /// It can never be predicted.
    Bad,
}

/// The world of a history.
#[derive(Debug, Clone)]
struct World {
    chance: Chance,
    models: Bucket,
    data: Bucket,
    trips: Queue,
    predictions: Queue,
    rejects: Queue,
}

/// Runs a history.
///
/// # Errors
/// The first promise that was broken.
pub async fn run(chance: &Chance) -> Result<Counts, Broken> {
    let queue = |name| Queue::new(name, chance);
    let world = World {
        chance: chance.clone(),
        models: Bucket::new(chance, FAULTS),
        data: Bucket::new(chance, FAULTS),
        trips: queue("trips"),
        predictions: queue("predictions"),
        rejects: queue("rejects"),
    };
    models::prepare(&world.models, chance).await;
    world.predictions.refuse(Some(REFUSED));
    let sent = send(&world);
    let changing = tokio::spawn(models::change(world.models.clone(), chance.clone(), chance.below(4)));
    let pollers: Vec<_> = (0..1 + chance.below(3)).map(|number| poll(world.clone(), number)).collect();
    let (environments, ()) = tokio::join!(side_by_side(pollers), chance.storm(STORM));
    let mut ended = changing.await.map_err(|error| Broken(error.to_string()));
    let mut counts = Counts::from([("killed", environments.into_iter().sum())]);
    counts.insert("sent", sent.len() as u64);
    ended = ended.and(check(&world, &sent, true, &mut counts));
    // Somebody finds the reason, and sends what is dead once more.
    world.predictions.refuse(None);
    world.trips.redrive();
    poll(world.clone(), 99).await;
    ended.and(check(&world, &sent, false, &mut counts))?;
    Ok(counts)
}

/// Sends messages, and returns each with its nature. Some are sent twice.
fn send(world: &World) -> Vec<(String, Nature)> {
    let chance = &world.chance;
    let ride = |id: String| {
        json!({"ride_id": id, "ride": {"PULocationID": 1, "DOLocationID": 2, "trip_distance": 3.66}})
            .to_string()
    };
    let sent: Vec<(String, Nature)> = (0..1 + chance.below(30))
        .map(|number| match chance.below(10) {
            0 => (format!("no ride {number}"), Nature::Bad),
            1 => (json!({"ride_id": number, "ride": {"PULocationID": 1}}).to_string(), Nature::Bad),
            2 => (ride(format!("{REFUSED}-{number}")), Nature::Refused),
            _ => (ride(format!("ride-{number}")), Nature::Good),
        })
        .collect();
    for (body, _) in &sent {
        for _ in 0..if chance.percent(10) { 2 } else { 1 } {
            let (trips, chance, body) = (world.trips.clone(), chance.clone(), body.clone());
            tokio::spawn(async move {
                chance.wait(STORM / 2).await;
                trips.add(body, Vec::new());
            });
        }
    }
    sent
}

/// Polls the queue and invokes the scorer until nothing waits, as Lambda does. Returns how many environments ended.
async fn poll(world: World, number: u64) -> u64 {
    let chance = &world.chance;
    let (mut environment, mut killed) = (start(&world), 0);
    for batch in 0u64.. {
        if !environment.is_alive() {
            killed += 1;
            environment = start(&world);
        }
        // Some environments serve two batches at a time.
        let serves_two = chance.percent(20);
        let other = async {
            if serves_two {
                invoke(&world, &environment, format!("{number}-{batch}-b")).await;
            }
        };
        tokio::join!(invoke(&world, &environment, format!("{number}-{batch}-a")), other);
        sleep(BETWEEN).await;
        if chance.is_calm() && world.trips.waiting() == 0 {
            break;
        }
    }
    killed
}

fn start(world: &World) -> Environment<Scorer> {
    let registry = Registry::new(Arc::new(world.models.clone()));
    let shadows = Shadows::new(registry, REFRESH);
    let data = Arc::new(world.data.clone());
    Environment::new(
        Scorer::new(champions(&world.models), world.predictions.clone(), world.rejects.clone(), RESERVE)
            .observed_by(ProfileWriter::new(data.clone()))
            .observed_by(ShadowScorer::new(shadows, data).keeping_all(world.chance.percent(30))),
    )
}

/// Receives a batch, invokes the scorer with it, and deletes what has ended.
async fn invoke(world: &World, environment: &Environment<Scorer>, request: String) {
    let chance = &world.chance;
    let received = world.trips.receive();
    // Lambda receives before it knows whether the function is throttled.
    if received.is_empty() || chance.fault(5) {
        return;
    }
    let ids: Vec<String> = received.iter().map(|held| held.id.clone()).collect();
    chance.note(format_args!("{request}: {}", ids.join(" ")));
    let event = event(request.clone(), batch(&received), limit(LIMIT_SECONDS));
    let answered = environment.invoke(chance, limit(LIMIT_SECONDS), environment.function.handle(event)).await;
    let answer = match answered {
        Ended::Answered(Ok(answer)) => serde_json::to_value(answer).ok(),
        Ended::Answered(Err(error)) => {
            chance.note(format_args!("{request}: {error}"));
            return;
        }
        Ended::Killed => return,
    };
    let verdict = verdict(answer.as_ref(), &ids);
    for (_, id) in ids.iter().enumerate().filter(|(at, _)| !verdict.comes_back(*at)) {
        if !chance.fault(2) {
            world.trips.delete(id);
        }
    }
}

fn batch(received: &[Held]) -> Value {
    let record = |held: &Held| json!({"messageId": held.id, "body": held.body, "eventSource": "aws:sqs"});
    json!({"Records": received.iter().map(record).collect::<Vec<_>>()})
}

/// Checks where every message ended.
fn check(
    world: &World,
    sent: &[(String, Nature)],
    may_be_dead: bool,
    counts: &mut Counts,
) -> Result<(), Broken> {
    promise!(world.trips.waiting() == 0, "messages wait for ever");
    let rejected: BTreeSet<String> = world.rejects.held().into_iter().map(|held| held.body).collect();
    let dead: BTreeSet<String> = world.trips.dead().into_iter().map(|held| held.body).collect();
    promise!(may_be_dead || dead.is_empty(), "what was sent once more is dead again: {dead:?}");
    for held in world.rejects.held() {
        let named =
            |name: &str| held.attributes.iter().any(|(known, value)| *known == name && !value.is_empty());
        promise!(named("reason") && named("source_message_id"), "a rejected message without its reason");
    }
    let mut ids = BTreeMap::new();
    for held in world.predictions.held() {
        let prediction: Value =
            serde_json::from_str(&held.body).map_err(|error| Broken(error.to_string()))?;
        check_prediction(&prediction)?;
        let (ride, id) = (prediction["prediction"]["ride_id"].to_string(), prediction["id"].to_string());
        promise!(*ids.entry(ride).or_insert(id.clone()) == id, "a ride has two ids: {prediction}");
        *counts.entry("predictions").or_default() += u64::from(!may_be_dead);
    }
    for (body, nature) in sent {
        let ride = serde_json::from_str::<Value>(body).map_or(Value::Null, |ride| ride["ride_id"].clone());
        let (is_predicted, is_rejected, is_dead) =
            (ids.contains_key(&ride.to_string()), rejected.contains(body), dead.contains(body));
        let ends_well = match nature {
            Nature::Good => !is_rejected && (is_predicted || is_dead),
            Nature::Refused => !is_rejected && is_predicted != is_dead && is_dead == may_be_dead,
            Nature::Bad => !is_predicted && (is_rejected || is_dead),
        };
        promise!(
            ends_well,
            "{nature:?} {body}: predicted {is_predicted}, rejected {is_rejected}, dead {is_dead}"
        );
        *counts.entry("dead").or_default() += u64::from(is_dead);
        *counts.entry("both predicted and dead").or_default() += u64::from(is_dead && is_predicted);
    }
    Ok(())
}
