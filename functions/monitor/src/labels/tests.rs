use monitoring::testing::{Row, day, profile, rows};
use store::MemoryStore;

use super::*;

const TODAY: u64 = 3;

/// Returns the id of the row at a position, which a line of answers has.
fn id(row: usize) -> String {
    format!("{row:064x}")
}

/// Answers the rows of a day in two events, the first of which came twice.
async fn answered(store: &MemoryStore, number: u64, rows: &[Row]) {
    let line = |(row, (trip, prediction, _)): (usize, &Row)| {
        let (lower, upper) = prediction.interval;
        let predicted = RidePrediction {
            ride_duration: prediction.minutes,
            ride_duration_interval: [lower, upper],
            ride_id: RideId::Number(row as i64),
            tip_probability: None,
        };
        serde_json::json!({"id": id(row), "prediction": predicted, "trip": trip, "challengers": []})
            .to_string()
    };
    let lines: Vec<String> = rows.iter().enumerate().map(line).collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    for (event, lines) in [("a", first), ("again", first), ("b", second)] {
        let key = layout::answers(day(number), event).unwrap();
        store.put(&key, lines.join("\n").into(), Condition::Always).await.unwrap();
    }
}

async fn labelled(store: &MemoryStore, key: &str, lines: &[String]) {
    store.put(&ObjectKey::new(key).unwrap(), lines.join("\n").into(), Condition::Always).await.unwrap();
}

/// Returns noon in New York on a day.
fn at(number: u64) -> DateTime<Utc> {
    day(number).and_hms_opt(17, 0, 0).unwrap().and_utc()
}

async fn join_all(store: &MemoryStore) -> Vec<LabelledDay> {
    joined(store, day(0), day(TODAY), at(TODAY + 1)).await.unwrap()
}

/// Returns a label with the outcome of a row.
fn label((row, (_, _, outcome)): (usize, &Row)) -> String {
    let at = outcome.dropoff.unwrap().format("%FT%T%.6f");
    match row % 2 {
        0 => format!(r#"{{"id": "{}", "dropoff_datetime": "{at}"}}"#, id(row)),
        _ => format!(r#"{{"ride_id": {row}, "lpep_dropoff_datetime": "{at}", "driver": "x"}}"#),
    }
}

#[tokio::test]
async fn joined_to_their_messages_labels_give_the_profile_of_a_labelled_file() {
    let (store, rows) = (MemoryStore::default(), rows(0, 60));
    answered(&store, 0, &rows).await;
    assert_eq!(join_all(&store).await, []);
    let lines: Vec<String> = rows.iter().enumerate().map(label).collect();
    let key = format!("labels/{}/one.jsonl", day(0));
    labelled(&store, &key, &lines).await;
    let mut messages = Profile::default();
    rows.iter().for_each(|(trip, prediction, _)| messages.add(trip, Some(prediction), None));
    let found = join_all(&store).await;
    messages.merge(&found[0].days[&day(0)]);
    assert_eq!(messages, profile(&rows));
    assert_eq!(found[0].left, Vec::<String>::new());
    // A second file with the same labels, and a join that has nothing to do, count nothing twice.
    labelled(&store, &format!("labels/{}/two.jsonl", day(0)), &lines).await;
    let again = join_all(&store).await;
    assert_eq!((&again[0].days, again[0].files.len()), (&found[0].days, 2));
    assert_eq!(join_all(&store).await, again);
    // Later a file changes, and the answers have expired: what was joined stays.
    labelled(&store, &key, &lines[1..]).await;
    let late = joined(&store, day(0), day(TODAY), at(200)).await.unwrap();
    assert_eq!(late, again);
}

#[tokio::test]
async fn of_several_labels_of_a_ride_the_last_one_counts() {
    let (store, rows) = (MemoryStore::default(), rows(0, 1));
    answered(&store, 0, &rows).await;
    let lines = [
        format!(r#"{{"id": "{}", "duration_min": 50}}"#, id(0)),
        r#"{"ride_id": 0.0, "duration_min": "10", "tip_amount": NaN, "lpep_dropoff_datetime": null}"#
            .to_string(),
    ];
    labelled(&store, &format!("labels/{}/one.jsonl", day(0)), &lines).await;
    let found = join_all(&store).await;
    assert_eq!(found[0].left, Vec::<String>::new());
    let error = rows[0].1.minutes - 10.0;
    assert!((found[0].days[&day(0)].predictions.judged.bias_min().unwrap() - error).abs() < 1e-5);
}

#[tokio::test]
async fn what_cannot_be_joined_is_named() {
    let (store, rows) = (MemoryStore::default(), rows(0, 4));
    answered(&store, 0, &rows).await;
    let mut lines: Vec<String> = rows.iter().enumerate().map(label).collect();
    lines.extend(
        [
            "{",
            r#"{"duration_min": 3}"#,
            r#"{"ride_id": 1}"#,
            r#"{"ride_id": 1, "dropoff_datetime": "soon"}"#,
            r#"{"ride_id": "other", "duration_min": 3}"#,
        ]
        .map(String::from),
    );
    labelled(&store, &format!("labels/{}/one.jsonl", day(0)), &lines).await;
    labelled(&store, &format!("labels/{}/of-today.jsonl", day(TODAY + 1)), &lines).await;
    let found = join_all(&store).await;
    assert_eq!((found.len(), found[0].days[&day(0)].predictions.judged.rows), (1, 4));
    let expected = [
        "line 5: expected a label",
        "line 6: expected id",
        "line 7: expected duration_min",
        "line 8: dropoff_datetime",
        "1 of 5 labels",
    ];
    for (left, expected) in found[0].left.iter().zip(expected) {
        assert!(left.contains(expected), "{left}");
    }
    assert_eq!(found[0].left.len(), expected.len());
}

#[test]
fn a_duration_counts_from_the_pickup() {
    let (_, label) =
        Label::from_line(br#"{"id": "a", "duration_min": 12.5, "tip_amount": 2, "payment_type": 1.0}"#)
            .unwrap();
    let pickup = local_time("2023-01-02 10:00");
    let outcome = label.outcome(&Trip { pickup, ..Trip::default() });
    assert_eq!(outcome.dropoff, local_time("2023-01-02 10:12:30"));
    assert_eq!((outcome.tip_amount, outcome.payment_type), (Some(2.0), Some(1)));
    assert_eq!(label.outcome(&Trip::default()).dropoff, None);
    let (_, endless) = Label::from_line(br#"{"id": "a", "duration_min": 1e300}"#).unwrap();
    assert_eq!(endless.outcome(&Trip { pickup, ..Trip::default() }).dropoff, None);
}
