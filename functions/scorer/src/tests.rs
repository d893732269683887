mod stream;

use std::sync::Arc;

use bytes::Bytes;
use lambda_runtime::{Config as LambdaConfig, Context};
use model::{Family, Target, Trip, Zone, testing};
use platform::queue::MemorySink;
use registry::{Change, NO_CARD, Registry, Shadows};
use store::{MemoryStore, Store};

use super::*;
use crate::shadow::ShadowScorer;

fn sample(name: &str) -> Value {
    let path = format!("{}/../../infra/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn artifact() -> Bytes {
    artifact_of([10.0, 20.0])
}

/// Builds the artifact of a model that predicts these minutes for the zones 130 and 131.
fn artifact_of(minutes: [f64; 2]) -> Bytes {
    let trip = |zone| Trip { pickup_zone: Zone::new(zone), dropoff_zone: Zone::new(205), ..Trip::default() };
    let trips = vec![trip(130), trip(131)];
    testing::artifact(Target::Duration, Family::Linear, trips, minutes.to_vec()).into()
}

fn bundle() -> Bundle {
    Bundle::from_bytes(&artifact(), None).unwrap()
}

fn batch(name: &str) -> Vec<Message> {
    trip_messages(&sample(name)).unwrap().messages
}

fn of_queue(messages: &[Message]) -> TripMessages {
    TripMessages { origin: Origin::Queue, messages: messages.to_vec() }
}

async fn run(messages: &[Message], sinks: &(MemorySink, MemorySink), go_on: bool) -> ScoredBatch {
    let ports = Ports { predictions: &sinks.0, rejects: &sinks.1 };
    score(&of_queue(messages), || async { Ok(Arc::new(bundle())) }, ports, || go_on).await.unwrap()
}

fn failed(scored: &ScoredBatch) -> Vec<String> {
    let response = scored.outcomes.response();
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

#[tokio::test]
async fn every_message_ends_as_a_prediction_or_is_rejected_with_its_reason() {
    let (messages, sinks) = (batch("scorer-sqs-mixed"), Default::default());
    let scored = run(&messages, &sinks, true).await;
    assert_eq!((scored.predicted, scored.rejected, failed(&scored)), (1, 2, vec![]));
    let answer: Value = serde_json::from_str(&sinks.0.sent()[0].body).unwrap();
    assert_eq!(answer["model"], "ride_duration_prediction_model");
    assert_eq!(answer["prediction"]["ride_id"], 256);
    assert_eq!(answer["prediction"]["ride_duration"], 10.0);
    assert_eq!(answer["prediction"]["tip_probability"], Value::Null);
    assert_eq!(answer["version"], answer["versions"]["duration"]);
    assert_eq!(answer["id"].as_str().unwrap().len(), 64);
    let rejects = sinks.1.sent();
    let attribute = |at: usize, name: &str| {
        rejects[at].attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (attribute(0, "reason"), attribute(1, "reason")),
        (Some("undecodable"), Some("missing_pickup_zone"))
    );
    assert_eq!(attribute(0, "source_message_id"), Some(messages[1].id.as_str()));
    assert_eq!(rejects[0].body, messages[1].body);
}

#[tokio::test]
async fn what_a_sink_does_not_take_comes_back() {
    let (messages, sinks): (_, (MemorySink, MemorySink)) = (batch("scorer-sqs"), Default::default());
    sinks.0.refuse(Some("\"ride_id\":256"));
    let scored = run(&messages, &sinks, true).await;
    assert_eq!((scored.predicted, failed(&scored)), (2, vec![messages[0].id.clone()]));
    let mixed = batch("scorer-sqs-mixed");
    sinks.1.refuse(Some("ride_id"));
    let scored = run(&mixed, &sinks, true).await;
    assert_eq!(
        (scored.rejected, failed(&scored).len()),
        (0, 3),
        "a rejected message that was not taken is not lost either"
    );
}

#[tokio::test]
async fn near_the_deadline_nothing_is_begun_and_all_comes_back() {
    let (messages, sinks) = (batch("scorer-sqs"), Default::default());
    let scored = run(&messages, &sinks, false).await;
    assert_eq!((failed(&scored).len(), sinks.0.sent().len()), (3, 0));
}

#[tokio::test]
async fn the_deadline_is_asked_for_before_every_call() {
    let (one, sinks): (_, (MemorySink, MemorySink)) = (batch("scorer-sqs"), Default::default());
    let many: Vec<Message> = (0..75).map(|at| Message { id: format!("m{at}"), ..one[0].clone() }).collect();
    let ports = Ports { predictions: &sinks.0, rejects: &sinks.1 };
    // Four calls of ten messages are in flight at once.
    let near = || sinks.0.sent().len() < 20;
    let scored = score(&of_queue(&many), || async { Ok(Arc::new(bundle())) }, ports, near).await.unwrap();
    assert_eq!(scored.predicted, sinks.0.sent().len());
    assert!((20..=50).contains(&scored.predicted), "{} of 75", scored.predicted);
    assert_eq!(failed(&scored).len(), 75 - scored.predicted);
}

#[tokio::test]
async fn a_rejected_message_has_room_for_its_reason() {
    let (body, sinks): (_, (MemorySink, MemorySink)) = ("x".repeat(1 << 20), Default::default());
    let scored =
        run(&[Message { id: "large".into(), body, ..batch("scorer-sqs")[0].clone() }], &sinks, true).await;
    assert_eq!(scored.rejected, 1);
    let reject = &sinks.1.sent()[0];
    let attributes: usize = reject.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    assert!(reject.body.len() + attributes <= 256 << 10);
    assert!(reject.attributes.contains(&("cut_from_bytes", (1 << 20).to_string())), "it says so");
}

#[tokio::test]
async fn a_resent_message_gets_the_same_id() {
    let sinks = Default::default();
    run(&batch("scorer-sqs"), &sinks, true).await;
    run(&batch("scorer-sqs"), &sinks, true).await;
    let ids: Vec<String> = sinks
        .0
        .sent()
        .iter()
        .map(|sent| serde_json::from_str::<Value>(&sent.body).unwrap()["id"].to_string())
        .collect();
    assert_eq!(ids[..3], ids[3..]);
}

#[tokio::test]
async fn without_models_what_can_never_be_predicted_is_rejected_all_the_same() {
    let sinks: (MemorySink, MemorySink) = Default::default();
    let ports = Ports { predictions: &sinks.0, rejects: &sinks.1 };
    let none = || async { Err(ModelError::NoChampion) };
    let mixed = batch("scorer-sqs-mixed");
    let scored = score(&of_queue(&mixed), none, ports, || true).await.unwrap();
    assert_eq!((scored.rejected, failed(&scored)), (2, vec![mixed[0].id.clone()]));
    let refused = score(&of_queue(&batch("scorer-sqs")), none, ports, || true).await;
    assert!(matches!(refused, Err(ModelError::NoChampion)), "loud where nothing was ended");
    let only_broken = score(&of_queue(&mixed[1..]), none, ports, || true).await.unwrap();
    assert_eq!((only_broken.rejected, failed(&only_broken).len()), (2, 0));
}

fn event(payload: Value) -> LambdaEvent<Value> {
    let mut context = Context::default();
    context.deadline = u64::MAX;
    context.env_config = Arc::new(LambdaConfig::default());
    LambdaEvent::new(payload, context)
}

#[tokio::test]
async fn a_cold_start_without_a_champion_fails_loudly() {
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    let models = Models::new(registry.clone(), Duration::ZERO, |_, _| ());
    let scorer = Scorer::new(models, MemorySink::default(), MemorySink::default(), Duration::ZERO);
    let refused = scorer.handle(event(sample("scorer-sqs"))).await.unwrap_err();
    assert_eq!((refused.error_type(), refused.is_transient()), ("Models.NoChampion", true));
    let version = registry.publish(Target::Duration, artifact(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "").await.unwrap();
    let answered = scorer.handle(event(sample("scorer-sqs"))).await.unwrap();
    assert_eq!(answered.batch_item_failures.len(), 0, "the promotion is picked up");
    let other = scorer.handle(event(sample("retrainer-now"))).await.unwrap_err();
    assert_eq!((other.error_type(), other.is_transient()), ("Event.Unknown", false));
}

#[tokio::test]
async fn challengers_are_asked_in_the_shadow_and_never_answer() {
    let store = MemoryStore::default();
    let registry = Registry::new(Arc::new(store.clone()));
    let publish = |bytes: Bytes| {
        let registry = registry.clone();
        async move { registry.publish(Target::Duration, bytes, &NO_CARD).await.unwrap() }
    };
    let (champion, other) = (publish(artifact()).await, publish(artifact_of([30.0, 60.0])).await);
    let broken = publish(Bytes::from_static(b"no model")).await;
    registry.promote(Target::Duration, &champion, None, "", "").await.unwrap();
    let (predictions, answers) = (MemorySink::default(), MemoryStore::default());
    predictions.refuse(Some("\"ride_id\":256"));
    let models = Models::new(registry.clone(), Duration::ZERO, |_, _| ());
    let shadows = Shadows::new(registry.clone(), Duration::ZERO);
    let scorer = Scorer::new(models, predictions.clone(), MemorySink::default(), Duration::ZERO)
        .observed_by(ShadowScorer::new(shadows, Arc::new(answers.clone())));
    scorer.handle(event(sample("scorer-sqs"))).await.unwrap();
    assert_eq!(answers.list("").await.unwrap(), [], "no challengers");
    let kept = MemoryStore::default();
    let shadow = ShadowScorer::new(Shadows::new(registry.clone(), Duration::ZERO), Arc::new(kept.clone()));
    scorer.clone().observed_by(shadow.keeping_all(true)).handle(event(sample("scorer-sqs"))).await.unwrap();
    assert_eq!(kept.list("answers/").await.unwrap().len(), 1, "kept for labels that come later");
    let both = [Change::Add(other.clone()), Change::Add(broken)];
    registry.challenge(Target::Duration, &both, "to compare", "").await.unwrap();
    let mut second = event(sample("scorer-sqs"));
    second.context.request_id = "request-2".into();
    scorer.handle(second).await.unwrap();
    let kept = answers.list("answers/").await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].key.as_str().ends_with("/request-2.jsonl"), "{kept:?}");
    let text = answers.get(&kept[0].key, Default::default()).await.unwrap().bytes;
    let lines: Vec<Value> =
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(lines.len(), 2, "what was not acknowledged was not answered");
    let sent: Vec<Value> =
        predictions.sent().iter().map(|sent| serde_json::from_str(&sent.body).unwrap()).collect();
    for (line, sent) in lines.iter().zip(&sent[4..]) {
        assert!(line["trip"]["pickup_zone"].is_u64(), "{line}");
        assert_eq!((&line["id"], &line["prediction"]), (&sent["id"], &sent["prediction"]));
        assert_eq!(sent["version"], champion.as_str());
        let predicted = &line["challengers"][0];
        assert_eq!(
            (&predicted["version"], line["challengers"].as_array().unwrap().len()),
            (&json!(other), 1)
        );
        assert!(predicted["ride_duration"].as_f64() > sent["prediction"]["ride_duration"].as_f64());
    }
}

#[tokio::test]
async fn answers_of_challengers_that_cannot_be_kept_cost_nothing() {
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    let version = registry.publish(Target::Duration, artifact(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "").await.unwrap();
    registry.challenge(Target::Duration, &[Change::Add(version)], "", "").await.unwrap();
    let folder = tempfile::NamedTempFile::new().unwrap();
    let nowhere = Arc::new(store::DirectoryStore::new(folder.path()));
    let models = Models::new(registry.clone(), Duration::ZERO, |_, _| ());
    let shadows = Shadows::new(registry, Duration::ZERO);
    let scorer = Scorer::new(models, MemorySink::default(), MemorySink::default(), Duration::ZERO)
        .observed_by(ShadowScorer::new(shadows, nowhere));
    let answered = scorer.handle(event(sample("scorer-sqs"))).await.unwrap();
    assert_eq!(answered.batch_item_failures.len(), 0);
}
