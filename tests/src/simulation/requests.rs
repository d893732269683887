//! Histories of requests over HTTP: the web function, which refuses what it cannot answer.

use std::sync::Arc;
use std::time::Duration;

use registry::Registry;
use serde_json::{Value, json};
use web::App;

use super::chance::Chance;
use super::invocation::{Ended, Environment, event, limit};
use super::models::{self, champions, check_prediction};
use super::store::Bucket;
use super::{Broken, Counts, side_by_side};
use crate::promise;

/// Calls of a hundred that end in a fault, while it storms.
const FAULTS: u64 = 20;
/// The function's time limit, as in template.yaml.
const LIMIT_SECONDS: u64 = 28;
const STORM: Duration = Duration::from_secs(200);

/// Runs a history.
///
/// # Errors
/// The first promise that was broken.
pub async fn run(chance: &Chance) -> Result<Counts, Broken> {
    let bucket = Bucket::new(chance, FAULTS);
    models::prepare(&bucket, chance).await;
    let changing = tokio::spawn(models::change(bucket.clone(), chance.clone(), 1 + chance.below(4)));
    let call = |number| call(bucket.clone(), chance.clone(), number);
    let callers: Vec<_> = (0..1 + chance.below(3)).map(call).collect();
    let (called, ()) = tokio::join!(side_by_side(callers), chance.storm(STORM));
    changing.await.map_err(|error| Broken(error.to_string()))?;
    let mut counts = Counts::new();
    for answered in called {
        for (name, number) in answered? {
            *counts.entry(name).or_default() += number;
        }
    }
    Ok(counts)
}

/// Asks for predictions of several rides until it is calm, and once more.
async fn call(bucket: Bucket, chance: Chance, number: u64) -> Result<Counts, Broken> {
    let start = || {
        let registry = Registry::new(Arc::new(bucket.clone()));
        Environment::new(web::router(App::new(registry, champions(&bucket))))
    };
    let (mut environment, mut counts) = (start(), Counts::new());
    for request in 0.. {
        let is_last = chance.is_calm();
        if !environment.is_alive() {
            environment = start();
        }
        let event = event(format!("{number}-{request}"), asked(3), limit(LIMIT_SECONDS));
        let answering = web::event::answer(environment.function.clone(), event);
        let status = match environment.invoke(&chance, limit(LIMIT_SECONDS), answering).await {
            Ended::Answered(answer) => check(&answer.map_err(|error| Broken(error.to_string()))?)?,
            Ended::Killed => "killed",
        };
        *counts.entry(status).or_default() += 1;
        promise!(!is_last || status == "answered", "a request is {status} though nothing fails");
        if is_last {
            break;
        }
        chance.wait(Duration::from_secs(20)).await;
    }
    Ok(counts)
}

/// Returns a request of an HTTP API for predictions of so many rides.
fn asked(rides: u64) -> Value {
    let ride = |number| json!({"ride_id": number, "ride": {"PULocationID": 1, "DOLocationID": 2}});
    let rides: Vec<Value> = (0..rides).map(ride).collect();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/predict", "rawQueryString": "",
        "headers": {"content-type": "application/json"}, "body": json!(rides).to_string(), "isBase64Encoded": false,
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "d", "domainPrefix": "d", "requestId": "r", "routeKey": "$default",
            "stage": "$default", "time": "12/Mar/2021:19:03:58 +0000", "timeEpoch": 1_615_575_838_000_u64,
            "http": {"method": "POST", "path": "/predict", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"},
        },
    })
}

/// Checks an answer: all predictions by one bundle, or a refusal that asks to come back.
fn check(answer: &Value) -> Result<&'static str, Broken> {
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default();
    if answer["statusCode"] == 503 {
        promise!(
            body["title"].is_string() || body["type"].is_string(),
            "a refusal without its reason: {answer}"
        );
        return Ok("refused");
    }
    promise!(answer["statusCode"] == 200, "expected 200 or 503: {answer}");
    let predictions = body.as_array().cloned().unwrap_or_default();
    promise!(predictions.len() == 3, "three rides have {} answers", predictions.len());
    for prediction in &predictions {
        check_prediction(prediction)?;
        promise!(
            prediction["versions"] == predictions[0]["versions"],
            "two bundles answered one request: {body}"
        );
    }
    Ok("answered")
}
