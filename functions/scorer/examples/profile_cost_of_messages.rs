//! Measures what profiles cost the scorer: the time of one thread for batches of ten messages with and without them, in turn. Queues and
//! stores are in memory, so that what is measured is all that the scorer does itself.
//!
//! ```text
//! cargo run --release -p scorer --example profile_cost_of_messages -- DURATION_MODEL [TIP_MODEL] >/dev/null
//! ```
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_runtime::{Context, LambdaEvent};
use model::Target;
use platform::queue::MemorySink;
use registry::{Models, NO_CARD, Registry};
use scorer::Scorer;
use scorer::profiles::ProfileWriter;
use serde_json::{Value, json};
use store::MemoryStore;

const BATCHES: usize = 1_000;
const ROUNDS: usize = 7;

/// Returns an event of ten rides that differ in their zones, times and distances.
fn event(number: usize) -> LambdaEvent<Value> {
    let record = |at: usize| {
        let of = 10 * number + at;
        let ride = json!({
            "PULocationID": 1 + of * 7 % 263, "DOLocationID": 1 + of * 13 % 263, "trip_distance": (of % 900) as f64 / 100.0,
            "pickup_datetime": format!("2025-02-03T{:02}:{:02}:00", of % 24, of % 60), "passenger_count": 1, "RatecodeID": 1,
            "trip_type": 1, "VendorID": 2,
        });
        json!({"messageId": of.to_string(), "body": json!({"ride_id": of, "ride": ride}).to_string(), "eventSource": "aws:sqs"})
    };
    let records: Vec<Value> = (0..10).map(record).collect();
    let mut context = Context::default();
    context.request_id = number.to_string();
    // Far ahead, as it is on Lambda when an event begins.
    context.deadline = u64::MAX / 2;
    LambdaEvent::new(json!({"Records": records}), context)
}

async fn scorer(files: &[String]) -> Scorer {
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    for (file, target) in files.iter().zip([Target::Duration, Target::Tip]) {
        let version = registry.publish(target, std::fs::read(file).unwrap().into(), &NO_CARD).await.unwrap();
        registry.promote(target, &version, None, "", "").await.unwrap();
    }
    let models = Models::new(registry, Duration::from_secs(3600), |_, _| ());
    Scorer::new(models, MemorySink::default(), MemorySink::default(), Duration::ZERO)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let plain = scorer(&files).await;
        let counting = scorer(&files).await.observed_by(ProfileWriter::new(Arc::new(MemoryStore::default())));
        let mut seconds = [0.0; 2];
        for number in 0..BATCHES {
            for (scorer, seconds) in [&plain, &counting].into_iter().zip(&mut seconds) {
                let event = event(number);
                let started = Instant::now();
                let answered = scorer.handle(event).await.unwrap();
                *seconds += started.elapsed().as_secs_f64();
                assert!(answered.batch_item_failures.is_empty());
            }
        }
        // The first round warms up.
        if round > 0 {
            ratios.push((seconds[1] / seconds[0] - 1.0, seconds[0] / BATCHES as f64 * 1e6));
        }
    }
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (more, micros) = ratios[ROUNDS / 2];
    eprintln!(
        "a batch of ten takes {micros:.0} us without profiles, and {:.1} % more with them (median of {ROUNDS})",
        100.0 * more
    );
}
