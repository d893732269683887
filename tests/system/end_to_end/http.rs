//! The deployed HTTP API: a trip in, a prediction out.

use std::sync::Arc;

use model::{Family, Target, Trip, Zone, testing};
use registry::{NO_CARD, Registry};
use serde_json::{Value, json};
use tests::needs::{Need, has};
use tests::stack::Stack;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trip_that_is_posted_is_answered() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("http");
    let registry = Registry::new(Arc::new(stack.models()));
    let trip = |zone| Trip { pickup_zone: Zone::new(zone), dropoff_zone: Zone::new(50), ..Trip::default() };
    let bytes =
        testing::artifact(Target::Duration, Family::Linear, vec![trip(10), trip(130)], vec![30.0, 12.0]);
    let version = registry.publish(Target::Duration, bytes.into(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "2021-01-01T00:00:00Z").await.unwrap();
    let ride = json!({"PULocationID": 10, "DOLocationID": 50, "trip_distance": 40});
    assert_eq!(stack.ask("POST", "/predict", &ride, false).await.0, 403, "nobody signed it");
    let (status, answer) = stack.ask("POST", "/predict", &ride, true).await;
    assert_eq!((status, &answer["duration"]), (200, &json!(30.0)), "{answer}");
    assert_eq!(answer["model_version"], version.as_str());
    let (status, answer) = stack.ask("POST", "/invocations", &json!({"instances": [ride, ride]}), true).await;
    assert_eq!((status, answer), (200, json!({"predictions": [30.0, 30.0]})));
    let (status, problem) = stack.ask("POST", "/predict", &json!({"PULocationID": 10}), true).await;
    assert_eq!((status, &problem["field"]), (422, &json!("DOLocationID")), "{problem}");
    let (status, listed) = stack.ask("GET", "/models", &Value::Null, true).await;
    assert_eq!((status, &listed["duration"]["versions"]), (200, &json!([version])), "{listed}");
    // The sample of an event is answered when the function is invoked with it, too.
    let event = std::fs::read(tests::root().join("infra/events/web-predict.json")).unwrap();
    let event: Value = serde_json::from_slice(&event).unwrap();
    let answered = stack.invoke("WebFunction", &event).await.unwrap();
    assert_eq!(answered["statusCode"], 200, "{answered}");
}
