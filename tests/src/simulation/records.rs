//! Histories of records: the scorer between streams, which Lambda reads in order, shard by shard.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use scorer::Scorer;
use scorer::profiles::ProfileWriter;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::chance::Chance;
use super::invocation::{Ended, Environment, Verdict, event, limit, verdict};
use super::models::{self, champions, check_prediction};
use super::queue::Queue;
use super::shard::{Record, Shard, sequence_number};
use super::store::Bucket;
use super::{Broken, Counts, side_by_side};
use crate::promise;

/// Calls of a hundred that end in a fault, while it storms.
const FAULTS: u64 = 20;
/// The scorer's time limit, as in template.yaml.
const LIMIT_SECONDS: u64 = 30;
const RESERVE: Duration = Duration::from_secs(5);
/// Time over which records are put, and faults happen.
const STORM: Duration = Duration::from_secs(300);
/// Records of a batch at most.
const BATCH: u64 = 20;
/// Attempts after which Lambda gives a batch up; fewer than in template.yaml, so that it happens.
const ATTEMPTS_MAX: u32 = 4;

/// The world of a history.
#[derive(Debug, Clone)]
struct World {
    chance: Chance,
    models: Bucket,
    data: Bucket,
    predictions: Shard,
    rejects: Queue,
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
        predictions: Shard::new(chance),
        rejects: Queue::new("rejects", chance),
    };
    models::prepare(&world.models, chance).await;
    let changing = tokio::spawn(models::change(world.models.clone(), chance.clone(), chance.below(4)));
    let shards: Vec<Shard> = (0..1 + chance.below(2)).map(|_| Shard::new(chance)).collect();
    for (number, shard) in shards.iter().enumerate() {
        tokio::spawn(put(shard.clone(), chance.clone(), number));
    }
    let read = |(number, shard): (usize, &Shard)| read(world.clone(), shard.clone(), number);
    let reads: Vec<_> = shards.iter().enumerate().map(read).collect();
    let (given_up, ()) = tokio::join!(side_by_side(reads), chance.storm(STORM));
    changing.await.map_err(|error| Broken(error.to_string()))?;
    let mut counts = Counts::new();
    for (shard, given_up) in shards.iter().zip(&given_up) {
        check(&world, shard, given_up, &mut counts)?;
    }
    Ok(counts)
}

/// Puts records of a few keys, one in five of which can never be predicted.
async fn put(shard: Shard, chance: Chance, number: usize) {
    for at in 0..1 + chance.below(60) {
        chance.wait(Duration::from_secs(4)).await;
        let ride = format!("{number}-{at}");
        let text = match chance.below(10) {
            0 => format!("no ride {ride}"),
            1 => json!({"ride_id": ride, "ride": {"PULocationID": 1}}).to_string(),
            _ => json!({"ride_id": ride, "ride": {"PULocationID": 1, "DOLocationID": 2}}).to_string(),
        };
        shard.add(Record { key: format!("{number}-{}", chance.below(4)), text });
    }
}

/// Reads a shard to its end, as Lambda does: from its place on, from the first failed record on again, in halves after an error. Returns
/// the records that it gave up.
async fn read(world: World, shard: Shard, number: usize) -> Vec<Range<usize>> {
    let chance = &world.chance;
    let (mut environment, mut given_up) = (start(&world), Vec::new());
    let (mut place, mut length, mut attempts) = (0, BATCH as usize, 0u32);
    for batch in 0u64.. {
        if !environment.is_alive() {
            environment = start(&world);
        }
        if place >= shard.length() {
            if chance.is_calm() {
                break;
            }
            sleep(Duration::from_secs(2)).await;
            continue;
        }
        let records = shard.records();
        let until = records.len().min(place + length.min(1 + chance.below(BATCH) as usize));
        let request = format!("{number}-{batch}");
        chance.note(format_args!("{request}: records {place}..{until}"));
        let ended = invoke(&world, &environment, &request, &records, place..until).await;
        let next = place + ended.unwrap_or(0);
        match ended {
            // Lambda's place may be older than what it has read.
            Some(_) if next > place => {
                place = if chance.fault(3) { place } else { next };
                (length, attempts) = (BATCH as usize, 0);
            }
            _ => {
                attempts += 1;
                if ended.is_none() {
                    length = ((until - place) / 2).max(1);
                }
                if attempts > ATTEMPTS_MAX {
                    chance.note(format_args!("records {place}..{until} are given up"));
                    given_up.push(place..until);
                    (place, length, attempts) = (until, BATCH as usize, 0);
                }
                sleep(Duration::from_secs(u64::from(attempts))).await;
            }
        }
    }
    given_up
}

