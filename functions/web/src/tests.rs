use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use lambda_runtime::{Context, LambdaEvent};
use model::{Family, Target, Trip, Zone, testing};
use registry::NO_CARD;
use serde_json::{Value, json};
use store::MemoryStore;
use tower::Service;

use super::*;

/// Returns a service with a duration model of the zones 10 and 130.
async fn app() -> App {
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    let trip = |zone| Trip { pickup_zone: Zone::new(zone), dropoff_zone: Zone::new(205), ..Trip::default() };
    let bytes =
        testing::artifact(Target::Duration, Family::Linear, vec![trip(130), trip(10)], vec![12.0, 30.0]);
    let version = registry.publish(Target::Duration, bytes.into(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "2021-01-01T00:00:00Z").await.unwrap();
    let models = Models::new(registry.clone(), Duration::from_secs(60), |_, _| ());
    App::new(registry, models)
}

pub(crate) async fn ask(request: Request<Body>) -> Response<Body> {
    router(app().await).call(request).await.unwrap()
}

pub(crate) async fn post(path: &str, kind: &str, body: impl Into<Body>) -> (u16, Value) {
    let request = Request::post(path).header(header::CONTENT_TYPE, kind).body(body.into()).unwrap();
    let response = ask(request).await;
    let (status, kind) = (response.status().as_u16(), response.headers()[header::CONTENT_TYPE].clone());
    assert_eq!(kind, if status == 200 { "application/json" } else { "application/problem+json" });
    (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 24).await.unwrap()).unwrap())
}

async fn predict(body: &Value) -> (u16, Value) {
    post("/predict", "application/json", body.to_string()).await
}

async fn invoke(body: &Value) -> (u16, Value) {
    post("/invocations", "application/json; Charset=\"UTF-8\"", body.to_string()).await
}

