use axum::body::{Body, to_bytes};
use axum::http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::tests::{ask, post};

const INFER: &str = "/v2/models/tripcast/infer";

async fn get(path: &str) -> (u16, Value) {
    let response = ask(Request::get(path).body(Body::empty()).unwrap()).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap())
}

async fn infer(body: &Value) -> (u16, Value) {
    post(INFER, "application/json", body.to_string()).await
}

fn tensor(name: &str, datatype: &str, data: &Value) -> Value {
    json!({"name": name, "datatype": datatype, "shape": [data.as_array().unwrap().len()], "data": data})
}

fn zones(pickup: &[Value]) -> Vec<Value> {
    let dropoff = vec![205; pickup.len()];
    vec![tensor("PULocationID", "INT64", &json!(pickup)), tensor("DOLocationID", "INT32", &json!(dropoff))]
}

#[tokio::test]
async fn a_server_and_its_model_describe_themselves() {
    assert_eq!(get("/v2").await.1["name"], "tripcast");
    assert_eq!(get("/v2/health/live").await, (200, json!({"live": true})));
    assert_eq!(get("/v2/health/ready").await, (200, json!({"ready": true})));
    let (status, model) = get("/v2/models/tripcast").await;
    let names = |of: &str| -> Vec<String> {
        model[of].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().into()).collect()
    };
    assert_eq!((status, names("inputs").len()), (200, 8));
    // There is no tip model here, so that its probability is not among them.
    assert_eq!(names("outputs"), ["duration", "duration_lower", "duration_upper", "unusable"]);
    let version = format!("/v2/models/tripcast/versions/{}", model["versions"][0].as_str().unwrap());
    assert_eq!(get(&version).await.0, 200);
    assert_eq!(get(&format!("{version}/ready")).await, (200, json!({"name": "tripcast", "ready": true})));
    for unknown in ["/v2/models/other", "/v2/models/other/ready", "/v2/models/tripcast/versions/1"] {
        let (status, problem) = get(unknown).await;
        assert_eq!((status, &problem["error"]), (404, &problem["detail"]), "{unknown}");
    }
}

#[tokio::test]
async fn tensors_are_columns_of_trips() {
    let mut inputs = zones(&[json!(130), json!(10)]);
    inputs
        .push(json!({"name": "trip_distance", "datatype": "FP32", "shape": [2, 1], "data": [[1.5], [null]]}));
    inputs.push(tensor("pickup_datetime", "BYTES", &json!(["2021-02-03T08:15:00", "nonsense"])));
    let (status, answer) = infer(&json!({"id": "7", "inputs": inputs})).await;
    assert_eq!((status, &answer["id"], &answer["model_name"]), (200, &json!("7"), &json!("tripcast")));
    assert_eq!(
        answer["outputs"][0],
        json!({"name": "duration", "datatype": "FP64", "shape": [2], "data": [12.0, 30.0]})
    );
    assert_eq!(answer["outputs"][3]["data"], json!(["", "pickup_datetime"]));
    let some = json!({"inputs": inputs, "parameters": {"binary_data_output": true},
        "outputs": [{"name": "duration_upper", "parameters": {"binary_data": false}}]});
    let (status, answer) = infer(&some).await;
    assert_eq!((status, answer["outputs"].as_array().unwrap().len()), (200, 1));
    assert!(answer["outputs"][0]["data"][0].as_f64().unwrap() >= 12.0);
    let again = json!({"inputs": inputs, "outputs": vec![json!({"name": "unusable"}); 10_000]});
    assert_eq!(infer(&again).await.1["outputs"].as_array().unwrap().len(), 1, "each is answered once");
    let none = json!({"inputs": zones(&[])});
    assert_eq!(infer(&none).await.1["outputs"][0]["data"], json!([]));
}

#[tokio::test]
async fn what_is_not_the_protocol_is_refused_by_name() {
    let one = || zones(&[json!(130)]);
    let with = |input: Value| json!({"inputs": ([one(), vec![input]].concat())});
    let again = one().remove(0);
    for (body, status, expected) in [
        (json!([]), 400, "expected an object with inputs"),
        (json!({}), 400, "inputs: expected a list"),
        (json!({"inputs": []}), 400, "expected a tensor for each column"),
        (json!({"inputs": [1]}), 400, "expected objects with name"),
        (json!({"id": 1, "inputs": one()}), 400, "id: expected a text"),
        (json!({"inputs": one(), "outputs": [{"name": "minutes"}]}), 400, "expected one of duration,"),
        (
            json!({"inputs": one(), "outputs": [{"name": "tip_probability"}]}),
            400,
            "expected one of duration,",
        ),
        (json!({"inputs": one(), "outputs": "duration"}), 400, "expected a list of objects"),
        (with(again), 400, "PULocationID: expected it once"),
        (with(tensor("trip_dist", "FP64", &json!([1]))), 400, "found \"trip_dist\""),
        (with(tensor("ride_id", "INT64", &json!([1]))), 400, "found \"ride_id\""),
        (with(tensor("trip_distance", "FP64", &json!([1, 2]))), 400, "expected 1 values, as in the first"),
        (with(tensor("trip_distance", "FP64", &json!(["1"]))), 400, "expected numbers by its datatype"),
        (with(tensor("pickup_datetime", "BYTES", &json!([5]))), 400, "expected texts by its datatype"),
        (with(tensor("trip_distance", "DOUBLE", &json!([1]))), 400, "expected datatype"),
        (
            with(json!({"name": "trip_distance", "datatype": "FP64", "shape": [2], "data": [1]})),
            400,
            "2 values by its shape, found 1",
        ),
        (
            with(json!({"name": "trip_distance", "datatype": "FP64", "shape": [1, 2], "data": [1]})),
            400,
            "shape [n]",
        ),
        (
            with(json!({"name": "trip_distance", "datatype": "FP64", "shape": [1],
            "parameters": {"binary_data_size": 8}})),
            400,
            "expected data, a list",
        ),
        (json!({"inputs": zones(&[json!(130), json!(null)])}), 422, "row 1: PULocationID"),
        (json!({"inputs": zones(&vec![json!(1); 10_001])}), 422, "at most 10000 trips"),
    ] {
        let (found, problem) = infer(&body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!((found, detail.contains(expected)), (status, true), "{body}: {detail}");
        assert_eq!(problem["error"], problem["detail"]);
    }
    assert_eq!(post(INFER, "text/csv", "a\n1\n").await.0, 415);
}

proptest! {
    /// Whatever comes, there is an answer of the protocol.
    #[test]
    fn any_tensors_have_an_answer(
        name in prop::sample::select(vec!["PULocationID", "DOLocationID", "trip_distance", "x"]),
        datatype in prop::sample::select(vec!["INT64", "BYTES", "FP32", ""]),
        shape in prop::collection::vec(-1i64..4, 0..3),
        data in prop::collection::vec(prop::sample::select(vec![json!(1), json!("1"), json!(null), json!([2]), json!([])]), 0..4),
    ) {
        let odd = json!({"name": name, "datatype": datatype, "shape": shape, "data": data});
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (status, answer) = runtime.block_on(infer(&json!({"inputs": ([zones(&[json!(130)]), vec![odd]].concat())})));
        prop_assert!([200, 400, 422].contains(&status));
        prop_assert!(answer.get("error").is_some() == (status != 200));
    }
}
