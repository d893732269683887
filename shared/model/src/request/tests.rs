use proptest::prelude::*;

use super::*;

const COURSE: &str = r#"{"ride_id": 256, "ride": {"PULocationID": 130, "DOLocationID": 205, "trip_distance": 3.66,
    "pickup_datetime": "2021-02-03T08:15:00", "passenger_count": 1, "RatecodeID": 1, "trip_type": 1, "VendorID": 2}}"#;

fn parse(body: &str) -> Result<Parsed, Rejection> {
    TripRequest::decode(body)?.parse()
}

#[test]
fn the_course_s_message_is_a_trip() {
    let request = TripRequest::decode(COURSE).unwrap();
    let Parsed { trip, unusable } = request.parse().unwrap();
    assert_eq!(request.ride_id, RideId::Number(256));
    assert_eq!((trip.pickup_zone, trip.dropoff_zone), (Zone::new(130), Zone::new(205)));
    assert_eq!(trip.pickup.map(|at| at.to_string()).as_deref(), Some("2021-02-03 08:15:00"));
    assert_eq!((trip.distance_miles, trip.passengers, trip.vendor), (Some(3.66), Some(1), Some(2)));
    assert_eq!(unusable, Vec::<&str>::new());
}

#[test]
fn only_the_zones_are_required() {
    let parsed = parse(r#"{"ride_id": "a", "ride": {"PULocationID": 1, "DOLocationID": 2}}"#).unwrap();
    assert_eq!((parsed.trip.pickup, parsed.trip.distance_miles), (None, None));
    assert!(parsed.unusable.is_empty());
}

#[test]
fn other_spellings_mean_the_same_ride_and_keep_its_id() {
    let id = |body: &str| TripRequest::decode(body).unwrap().prediction_id();
    let green = COURSE.replace("pickup_datetime", "lpep_pickup_datetime").replace("T08", " 08");
    let yellow = COURSE.replace("pickup_datetime", "tpep_pickup_datetime").replace("130", "\"130\"");
    let longer = COURSE.replace("\"VendorID\": 2", "\"VendorID\": 2.0, \"tip_amount\": 3");
    for same in [&green, &yellow, &longer] {
        assert_eq!(parse(same), parse(COURSE), "{same}");
        assert_eq!(id(same), id(COURSE), "{same}");
    }
    let both = COURSE.replace("\"pickup_datetime\"", "\"lpep_pickup_datetime\": null, \"pickup_datetime\"");
    assert_eq!(
        (parse(&both), id(&both)),
        (parse(COURSE), id(COURSE)),
        "several spellings, one that states something"
    );
    for other in
        [COURSE.replace("256", "257"), COURSE.replace("256", "\"256\""), COURSE.replace("3.66", "3.67")]
    {
        assert_ne!(id(&other), id(COURSE), "{other}");
    }
    // Pinned: consumers keep ids, so a change of the canonical form needs a new MESSAGE_SCHEMA_VERSION.
    assert_eq!(id(COURSE), "560a1f17c6459cf63f25bd3f513f19fe461e4776fbfb0e098f3b6e6339debaec");
}

#[test]
fn a_message_forwarded_by_sns_is_the_one_inside() {
    let wrapped = |inner: &str| {
        serde_json::json!({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:trips", "Message": inner}).to_string()
    };
    assert_eq!(TripRequest::decode(&wrapped(COURSE)), TripRequest::decode(COURSE));
    for inner in ["not json", "[1]", "\"text\""] {
        let refused = TripRequest::decode(&wrapped(inner)).unwrap_err();
        assert!(
            refused.detail.contains("the Message of an SNS notification is no JSON object"),
            "{}",
            refused.detail
        );
    }
    let twice = TripRequest::decode(&wrapped(&wrapped(COURSE))).unwrap_err();
    assert_eq!(twice.reason, Reason::InvalidRideId, "one envelope is taken off");
    let of_their_own = COURSE.replacen('{', "{\"Type\": \"Notification\", \"Message\": \"{}\", ", 1);
    assert_eq!(TripRequest::decode(&of_their_own), TripRequest::decode(COURSE), "no topic, no envelope");
}

#[test]
fn what_says_nothing_is_rejected_with_a_reason() {
    let encoded_twice = Value::String(COURSE.into()).to_string();
    for (body, reason, detail) in [
        (encoded_twice.as_str(), Reason::Undecodable, "it is JSON encoded twice"),
        ("\"trip\"", Reason::Undecodable, "it is a text"),
        ("", Reason::Undecodable, "EOF"),
        ("{\"ride_id\": 1", Reason::Undecodable, "EOF"),
        ("[1]", Reason::Undecodable, "no object"),
        (r#"[5, {"PULocationID": 1, "DOLocationID": 2}]"#, Reason::Undecodable, "no object"),
        (r#"{"ride_id": 1, "ride": []}"#, Reason::Undecodable, "ride is no object"),
        (r#"{"ride_id": 1}"#, Reason::Undecodable, "ride is no object"),
        (r#"{"ride_id": 1, "ride": 3}"#, Reason::Undecodable, "ride is no object"),
        (r#"{"ride": {"PULocationID": 1, "DOLocationID": 2}}"#, Reason::InvalidRideId, "found nothing"),
        (r#"{"ride_id": 1.5, "ride": {}}"#, Reason::InvalidRideId, "1.5"),
        (r#"{"ride_id": "", "ride": {}}"#, Reason::InvalidRideId, "integer or a text"),
        (r#"{"ride_id": 1, "ride": {"DOLocationID": 2}}"#, Reason::MissingPickupZone, "PULocationID"),
        (
            r#"{"ride_id": 1, "ride": {"PULocationID": 2, "DOLocationID": null}}"#,
            Reason::MissingDropoffZone,
            "DO",
        ),
        (r#"{"ride_id": 1, "ride": {"PULocationID": "x", "DOLocationID": 2}}"#, Reason::InvalidZone, "\"x\""),
    ] {
        let rejection = parse(body).unwrap_err();
        assert_eq!(rejection.reason, reason, "{body}");
        assert!(rejection.detail.contains(detail), "{:?} should say {detail:?}", rejection.detail);
    }
}

#[test]
fn a_ride_id_has_a_length() {
    let body = |id: &str| serde_json::json!({"ride_id": id, "ride": {}}).to_string();
    assert!(TripRequest::decode(&body(&"x".repeat(1024))).is_ok());
    let refused = TripRequest::decode(&body(&"x".repeat(1025))).unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidRideId);
    assert!(refused.detail.len() < 300, "{}", refused.detail.len());
}

#[test]
fn odd_values_become_missing_and_are_named() {
    let body = r#"{"ride_id": 1, "ride": {"PULocationID": 999, "DOLocationID": 2, "trip_distance": -3,
        "pickup_datetime": "yesterday", "passenger_count": 1.5, "VendorID": [2]}}"#;
    let Parsed { trip, unusable } = parse(body).unwrap();
    assert_eq!((trip.pickup_zone, trip.pickup, trip.passengers, trip.vendor), (None, None, None, None));
    assert_eq!(trip.distance_miles, Some(-3.0), "as stated: the course's model takes it as it stands");
    assert_eq!(unusable, ["PULocationID", "pickup_datetime", "passenger_count", "VendorID", "trip_distance"]);
}

proptest! {
    #[test]
    fn whatever_is_no_message_is_refused_with_its_reason(body in ".{0,200}") {
        let detail = parse(&body).err().map(|rejection| rejection.detail);
        prop_assert!(detail.is_some_and(|detail| detail.contains("expected")));
    }

    #[test]
    fn a_ride_id_comes_back_as_it_came(id in prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{1,20}".prop_map(Value::from),
    ]) {
        let body = serde_json::json!({"ride_id": id, "ride": {}}).to_string();
        let request = TripRequest::decode(&body).unwrap();
        prop_assert_eq!(serde_json::to_value(&request.ride_id).unwrap(), id);
    }
}

/// Values that clients write, and values that they should not.
fn value() -> impl Strategy<Value = String> {
    let usual = [
        "null",
        "130",
        "205.0",
        "-1",
        "3.66",
        "1e3",
        "18446744073709551615",
        "\"130\"",
        "\"2021-02-03T08:15:00\"",
        "\"a\\u00e9\"",
    ];
    let odd = ["true", "[1]", "{\"a\": [1]}", "1e999", "NaN", "\"\"", "", "\"\\ud800\""];
    prop_oneof![9 => prop::sample::select(usual.to_vec()), 1 => prop::sample::select(odd.to_vec())]
        .prop_map(String::from)
}

fn object(of: impl Strategy<Value = String>, names: Vec<&'static str>) -> impl Strategy<Value = String> {
    let entry = (prop::sample::select(names), of).prop_map(|(name, value)| format!("\"{name}\": {value}"));
    prop::collection::vec(entry, 0..8).prop_map(|entries| format!("{{{}}}", entries.join(", ")))
}

proptest! {
    /// The way without values reads what the way by values reads, or nothing.
    #[test]
    fn both_ways_read_the_same(
        ride in object(value(), [RIDE_FIELDS.to_vec(), vec!["fare_amount", "ride", "ride_id"]].concat()),
        ride_id in value(), more in object(value(), vec!["TopicArn", "Type", "Message", "VendorID", "x"]), nested in any::<bool>(),
    ) {
        let inner = if nested { &ride } else { &more };
        let message = format!("{{\"ride_id\": {ride_id}, \"ride\": {inner}, {}", &more[1..]).replace(", }", "}");
        for text in [&message, &ride, &more] {
            prop_assert_eq!(TripRequest::decode(text), TripRequest::decode_any(text), "{}", text);
            let Ok(simple) = serde_json::from_str::<Simple>(text) else { continue };
            let by_value: Value = serde_json::from_str(text).unwrap();
            let fields = by_value.as_object().unwrap();
            prop_assert_eq!(simple.is_message, fields.contains_key("ride"), "{}", text);
            let of = if simple.is_message { fields["ride"].as_object().unwrap() } else { fields };
            prop_assert_eq!(simple.ride, Ride::from_fields(of), "{}", text);
            let named = fields.get("ride_id").filter(|id| !id.is_null());
            prop_assert_eq!(simple.ride_id, named.map(|id| RideId::from_json(Some(id)).unwrap()), "{}", text);
        }
    }
}