#[tokio::test]
async fn the_courses_web_test() {
    let ride = json!({"PULocationID": 10, "DOLocationID": 50, "trip_distance": 40});
    let (status, answer) = predict(&ride).await;
    assert_eq!(status, 200);
    assert!(answer["duration"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["model_version"].as_str().unwrap().len(), 12);
    assert!(answer.get("ride_id").is_none());
}

#[tokio::test]
async fn a_message_is_answered_as_the_scorer_answers_it() {
    let message =
        json!({"ride_id": 256, "ride": {"PULocationID": 130, "DOLocationID": 205, "trip_distance": 3.66}});
    let (status, answer) = predict(&message).await;
    assert_eq!((status, &answer["prediction"]["ride_id"]), (200, &json!(256)));
    assert_eq!(answer["prediction"]["ride_duration"], 12.0);
    assert_eq!(answer["id"].as_str().unwrap().len(), 64);
    let ride = json!({"ride_id": "a", "PULocationID": 130, "DOLocationID": 205});
    assert_eq!(predict(&ride).await.1["ride_id"], "a");
}

#[tokio::test]
async fn a_bad_trip_leaves_the_others_and_their_order_alone() {
    let good = |zone: u16| json!({"PULocationID": zone, "DOLocationID": 205});
    let all =
        json!([good(130), {"PULocationID": 130}, 5, good(10), {"PULocationID": "x", "DOLocationID": 1}]);
    let (status, answers) = predict(&all).await;
    assert_eq!(status, 200);
    assert_eq!((&answers[0]["duration"], &answers[3]["duration"]), (&json!(12.0), &json!(30.0)));
    let field = |at: usize| (&answers[at]["position"], &answers[at]["error"]["field"]);
    assert_eq!(field(1), (&json!(1), &json!("DOLocationID")));
    assert_eq!(answers[2]["error"]["detail"], "trip: expected an object");
    assert_eq!(field(4), (&json!(4), &json!("PULocationID")));
    let (status, problem) = predict(&all[1]).await;
    assert_eq!((status, &problem["code"]), (422, &json!("missing_dropoff_zone")));
    assert_eq!(predict(&json!([])).await, (200, json!([])));
    let many = vec![good(130); 10_001];
    assert_eq!(predict(&json!(many)).await.0, 422);
    assert_eq!(predict(&json!(many[..10_000])).await.1.as_array().unwrap().len(), 10_000);
}

#[tokio::test]
async fn every_form_of_mlflows_protocol_gives_the_same() {
    let row = json!({"PULocationID": 130, "DOLocationID": 205.0, "trip_distance": "1", "note": "x"});
    let gap = json!({"PULocationID": 10, "DOLocationID": 205, "trip_distance": null, "note": "y"});
    let csv = "PULocationID,DOLocationID,trip_distance,note\n130,205.0,1,x\n10,205,,y\n";
    let expected = (200, json!({"predictions": [12.0, 30.0]}));
    let columns = json!(["PULocationID", "DOLocationID", "trip_distance", "note"]);
    for body in [
        json!({"dataframe_records": [row, gap]}),
        json!({"instances": [row, gap], "params": {}}),
        json!({"inputs": [row, gap], "params": null}),
        json!({"inputs": {"PULocationID": [130, 10], "DOLocationID": [[205], [205]], "trip_distance": [1, null]}}),
        json!({"dataframe_split": {"columns": columns, "index": [0, 1], "data": [[130, 205, 1.0, "x"], [10, 205, null, "y"]]}}),
    ] {
        assert_eq!(invoke(&body).await, expected, "{body}");
    }
    for kind in ["text/csv", "text/csv; charset=utf-8; header=present"] {
        assert_eq!(post("/invocations", kind, csv).await, expected);
    }
    let (status, answer) = invoke(&json!({"instances": [{"PULocationID": 130}, row, 5]})).await;
    assert_eq!((status, &answer["predictions"]), (200, &json!([null, 12.0, null])));
    assert_eq!(answer["errors"][1]["position"], 2);
    assert_eq!(answer["errors"][0]["error"]["field"], "DOLocationID");
    for empty in [
        json!({"instances": []}),
        json!({"inputs": {}}),
        json!({"dataframe_split": {"columns": [], "data": []}}),
    ] {
        assert_eq!(invoke(&empty).await, (200, json!({"predictions": []})), "{empty}");
    }
    assert_eq!(
        post("/invocations", "text/csv", "PULocationID,DOLocationID\n").await.1,
        json!({"predictions": []})
    );
}

#[tokio::test]
async fn what_is_none_of_the_forms_is_refused_by_name() {
    let row = json!({"PULocationID": 130, "DOLocationID": 205});
    for (body, expected) in [
        (json!({}), "expected an object with one of"),
        (json!([row]), "expected an object with one of"),
        (json!({"instances": [row], "inputs": [row]}), "expected an object with one of"),
        (json!({"instances": [row], "params": {"alpha": 1}}), "alpha"),
        (json!({"instances": 1}), "instances: expected a list of objects"),
        (json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [1]]}}), "2 values in data[1]"),
        (json!({"dataframe_split": {"columns": ["a", "a"], "data": []}}), "each name once"),
        (json!({"inputs": {"a": [1], "b": [1, 2]}}), "expected 1 values"),
        (json!({"inputs": {"a": 1}}), "expected a list"),
    ] {
        let (status, problem) = invoke(&body).await;
        assert_eq!(status, 400, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
    }
    assert_eq!(post("/invocations", "text/csv", "a,b\n1\n").await.0, 400);
    // Many long names and many rows take no more than they are.
    let names: Vec<String> = (0..50_000).map(|at| format!("n{at}")).collect();
    let wide = json!({"dataframe_split": {"columns": names, "data": vec![json!([0]); 10_000]}});
    assert_eq!(invoke(&wide).await.0, 400);
    let long =
        json!({"dataframe_split": {"columns": ["n".repeat(2 << 20)], "data": vec![json!([0]); 10_000]}});
    let (status, answer) = invoke(&long).await;
    assert_eq!((status, answer["predictions"].as_array().unwrap().len()), (200, 10_000));
    assert_eq!(post("/invocations", "text/csv", "a,a\n1,2\n").await.0, 400);
}

