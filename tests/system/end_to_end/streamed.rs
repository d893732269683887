//! A stream of trips: records in, records of predictions out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use model::{Family, Target, Trip, Zone, testing};
use registry::{NO_CARD, Registry};
use serde_json::{Value, json};
use tests::needs::{Need, has};
use tests::stack::{Stack, attribute};

use super::document;

/// Waits until the stream of predictions has `count` different ids, and returns all of its records.
async fn predictions(stack: &Stack, count: usize) -> Vec<(String, Value)> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let records = stack.records("PredictionsStreamName").await;
        let answers: Vec<(String, Value)> =
            records.into_iter().map(|(key, text)| (key, document(&text))).collect();
        let ids: BTreeSet<String> = answers.iter().map(|(_, answer)| answer["id"].to_string()).collect();
        if ids.len() >= count {
            return answers;
        }
        assert!(Instant::now() < until, "{} of {count} predictions", ids.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the text of record `number`; one in twenty is poison.
fn record(number: usize) -> String {
    match number % 20 {
        7 => format!("poison {number}"),
        _ => json!({"ride_id": number, "ride": {"PULocationID": 130, "DOLocationID": 205}}).to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_records_end_in_order_while_their_iterator_is_lost_twice() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy_with("streamed", 5, &["StreamShards=2"]);
    let registry = Registry::new(Arc::new(stack.models()));
    let trip = |zone| Trip { pickup_zone: Zone::new(zone), dropoff_zone: Zone::new(205), ..Trip::default() };
    let bytes =
        testing::artifact(Target::Duration, Family::Linear, vec![trip(130), trip(7)], vec![18.0, 12.0]);
    let version = registry.publish(Target::Duration, bytes.into(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "2021-01-01T00:00:00Z").await.unwrap();

    // The record of the course.
    let ride = json!({"PULocationID": 130, "DOLocationID": 205, "trip_distance": 3.66});
    let of_course = json!({"ride": ride, "ride_id": 256}).to_string();
    let trips = stack.output("TripsStreamName");
    let put = stack.kinesis.put_record().stream_name(trips).partition_key("1");
    put.data(Blob::new(of_course)).send().await.unwrap();
    let (key, answer) = predictions(&stack, 1).await.remove(0);
    assert_eq!((key.as_str(), &answer["model"]), ("1", &json!("ride_duration_prediction_model")));
    let predicted = &answer["prediction"];
    assert_eq!((&predicted["ride_id"], &predicted["ride_duration"]), (&json!(256), &json!(18.0)), "{answer}");
    assert_eq!(answer["version"], version.as_str());

    // 1,000 records of 37 keys; what reads them loses its place twice in the middle.
    let numbers: Vec<usize> = (1_000..2_000).collect();
    for call in numbers.chunks(500) {
        let entry = |number: &usize| {
            let entry = PutRecordsRequestEntry::builder().partition_key(format!("taxi-{}", number % 37));
            entry.data(Blob::new(record(*number))).build().unwrap()
        };
        let put = stack.kinesis.put_records().stream_name(trips);
        let put = put.set_records(Some(call.iter().map(entry).collect())).send().await.unwrap();
        assert_eq!(put.failed_record_count, Some(0));
    }
    for count in [200, 500] {
        predictions(&stack, count).await;
        stack.restart_mapping("TripsStreamName").await;
    }
    let mut answers = predictions(&stack, 951).await;
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        // At the end of both shards nothing comes any more.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let later = predictions(&stack, 951).await;
        if later.len() == answers.len() {
            break;
        }
        assert!(Instant::now() < until, "records are delivered without an end");
        answers = later;
    }
    let (mut seen, mut by_key) = (BTreeSet::new(), BTreeMap::<&str, Vec<u64>>::new());
    for (key, answer) in &answers {
        if seen.insert(answer["id"].as_str().unwrap()) {
            by_key.entry(key).or_default().push(answer["prediction"]["ride_id"].as_u64().unwrap());
        }
    }
    assert_eq!(seen.len(), 951, "each at least once, with one id");
    assert!(answers.len() > 951, "some were delivered again, {} in all", answers.len());
    assert!(by_key.values().all(|rides| rides.is_sorted()), "{by_key:?}");
    let rejects = stack.receive("RejectsQueueUrl", 50, 30).await;
    let bodies: BTreeSet<&str> = rejects.iter().filter_map(|reject| reject.body()).collect();
    let poison = numbers.iter().map(|number| record(*number)).filter(|text| text.starts_with("poison"));
    assert_eq!(bodies, poison.collect::<BTreeSet<_>>().iter().map(String::as_str).collect());
    for reject in &rejects {
        assert_eq!(attribute(reject, "reason"), "undecodable");
        assert!(
            attribute(reject, "sequence_number").bytes().all(|digit| digit.is_ascii_digit()),
            "{reject:?}"
        );
        assert!(attribute(reject, "partition_key").starts_with("taxi-"));
    }
    assert_eq!(stack.depth("BatchFailuresQueueUrl").await, 0);

    // The sample of an event is answered when the function is invoked with it, too.
    let event = std::fs::read(tests::root().join("infra/events/scorer-kinesis.json")).unwrap();
    let answered = stack.invoke("ScorerFunction", &serde_json::from_slice(&event).unwrap()).await.unwrap();
    assert_eq!(answered, json!({"batchItemFailures": []}));
}