fn start(world: &World) -> Environment<Scorer> {
    let scorer = Scorer::new(champions(&world.models), world.rejects.clone(), world.rejects.clone(), RESERVE)
        .with_stream(world.predictions.clone())
        .observed_by(ProfileWriter::new(Arc::new(world.data.clone())));
    Environment::new(scorer)
}

/// Invokes the scorer with some records; returns how many of them have ended, or none after an error.
async fn invoke(
    world: &World,
    environment: &Environment<Scorer>,
    request: &str,
    records: &[Record],
    range: Range<usize>,
) -> Option<usize> {
    let ids: Vec<String> = range.clone().map(sequence_number).collect();
    let record = |at: usize| {
        json!({"eventSource": "aws:kinesis", "kinesis": {
            "sequenceNumber": sequence_number(at), "partitionKey": records[at].key, "data": STANDARD.encode(&records[at].text)}})
    };
    let payload = json!({"Records": range.clone().map(record).collect::<Vec<Value>>()});
    let event = event(request.into(), payload, limit(LIMIT_SECONDS));
    let handled = environment.function.handle(event);
    let Ended::Answered(Ok(answer)) = environment.invoke(&world.chance, limit(LIMIT_SECONDS), handled).await
    else {
        return None;
    };
    match verdict(serde_json::to_value(answer).ok().as_ref(), &ids) {
        Verdict::Ended => Some(range.len()),
        Verdict::Again(failed) => failed.into_iter().min(),
        Verdict::AllAgain => None,
    }
}

/// Checks where every record of a shard ended, and the order of what was predicted.
fn check(world: &World, shard: &Shard, given_up: &[Range<usize>], counts: &mut Counts) -> Result<(), Broken> {
    let mut first = BTreeMap::new();
    for (place, record) in world.predictions.records().into_iter().enumerate() {
        let prediction: Value =
            serde_json::from_str(&record.text).map_err(|error| Broken(error.to_string()))?;
        check_prediction(&prediction)?;
        first.entry(prediction["prediction"]["ride_id"].to_string()).or_insert(place);
        *counts.entry("predictions").or_default() += 1;
    }
    let rejected: Vec<String> = world.rejects.held().into_iter().map(|held| held.body).collect();
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (at, record) in shard.records().into_iter().enumerate() {
        let ride = serde_json::from_str::<Value>(&record.text).unwrap_or_default();
        let is_bad = ride["ride"]["DOLocationID"].is_null();
        let (predicted, is_rejected) =
            (first.get(&ride["ride_id"].to_string()), rejected.contains(&record.text));
        let is_given_up = given_up.iter().any(|range| range.contains(&at));
        promise!(
            if is_bad { predicted.is_none() } else { !is_rejected },
            "record {at} ended as it must not: {record:?}"
        );
        promise!(predicted.is_some() || is_rejected || is_given_up, "record {at} is lost: {record:?}");
        if let Some(place) = predicted.filter(|_| !is_given_up) {
            let before = last.insert(record.key.clone(), *place);
            promise!(
                before.is_none_or(|before| before < *place),
                "record {at} was predicted before an earlier one"
            );
        }
        *counts.entry("records").or_default() += 1;
        *counts.entry("given up").or_default() += u64::from(is_given_up);
    }
    Ok(())
}
