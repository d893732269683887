//! The deployed retrainer shows the credentials of a secret to MLflow, and retrains although it is refused.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use tests::needs::{Need, has};
use tests::stack::{Stack, secret};

/// The user `retrainer` with the password `open sesame`, by basic authentication.
const SHOWN: &str = "Basic cmV0cmFpbmVyOm9wZW4gc2VzYW1l";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_for_mlflow_come_from_a_secret() {
    if !has(Need::LocalAws) {
        return;
    }
    let shown: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = shown.clone();
    let refuse = move |headers: HeaderMap| {
        let value = headers.get("authorization").map(|value| value.to_str().unwrap().to_string());
        noted.lock().unwrap().push(value.unwrap_or_default());
        std::future::ready(StatusCode::FORBIDDEN)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("MlflowTrackingUri=http://{}", listener.local_addr().unwrap());
    let server = axum::serve(listener, Router::new().fallback(refuse));
    tokio::spawn(async move { server.await.unwrap() });

    let credentials = r#"{"username": "retrainer", "password": "open sesame"}"#;
    let arn = format!("MlflowSecretArn={}", secret("tracked-mlflow", credentials).await);
    let run = Stack::deploy_with("tracked", 5, &[&uri, &arn]).retrain().await;
    assert_eq!(run["targets"][0]["promoted"], true, "{run}");
    let shown = shown.lock().unwrap();
    assert!(!shown.is_empty() && shown.iter().all(|one| one == SHOWN), "{shown:?}");
}
