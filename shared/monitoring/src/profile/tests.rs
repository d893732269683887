use proptest::prelude::*;

use super::*;

/// Generates trips with known and unknown zones and distances, with and without outcome and prediction.
fn rows() -> impl Strategy<Value = Vec<(Trip, Option<TripPrediction>, Option<Outcome>)>> {
    let minute = 0..60_000i64;
    let row = (
        (0..300u16, 0..300u16, prop::option::of(minute.clone()), prop::option::of(-1.0..120.0f64)),
        (prop::option::of(0..9u8), prop::option::of(0..9u8)),
        prop::option::of((-5.0..200.0f64, 0.0..60.0f64, prop::option::of(0.0..1.0f64))),
        prop::option::of((
            prop::option::of(minute),
            prop::option::of(-3.0..80.0f64),
            prop::option::of(0..4u8),
        )),
    );
    let at = |minutes: i64| {
        let start = chrono::NaiveDate::from_ymd_opt(2023, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
        start + chrono::TimeDelta::minutes(minutes)
    };
    let row = row.prop_map(move |((from, to, pickup, miles), (vendor, code), predicted, outcome)| {
        let trip = Trip {
            pickup_zone: Zone::new(from),
            dropoff_zone: Zone::new(to),
            pickup: pickup.map(at),
            distance_miles: miles,
            passengers: code,
            vendor,
            rate_code: code,
            ..Trip::default()
        };
        let predicted = predicted.map(|(minutes, width, tip_probability)| TripPrediction {
            minutes,
            interval: (minutes - width / 2.0, minutes + width / 2.0),
            tip_probability,
        });
        let outcome = outcome.map(|(dropoff, tip_amount, payment_type)| Outcome {
            dropoff: dropoff.map(at),
            tip_amount,
            fare_amount: None,
            payment_type,
        });
        (trip, predicted, outcome)
    });
    prop::collection::vec(row, 0..30)
}

fn profile(rows: &[(Trip, Option<TripPrediction>, Option<Outcome>)]) -> Profile {
    let mut profile = Profile::default();
    let month = "2023-01".parse().ok();
    for (trip, predicted, outcome) in rows {
        profile.add(trip, predicted.as_ref(), outcome.as_ref().map(|outcome| (outcome, month)));
    }
    profile
}

fn merged(parts: &[&Profile]) -> Profile {
    let mut all = Profile::default();
    parts.iter().for_each(|part| all.merge(part));
    all
}

proptest! {
    #[test]
    fn profiles_of_parts_merge_into_that_of_the_whole(a in rows(), b in rows(), c in rows()) {
        let (pa, pb, pc) = (profile(&a), profile(&b), profile(&c));
        let whole = profile(&[a, b, c].concat());
        prop_assert_eq!(&merged(&[&pa, &pb, &pc]), &whole);
        prop_assert_eq!(&merged(&[&pc, &pa, &pb]), &whole, "commutative");
        let mut right = pa.clone();
        right.merge(&merged(&[&pb, &pc]));
        prop_assert_eq!(&right, &whole, "associative");
        prop_assert_eq!(&merged(&[&whole, &Profile::default()]), &whole, "zero");
        let text = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Profile>(&text).unwrap(), &whole);
    }

    /// The expected value comes from a sorted list of the values, rounded to their cells.
    #[test]
    fn a_rank_is_the_value_of_a_sorted_list(values in prop::collection::vec(-5.0..40.0f64, 1..60)) {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value, MILES));
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        for (rank, value) in sorted.iter().enumerate() {
            let found = histogram.at_rank(rank as u64, MILES).unwrap();
            let is_beyond = *value > 30.005 && found == sorted[sorted.len() - 1];
            prop_assert!(is_beyond || (found - value.max(0.0)).abs() <= 0.005 + 1e-9, "{found}, {value}");
        }
        prop_assert_eq!(histogram.at_rank(values.len() as u64, MILES), None);
    }
}

#[test]
fn what_is_no_profile_of_this_version_is_refused() {
    let text = serde_json::to_string(&Profile::default()).unwrap();
    let refused = |text: String| serde_json::from_str::<Profile>(&text).unwrap_err().to_string();
    assert!(refused(text.replace("\"version\":2", "\"version\":1")).contains("expected version 2"));
    let far = r#""pickups":{"from":2000000000,"rows":[1]}"#;
    assert!(refused(text.replace(r#""pickups":{"from":0,"rows":[]}"#, far)).contains("cell 2000000000"));
}