#[tokio::test]
async fn bodies_are_of_a_known_type_in_utf8_and_not_too_large() {
    let ride = r#"{"PULocationID": 130, "DOLocationID": 205}"#;
    for (kind, status) in [
        ("application/json", 200),
        ("APPLICATION/JSON; charset=utf-8", 200),
        ("application/json; charset=latin1", 415),
        ("application/json; version=1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/csv", 415),
        ("nonsense", 415),
    ] {
        assert_eq!(post("/predict", kind, ride).await.0, status, "{kind}");
    }
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("null", 400),
        ("\"a\"", 400),
        (r#"{"PULocationID": NaN, "DOLocationID": 1e999}"#, 400),
        (r#"{"PULocationID": NaN, "DOLocationID": 205}"#, 422),
        (r#"{"PULocationID": 130, "DOLocationID": 205, "trip_distance": NaN}"#, 200),
    ] {
        assert_eq!(post("/predict", "application/json", body).await.0, status, "{body}");
    }
    let twice = Request::post("/predict").header(header::CONTENT_TYPE, "application/json");
    let twice = twice.header(header::CONTENT_TYPE, "text/csv").body(Body::from(ride)).unwrap();
    assert_eq!(ask(twice).await.status(), 415);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(post("/predict", "application/json", deep).await.0, 400);
    assert_eq!(post("/predict", "application/json", vec![0xff]).await.0, 400);
    assert_eq!(post("/predict", "application/json", vec![b' '; (4 << 20) + 1]).await.0, 413);
}

#[tokio::test]
async fn what_can_only_be_read_has_a_tag_and_other_methods_are_refused() {
    for path in ["/models", "/openapi.json"] {
        let response = ask(Request::get(path).body(Body::empty()).unwrap()).await;
        let tag = response.headers()[header::ETAG].clone();
        let again =
            ask(Request::get(path).header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap()).await;
        assert_eq!((response.status().as_u16(), again.status().as_u16()), (200, 304), "{path}");
        let head = ask(Request::head(path).body(Body::empty()).unwrap()).await;
        assert_eq!(head.headers()[header::CONTENT_LENGTH], response.headers()[header::CONTENT_LENGTH]);
    }
    for (method, path) in [("GET", "/predict"), ("OPTIONS", "/predict"), ("POST", "/models")] {
        let response = ask(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 405, "{method} {path}");
        assert!(response.headers().contains_key(header::ALLOW));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    assert_eq!(ask(Request::get("/none").body(Body::empty()).unwrap()).await.status(), 404);
    for (path, status) in [
        ("/health", 200),
        ("/ping", 200),
        ("/models/tip/zz", 400),
        ("/models/tip/%ff", 400),
        ("/models/tip/0123456789ab", 404),
    ] {
        assert_eq!(ask(Request::get(path).body(Body::empty()).unwrap()).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn without_a_champion_there_is_a_problem_and_no_cause_of_it() {
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    let app = App::new(registry.clone(), Models::new(registry, Duration::ZERO, |_, _| ()));
    for request in
        [Request::get("/health").body(Body::empty()), Request::post("/predict").body(r#"{"a": 1}"#.into())]
    {
        let response = router(app.clone()).call(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 503);
        let body: Value =
            serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap();
        assert_eq!(body["code"], "Models.NoChampion");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let router = router(app().await);
    for path in ["/health", "/made/up", "/models/tip/zz", "/metrics"] {
        router.clone().call(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    }
    let response = router.clone().call(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    let text = String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().into()).unwrap();
    assert!(
        text.contains(r#"tripcast_web_requests_total{route="/models/{target}/{version}",status="400"} 1"#),
        "{text}"
    );
    assert!(text.contains(r#"route="none",status="404"} 1"#) && !text.contains("made"), "{text}");
}

/// Returns an event of an HTTP API.
fn event(method: &str, stage: &str, path: &str, body: Option<(&str, bool)>) -> LambdaEvent<Value> {
    let mut payload = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"host": "id.execute-api.eu-west-1.amazonaws.com", "content-type": "application/json"},
        "requestContext": {
            "accountId": "1", "apiId": "id", "domainName": "id.execute-api.eu-west-1.amazonaws.com", "domainPrefix": "id",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"},
            "requestId": "r", "routeKey": "$default", "stage": stage, "time": "12/Mar/2025:19:03:58 +0000", "timeEpoch": 1741806238000i64,
        },
        "isBase64Encoded": body.is_some_and(|(_, is_encoded)| is_encoded),
    });
    if let Some((body, _)) = body {
        payload["body"] = json!(body);
    }
    LambdaEvent::new(payload, Context::default())
}

async fn answered(event: LambdaEvent<Value>) -> (Value, Value) {
    let answered = event::answer(router(app().await), event).await.unwrap();
    let body = serde_json::from_str(answered["body"].as_str().unwrap_or_default()).unwrap_or_default();
    (answered["statusCode"].clone(), body)
}

#[tokio::test]
async fn events_of_an_http_api_are_answered_below_any_stage() {
    let ride = r#"{"PULocationID": 130, "DOLocationID": 205}"#;
    let encoded = "eyJQVUxvY2F0aW9uSUQiOiAxMzAsICJET0xvY2F0aW9uSUQiOiAyMDV9";
    for (stage, path, body, status) in [
        ("$default", "/predict", Some((ride, false)), 200),
        ("$default", "/predict", Some((encoded, true)), 200),
        ("$default", "/predict", Some(("=not base64=", true)), 400),
        ("$default", "/predict", Some(("/w==", true)), 400),
        ("$default", "/predict", None, 400),
        ("prod", "/prod/predict", Some((ride, false)), 200),
        ("prod", "/predict", Some((ride, false)), 200),
        ("prod", "/production/predict", Some((ride, false)), 404),
    ] {
        let (found, answer) = answered(event("POST", stage, path, body)).await;
        assert_eq!(found, status, "{stage} {path}: {answer}");
        assert_eq!(answer["duration"].is_number(), status == 200, "{answer}");
    }
    assert_eq!(answered(event("GET", "prod", "/prod", None)).await.0, 200, "the page");
    assert_eq!(answered(event("GET", "prod", "/prod/nowhere", None)).await.0, 404);
    assert!(
        event::answer(router(app().await), LambdaEvent::new(json!({"Records": []}), Context::default()))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_answer_that_lambda_would_lose_is_refused() {
    let ride = json!({"ride_id": "\"".repeat(350), "PULocationID": 130, "DOLocationID": 205});
    let body = json!(vec![ride; 4_000]).to_string();
    assert!(body.len() < body::BODY_BYTES_MAX, "{}", body.len());
    let (status, problem) = answered(event("POST", "$default", "/predict", Some((&body, false)))).await;
    assert_eq!((status, &problem["status"]), (json!(413), &json!(413)));
}

#[test]
fn the_document_describes_every_route() {
    let document: Value = serde_json::from_str(&openapi::document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let paths: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/explain",
            "/health",
            "/invocations",
            "/metrics",
            "/models",
            "/models/{target}/{version}",
            "/predict",
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/{model}",
            "/v2/models/{model}/infer",
            "/v2/models/{model}/ready"
        ]
    );
}

#[test]
fn what_the_document_refers_to_is_in_it() {
    let document: Value = serde_json::from_str(&openapi::document()).unwrap();
    let text = document.to_string();
    let referred = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    let missing: Vec<&str> =
        referred.filter(|name| document["components"]["schemas"].get(*name).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
