//! From made-up trips to a model, and from messages to predictions.

use {{crate_name}}::Scorer;
use {{crate_name}}::learning::{Learned, Model, learn};
use {{crate_name}}::target::NAME;
use lambda_runtime::{Context, LambdaEvent};
use model::outcome::Outcome;
use model::{LabelledTrips, Trip, Zone};
use platform::queue::MemorySink;
use serde_json::{Value, json};

/// Trips whose value is three and two more for each mile.
fn month(seed: u16) -> LabelledTrips {
    let mut month = LabelledTrips::default();
    for at in 0..2_000u16 {
        let miles = f64::from(at.wrapping_mul(37).wrapping_add(seed) % 120) / 10.0 + 0.1;
        let zone = |of: u16| Zone::new(of % 260 + 1);
        let (pickup_zone, dropoff_zone) = (zone(at), zone(at.wrapping_mul(7)));
        month.trips.push(Trip { pickup_zone, dropoff_zone, distance_miles: Some(miles), ..Trip::default() });
        month.outcomes.push(Outcome { {{outcome}}: Some(3.0 + 2.0 * miles), ..Outcome::default() });
    }
    month
}

fn learned() -> Learned {
    learn(&[month(1), month(2)], &month(3), &month(4)).unwrap()
}

fn event(bodies: &[&str]) -> LambdaEvent<Value> {
    let record = |(at, body): (usize, &&str)| json!({"messageId": format!("m{at}"), "eventSource": "aws:sqs", "body": body});
    let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
    LambdaEvent::new(json!({"Records": records}), Context::default())
}

#[test]
fn it_learns_what_trips_have_in_common() {
    let learned = learned();
    assert!(learned.rmse < 0.2 * learned.rmse_of_mean, "{} of {}", learned.rmse, learned.rmse_of_mean);
    assert!(Model::from_bytes(&learned.bytes[..20]).is_err());
}

#[tokio::test]
async fn every_message_ends_once_or_comes_back() {
    let (predictions, rejects) = (MemorySink::default(), MemorySink::default());
    let model = Model::from_bytes(&learned().bytes).unwrap();
    let scorer = Scorer::new(model, predictions.clone(), rejects.clone());
    let good =
        r#"{"ride_id": 256, "ride": {"PULocationID": 130, "DOLocationID": 205, "trip_distance": 5.0}}"#;
    let bad = r#"{"ride_id": 257, "ride": {"DOLocationID": 205}}"#;
    let answer = scorer.handle(event(&[good, bad, "{"])).await.unwrap();
    assert!(answer.batch_item_failures.is_empty());
    let sent: Value = serde_json::from_str(&predictions.sent()[0].body).unwrap();
    assert!((sent[NAME].as_f64().unwrap() - 13.0).abs() < 1.0 && sent["ride_id"] == 256, "{sent}");
    assert_eq!(rejects.sent().len(), 2);
    predictions.refuse(Some("256"));
    let answer = scorer.handle(event(&[good, bad])).await.unwrap();
    let failed: Vec<_> = answer.batch_item_failures.iter().map(|one| one.item_identifier.as_str()).collect();
    assert_eq!(failed, ["m0"]);
}
