use model::Classified;
use serde_json::json;

use super::*;

fn sample(name: &str) -> Value {
    let path = format!("{}/../../infra/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn of_a_record_only_the_id_and_the_body_are_looked_at() {
    let mut event = sample("scorer-sqs");
    event["Records"][0]["messageAttributes"] =
        json!({"origin": {"stringListValues": null, "dataType": "String"}});
    event["Records"][1]["attributes"] = json!({"ApproximateReceiveCount": 1, "New": [null]});
    event["Records"][2]["body"] = json!({"ride_id": 1});
    let messages = trip_messages(&event).unwrap().messages;
    assert_eq!((messages.len(), messages[2].body.as_str()), (3, "{\"ride_id\":1}"));
    let none = trip_messages(&json!({"Records": []})).unwrap();
    assert_eq!((none.origin, none.messages), (Origin::Queue, vec![]));
}

#[test]
fn whatever_is_no_batch_of_messages_is_refused_by_its_name() {
    let record = |fields: Value| json!({"Records": [{"messageId": "m", "body": "{}"}, fields]});
    let sns = json!({"EventSource": "aws:sns", "Sns": {"Message": "{}"}});
    for (event, name) in [
        (
            json!({"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": "e30="}}]}),
            "found record 0 without kinesis.sequenceNumber: it has data",
        ),
        (
            json!({"Records": [{"kinesis": {"sequenceNumber": ""}}]}),
            "found record 0 without kinesis.sequenceNumber",
        ),
        (
            json!({"Records": [{"kinesis": {"sequenceNumber": "1", "data": ""}}, {"messageId": "m", "body": ""}]}),
            "found {\"Records\"",
        ),
        (json!({"window": {}, "state": {}, "Records": []}), "found an event of a tumbling window"),
        (
            json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {}}]}),
            "found a DynamoDB stream's event",
        ),
        (json!({"Records": [sns]}), "found an SNS event"),
        (sample("batch-predictor-s3"), "found an S3 notification"),
        (sample("batch-predictor-eventbridge"), "found an EventBridge event of S3"),
        (json!({"Records": [{}]}), "found record 0 without messageId: it has no fields"),
        (
            record(json!({"messageId": "n", "Body": "{}"})),
            "found record 1 without body: it has Body, messageId",
        ),
        (record(json!({"messageId": "", "body": "{}"})), "found record 1 without messageId"),
        (record(json!({"messageId": 7, "body": "{}"})), "found record 1 without messageId"),
        (record(json!("text")), "found record 1 without messageId: it has no fields"),
        (record(json!({"eventSource": "aws:sns", "messageId": "m", "body": "{}"})), "found {\"Records\""),
        (json!({"now": "2021-03-15"}), "found {\"now\""),
        (json!(null), "found null"),
    ] {
        let refused = trip_messages(&event).unwrap_err().to_string();
        assert!(refused.starts_with("expected an SQS event") && refused.contains(name), "{refused}: {name}");
    }
}

#[test]
fn an_eventbridge_key_is_raw() {
    let mut event = sample("batch-predictor-eventbridge");
    event["detail"]["object"]["key"] = json!("incoming/late trips + 100%.parquet");
    let created = objects_created(&event).unwrap();
    assert_eq!(created[0].key, "incoming/late trips + 100%.parquet");
    assert_eq!(created[0].version.as_deref(), Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"));
    assert_eq!(created[0].etag.as_deref(), Some("b1946ac92492d2347c6235b4d2611184"));
    for none in ["", "null"] {
        event["detail"]["object"]["version-id"] = json!(none);
        assert_eq!(
            objects_created(&event).unwrap()[0].version,
            None,
            "of a bucket without versions: {none:?}"
        );
    }
}

#[test]
fn a_classic_key_is_form_encoded() {
    let created = objects_created(&sample("batch-predictor-s3")).unwrap();
    assert_eq!(created[0].key, "incoming/late trips + 100%/green_tripdata_2021-03.parquet");
    assert_eq!(created[0].bucket, "tripcast-databucket-1a2b3c4d5e6f");
}

#[test]
fn a_test_event_tells_of_nothing_and_another_event_is_refused() {
    assert_eq!(objects_created(&sample("batch-predictor-s3-test-event")), Ok(vec![]));
    let with = |field: &str, value: &str| {
        let mut event = sample("batch-predictor-eventbridge");
        event[field] = json!(value);
        event
    };
    let (deleted, elsewhere) = (with("detail-type", "Object Deleted"), with("source", "mine"));
    for other in [json!({}), json!(null), json!({"Records": [{}]}), sample("scorer-sqs"), deleted, elsewhere]
    {
        let refused = objects_created(&other).unwrap_err();
        assert_eq!((refused.error_type(), refused.is_transient()), ("Event.Unknown", false));
        let text = refused.to_string();
        assert!(text.starts_with("expected an EventBridge \"Object Created\" event"), "{text}");
    }
    let removed = json!({"Records": [{"eventName": "ObjectRemoved:Delete", "s3": {}}]});
    assert_eq!(objects_created(&removed), Ok(vec![]), "known, and nothing appeared");
}

fn record(sequence_number: &str, data: Value) -> Value {
    let arrival = [json!(1.5), Value::Null, json!("2021-03-01")][sequence_number.len() % 3].clone();
    let kinesis = json!({"sequenceNumber": sequence_number, "partitionKey": "k", "data": data,
                         "approximateArrivalTimestamp": arrival});
    json!({"eventSource": "aws:kinesis", "kinesis": kinesis})
}

#[test]
fn the_data_of_a_record_is_decoded_once_and_what_is_no_text_stays_as_it_came() {
    let twice = "ZTMwPQ==";
    let records = [
        ("1", json!("e30=")),
        ("22", json!("e30")),
        ("333", json!(twice)),
        ("4", json!("")),
        ("5", json!(null)),
    ];
    let bad = [("6", json!("{}")), ("7", json!("/w==")), ("8", json!("84mawgE="))];
    let all = records.into_iter().chain(bad).map(|(number, data)| record(number, data));
    let event = json!({"Records": all.collect::<Vec<_>>()});
    let TripMessages { origin, messages } = trip_messages(&event).unwrap();
    assert_eq!(origin, Origin::Stream);
    let bodies: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["{}", "{}", "e30=", "", "", "{}", "/w==", "84mawgE="]);
    assert!(messages.iter().all(|message| message.partition_key.as_deref() == Some("k")));
    let flaws: Vec<&str> = messages.iter().filter_map(|message| message.flaw.as_deref()).collect();
    assert_eq!(flaws.len(), 3, "{flaws:?}");
    for (flaw, says) in flaws.iter().zip(["not in base64", "not UTF-8", "AggregationEnabled"]) {
        assert!(flaw.contains(says), "{flaw}");
    }
}
