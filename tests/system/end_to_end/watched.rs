//! The deployed monitor: profiles in, a report, an alarm on the topic and a retraining out.

use std::time::{Duration, Instant};

use registry::layout;
use serde_json::{Value, json};
use store::{Condition, Store};
use tests::needs::{Need, has};
use tests::stack::Stack;

/// Writes profiles of generated days, the last ones with predictions that are too low, of files and of messages.
async fn write_profiles(stack: &Stack, bundle: &str, days: u64) {
    use monitoring::testing::{ROWS, day, profile, rows};
    let store = stack.data();
    for number in 0..days {
        let mut rows = rows(number, ROWS);
        if number + 3 >= days {
            rows.iter_mut().for_each(|(_, prediction, _)| prediction.minutes /= 2.0);
        }
        let (day, profile) = (day(number), profile(&rows));
        let stored = monitoring::days::DayProfile { day, bundle: Some(bundle.into()), profile };
        let mut keys = vec![layout::profile_of_file(day, "green.parquet").unwrap()];
        if number + 10 >= days {
            keys.push(layout::profile_of_messages(day, "event").unwrap());
        }
        for key in keys {
            store::json::write_line(&store, &key, &stored, Condition::Always).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worse_predictions_become_a_report_an_alarm_and_a_retraining() {
    if !has(Need::LocalAws) {
        return;
    }
    let stack = Stack::deploy("watched");
    let run = stack.retrain().await;
    let versions: Vec<model::ModelVersion> = run["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| serde_json::from_value(target["version"].clone()).unwrap())
        .collect();
    let bundle = model::bundle_id(&versions[0], versions.get(1));
    write_profiles(&stack, &bundle, 60).await;
    let last = monitoring::testing::day(60);
    let event = json!({"now": last.to_string()});
    let watched = stack.invoke("MonitorFunction", &event).await.unwrap();
    let found = &watched["sources"]["batch"];
    assert_eq!(found["asked_to_replace"].as_str(), Some(versions[0].as_str()), "{watched}");
    let published: Vec<&str> =
        found["published"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(published.iter().any(|alarm| alarm.contains("performance")), "{watched}");
    let page = stack.wait_for(&found["report"].as_str().unwrap().replace(".json", ".html"), 1).await;
    assert!(std::str::from_utf8(&page).unwrap().contains("outside their intervals") || !page.is_empty());
    // The request starts the retrainer by its creation; what came of it stands in the alarm's record.
    let name = format!("requested-{}", versions[0]);
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let runs = stack.models().list("runs/").await.unwrap();
        if runs.iter().any(|run| run.key.as_str().contains(&name)) {
            break;
        }
        assert!(Instant::now() < until, "the request started no retraining");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let again = stack.invoke("MonitorFunction", &event).await.unwrap();
    assert_eq!(again["sources"]["batch"]["asked_to_replace"], Value::Null, "{again}");
    assert_eq!(again["sources"]["batch"]["published"], json!([]), "{again}");
    let merged = stack.data().list("profiles/days/stream/").await.unwrap();
    assert_eq!(merged.len(), 7, "messages of the last three days may still come");
    assert!(!stack.data().list("metrics/").await.unwrap().is_empty());
    join_labels(&stack).await;
}

/// Puts yesterday's messages, their answers and their outcomes, which the monitor joins.
async fn join_labels(stack: &Stack) {
    let today = platform::lambda::today();
    let day = today.pred_opt().unwrap();
    let mut profile = monitoring::Profile::default();
    let (mut answers, mut labels) = (Vec::new(), Vec::new());
    for (row, (trip, prediction, outcome)) in monitoring::testing::rows(0, 300).into_iter().enumerate() {
        profile.add(&trip, Some(&prediction), None);
        let (lower, upper) = prediction.interval;
        let predicted = json!({
            "ride_duration": prediction.minutes, "ride_duration_interval": [lower, upper], "ride_id": row,
            "tip_probability": null,
        });
        answers.push(json!({"id": format!("{row:064x}"), "prediction": predicted, "trip": trip}).to_string());
        labels.push(json!({"ride_id": row, "dropoff_datetime": outcome.dropoff}).to_string());
    }
    let stored = monitoring::days::DayProfile { day, bundle: None, profile };
    let key = layout::profile_of_messages(day, "event").unwrap();
    store::json::write_line(&stack.data(), &key, &stored, Condition::Always).await.unwrap();
    stack.put(&format!("answers/{day}/event.jsonl"), answers.join("\n").into()).await;
    stack.put(&format!("labels/{day}/all.jsonl"), labels.join("\n").into()).await;
    stack.invoke("MonitorFunction", &json!({"now": today.to_string()})).await.unwrap();
    let joined = stack.wait_for(layout::profile_of_labels(day).unwrap().as_str(), 1).await;
    let joined: Value = serde_json::from_slice(&joined).unwrap();
    assert_eq!(joined["left"], json!([]), "{joined}");
    assert_eq!(joined["days"][day.to_string()]["outcomes"]["rows"], 300);
}
