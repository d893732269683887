//! Records of a stream: what the course sends, and a shard whose sinks refuse at random.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform::queue::SendError;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

#[tokio::test]
async fn the_event_of_the_course_is_answered_and_poison_is_rejected_by_its_number() {
    let sinks: (MemorySink, MemorySink) = Default::default();
    let batch = trip_messages(&sample("scorer-kinesis")).unwrap();
    let ports = Ports { predictions: &sinks.0, rejects: &sinks.1 };
    let scored = score(&batch, || async { Ok(Arc::new(bundle())) }, ports, || true).await.unwrap();
    assert_eq!((scored.predicted, scored.rejected, failed(&scored)), (1, 1, vec![]));
    let answer: Value = serde_json::from_str(&sinks.0.sent()[0].body).unwrap();
    assert_eq!(answer["model"], "ride_duration_prediction_model");
    assert_eq!(
        (&answer["prediction"]["ride_id"], &answer["prediction"]["ride_duration"]),
        (&json!(256), &json!(10.0))
    );
    assert_eq!(sinks.0.sent()[0].partition_key.as_deref(), Some("1"), "that of its record");
    let reject = &sinks.1.sent()[0];
    let number = "49630081666084879290581185630324770398608704880802529282";
    for (name, value) in
        [("reason", "undecodable"), ("sequence_number", number), ("source_message_id", number)]
    {
        assert!(reject.attributes.contains(&(name, value.into())), "{name}: {reject:?}");
    }
}

#[tokio::test]
async fn without_models_a_shard_waits_in_front_of_what_could_be_predicted() {
    let sinks: (MemorySink, MemorySink) = Default::default();
    let batch = trip_messages(&sample("scorer-kinesis")).unwrap();
    let ports = Ports { predictions: &sinks.0, rejects: &sinks.1 };
    let refused = score(&batch, || async { Err(ModelError::NoChampion) }, ports, || true).await;
    assert!(matches!(refused, Err(ModelError::NoChampion)));
    assert_eq!(sinks.1.sent(), [], "it would be rejected again with each delivery");
}

/// Refuses the messages whose turn it is, and notes what each call took and whether all of it.
#[derive(Debug, Clone)]
struct Refusing {
    keeps_order: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether to refuse the next messages; none are refused after these.
    refuse: Vec<bool>,
    taken: Vec<Outgoing>,
    /// Calls since the last event after which none may follow.
    has_refused: bool,
}

#[async_trait]
impl Sink for Refusing {
    fn entries_a_call(&self) -> usize {
        7
    }
    fn keeps_order(&self) -> bool {
        self.keeps_order
    }
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), SendError>> {
        let mut state = self.state.lock().unwrap();
        assert!(!state.has_refused, "nothing is sent after a failure");
        assert!(messages.len() <= 7);
        if self.keeps_order {
            let keys: BTreeSet<_> = messages.iter().map(|message| &message.partition_key).collect();
            assert_eq!(keys.len(), messages.len(), "a key once in a call");
        }
        let mut take = |message: Outgoing| {
            if state.refuse.pop().unwrap_or_default() {
                state.has_refused = true;
                return Err(SendError::new("double", "its turn to refuse".into()));
            }
            state.taken.push(message);
            Ok(())
        };
        let mut results: Vec<_> = messages.into_iter().map(&mut take).collect();
        // What a sink leaves out of its answer, it has not taken.
        if results.last().is_some_and(Result::is_err) && state.taken.len().is_multiple_of(2) {
            results.pop();
        }
        results
    }
}

fn record(number: usize, key: u8, is_poison: bool) -> Value {
    let text = if is_poison {
        format!("poison {number}")
    } else {
        json!({"ride_id": number, "ride": {"PULocationID": 130, "DOLocationID": 205}}).to_string()
    };
    let kinesis = json!({"sequenceNumber": (9_990 + number).to_string(), "partitionKey": key.to_string(),
                         "data": STANDARD.encode(text)});
    json!({"eventSource": "aws:kinesis", "kinesis": kinesis})
}

/// More than the refusals of both sinks and the records together could need.
const BATCHES_MAX: usize = 200;

/// Delivers a shard as Lambda does, from the record that comes back, and returns what the sinks took.
fn deliver(records: &[Value], refuse: [Vec<bool>; 2]) -> [Vec<Outgoing>; 2] {
    let [predictions, rejects] = refuse.map(|refuse| Refusing {
        keeps_order: false,
        state: Arc::new(Mutex::new(State { refuse, ..State::default() })),
    });
    let predictions = Refusing { keeps_order: true, ..predictions };
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let version = registry.publish(Target::Duration, artifact(), &NO_CARD).await.unwrap();
        registry.promote(Target::Duration, &version, None, "", "").await.unwrap();
        let models = Models::new(registry, Duration::from_secs(60), |_, _| ());
        let scorer = Scorer::new(models, MemorySink::default(), rejects.clone(), Duration::ZERO)
            .with_stream(predictions.clone());
        let (mut position, mut batches) = (0, 0);
        while position < records.len() {
            batches += 1;
            assert!(batches <= BATCHES_MAX, "records come back for ever");
            let sent = &records[position..records.len().min(position + 20)];
            let answer = scorer.handle(event(json!({"Records": sent}))).await.unwrap();
            let failures = answer.batch_item_failures;
            assert!(failures.len() <= 1, "one number says where to go on");
            let failed = failures.first().map(|failure| failure.item_identifier.as_str());
            let at =
                |number: &str| sent.iter().position(|record| record["kinesis"]["sequenceNumber"] == number);
            position += failed.map_or(sent.len(), |number| at(number).unwrap());
            for sink in [&predictions, &rejects] {
                let mut state = sink.state.lock().unwrap();
                assert!(!state.has_refused || failed.is_some(), "a refusal comes back");
                state.has_refused = false;
            }
        }
    });
    [predictions, rejects].map(|sink| std::mem::take(&mut sink.state.lock().unwrap().taken))
}

#[test]
fn whatever_sinks_refuse_each_record_ends_and_each_key_in_its_order() {
    let record_of = (0..5u8, prop::bool::weighted(0.1));
    let refuse = || prop::collection::vec(prop::bool::weighted(0.3), 0..60);
    let histories = (prop::collection::vec(record_of, 1..60), refuse(), refuse());
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 200, max_shrink_iters: 200, ..ProptestConfig::default() });
    let outcome = runner.run(&histories, |(kinds, of_predictions, of_rejects)| {
        let records: Vec<Value> =
            kinds.iter().enumerate().map(|(number, (key, poison))| record(number, *key, *poison)).collect();
        let [predictions, rejects] = deliver(&records, [of_predictions, of_rejects]);
        let (mut seen, mut by_key) = (BTreeSet::new(), BTreeMap::<String, Vec<u64>>::new());
        for sent in &predictions {
            let answer: Value = serde_json::from_str(&sent.body).unwrap();
            let ride = answer["prediction"]["ride_id"].as_u64().unwrap();
            // Who reads the stream drops repeats by their id.
            if seen.insert(answer["id"].to_string()) {
                by_key.entry(sent.partition_key.clone().unwrap()).or_default().push(ride);
            }
        }
        let good = kinds.iter().filter(|(_, is_poison)| !is_poison).count();
        prop_assert_eq!(seen.len(), good, "each at least once, with one id");
        prop_assert!(by_key.values().all(|rides| rides.is_sorted()), "{:?}", by_key);
        let poison: BTreeSet<&str> = rejects.iter().map(|reject| reject.body.as_str()).collect();
        prop_assert_eq!(poison.len(), kinds.len() - good);
        Ok(())
    });
    outcome.unwrap();
}
