//! Tests against a fake server that records calls and fails on request; `make test-mlflow` tests with a real server.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};

use super::*;

#[derive(Debug, Default)]
struct Server {
    calls: Vec<(String, Value)>,
    /// Number of calls that still get the status 503.
    unavailable: usize,
    run_known: bool,
    version_known: bool,
}

type Shared = Arc<Mutex<Server>>;

fn refusal(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"error_code": code, "message": "so it is"}))).into_response()
}

async fn posted(State(server): State<Shared>, Path(path): Path<String>, Json(body): Json<Value>) -> Response {
    let mut server = server.lock().unwrap();
    if server.unavailable > 0 {
        server.unavailable -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    server.calls.push((path.clone(), body));
    let info = json!({"run_id": "r1", "artifact_uri": "mlflow-artifacts:/7/r1/artifacts"});
    Json(match path.as_str() {
        "experiments/create" => json!({"experiment_id": "7"}),
        "runs/search" if server.run_known => json!({"runs": [{"info": info}]}),
        "runs/create" => json!({"run": {"info": info}}),
        "registered-models/create" if server.version_known => {
            return refusal(StatusCode::BAD_REQUEST, "RESOURCE_ALREADY_EXISTS");
        }
        "model-versions/create" => json!({"model_version": {"version": "3"}}),
        _ => json!({}),
    })
    .into_response()
}

async fn asked(
    State(server): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
) -> Response {
    let mut server = server.lock().unwrap();
    server.calls.push((path.clone(), json!(query)));
    match path.as_str() {
        "experiments/get-by-name" if server.run_known => {
            Json(json!({"experiment": {"experiment_id": "7"}})).into_response()
        }
        "experiments/get-by-name" => refusal(StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST"),
        _ if server.version_known => Json(json!({"model_versions": [{"version": "2"}]})).into_response(),
        _ => Json(json!({})).into_response(),
    }
}

async fn stored(State(server): State<Shared>, Path(path): Path<String>, body: Bytes) {
    server.lock().unwrap().calls.push((format!("PUT {path}"), json!(body.len())));
}

async fn serve(server: Server) -> (Tracking, Shared) {
    let shared: Shared = Arc::new(Mutex::new(server));
    let router = Router::new()
        .route("/api/2.0/mlflow/{*path}", get(asked).merge(post(posted)))
        .route("/api/2.0/mlflow-artifacts/artifacts/{*path}", put(stored))
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Tracking::new(&uri, Credentials::default()).unwrap(), shared)
}

fn run() -> TrackedRun {
    let point = |step| Point { key: "loss".into(), value: 1.0 / (step + 1) as f64, step };
    let mut metrics: Vec<Point> = (0..1500).map(point).collect();
    metrics.push(Point { key: "loss".into(), value: f64::NAN, step: 1500 });
    TrackedRun {
        experiment: "tripcast".into(),
        name: "2021-03-15-one duration".into(),
        started_ms: 1,
        ended_ms: 2,
        finished: true,
        params: (0..120).map(|number| (format!("p{number}"), "x".repeat(7000))).collect(),
        metrics,
        tags: vec![("target".into(), "duration".into())],
        datasets: vec![Dataset {
            name: "green_tripdata_2021-01".into(),
            sha256: "a".repeat(64),
            source: "history/green_tripdata_2021-01.parquet".into(),
            rows: 76_518,
            context: "training",
        }],
        artifacts: vec![("model/model.bin".into(), Bytes::from_static(b"model"))],
        model: Some(TrackedModel {
            name: "duration".into(),
            content: "9f3c1a7be2d0".into(),
            tags: vec![("version".into(), "9f3c1a7be2d0".into())],
            champion: true,
        }),
    }
}

fn called(server: &Shared, path: &str) -> Vec<Value> {
    let server = server.lock().unwrap();
    server.calls.iter().filter(|(called, _)| called == path).map(|(_, body)| body.clone()).collect()
}

#[tokio::test]
async fn a_run_is_logged_whole_within_the_limits_of_a_request() {
    let (tracking, server) = serve(Server::default()).await;
    let tracked = tracking.log(&run()).await.unwrap();
    assert_eq!(tracked, Tracked { run_id: "r1".into(), model_version: Some("3".into()) });
    let batches = called(&server, "runs/log-batch");
    let sizes = |name: &str| {
        batches.iter().filter_map(|batch| Some(batch[name].as_array()?.len())).collect::<Vec<_>>()
    };
    assert_eq!((sizes("params"), sizes("metrics")), (vec![100, 20], vec![1000, 500]), "NaN is left out");
    assert_eq!(batches[0]["params"][0]["value"].as_str().unwrap().len(), 6000);
    let dataset = &called(&server, "runs/log-inputs")[0]["datasets"][0]["dataset"];
    assert_eq!(dataset["digest"].as_str().unwrap().len(), 36);
    assert_eq!(called(&server, "PUT 7/r1/artifacts/model/model.bin"), [json!(5)]);
    assert_eq!(called(&server, "runs/update")[0]["status"], "FINISHED");
    let last = server.lock().unwrap().calls.last().unwrap().clone();
    assert_eq!(
        last,
        ("registered-models/alias".into(), json!({"name": "duration", "alias": "champion", "version": "3"}))
    );
}

#[tokio::test]
async fn what_was_logged_before_is_not_made_again() {
    let known = Server { run_known: true, version_known: true, ..Server::default() };
    let (tracking, server) = serve(known).await;
    assert_eq!(tracking.log(&run()).await.unwrap().model_version.as_deref(), Some("2"));
    for never in ["experiments/create", "runs/create", "model-versions/create"] {
        assert_eq!(called(&server, never), Vec::<Value>::new(), "{never}");
    }
}

#[tokio::test]
async fn a_passing_fault_passes_and_a_lasting_one_is_told() {
    let (tracking, _) = serve(Server { unavailable: 2, ..Server::default() }).await;
    tracking.log(&run()).await.unwrap();
    let (tracking, _) = serve(Server { unavailable: 3, ..Server::default() }).await;
    let refused = tracking.log(&run()).await.unwrap_err().to_string();
    assert!(refused.starts_with("finding the experiment on the tracking server: 503"), "{refused}");
    let nobody = Tracking::new("http://127.0.0.1:1", Credentials::default()).unwrap();
    assert!(matches!(nobody.log(&run()).await, Err(TrackingError::Call { .. })));
}

#[tokio::test]
async fn only_a_server_is_a_server() {
    for uri in ["", "file:///tmp/mlruns", "sqlite:///mlflow.db", "databricks", "http://"] {
        let refused = Tracking::new(uri, Credentials::default()).unwrap_err().to_string();
        assert!(refused.contains("expected http:// or https://"), "{refused}");
    }
    let secret = Tracking::new("postgresql://user:secret@host/db", Credentials::default()).unwrap_err();
    let who = Credentials { password: "secret".into(), ..Credentials::default() };
    for text in [secret.to_string(), format!("{secret:?}"), format!("{who:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
    let tracking = Tracking::new("http://127.0.0.1:1", Credentials::default()).unwrap();
    let elsewhere = tracking.client.put_artifact("s3://bucket/7/r1", "card.md", Bytes::new()).await;
    assert!(elsewhere.unwrap_err().to_string().contains("--serve-artifacts"));
}
