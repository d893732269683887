//! Step by step, as a state machine leads it.

use std::collections::BTreeSet;

use registry::runs::StepTaken;

use super::*;

/// Does the steps of a retraining as the state machine leads them; fits of a round in reverse order, the first one twice.
async fn by_steps(bench: &Bench, now: &str) -> (Value, usize) {
    let retrainer = &bench.retrainer;
    let step = |step: Value| async move {
        // Through JSON, as from one invocation to the next.
        let RetrainerEvent::Step(step) = retrainer_event(&json!({"pipeline": step})).unwrap() else {
            panic!()
        };
        json!(retrainer.step(*step, an_hour()).await.unwrap())
    };
    let begun = step(json!({"step": "begin", "name": "steps", "request": {"now": now}})).await;
    assert_eq!(begun["nothing_to_do"], false, "{begun}");
    let (run, mut rounds) = (begun["run"].clone(), 0);
    loop {
        let next = step(json!({"step": "next", "run": run})).await;
        if next["done"] == true {
            break;
        }
        rounds += 1;
        let tasks = next["tasks"].as_array().unwrap();
        for task in tasks.iter().rev().chain(tasks.last()) {
            step(json!({"step": "fit", "run": run, "task": task, "retries": 1})).await;
        }
        assert!(rounds < 20, "{next}");
    }
    let judged = step(json!({"step": "judge", "run": run})).await;
    assert_eq!(
        step(json!({"step": "judge", "run": run})).await,
        judged,
        "a repeated step decides nothing anew"
    );
    (judged, rounds)
}

#[tokio::test]
async fn step_by_step_the_same_models_are_learned_and_promoted() {
    let (at_once, in_steps) = (bench(), bench());
    for bench in [&at_once, &in_steps] {
        // Four months: windows are validated, and the search has months of its own.
        for (number, of) in ["2021-01", "2021-02", "2021-03", "2021-04"].into_iter().enumerate() {
            seed(bench, of, month(of, |zone| i64::from(zone) * 3 + number as i64)).await;
        }
    }
    retrain(&at_once, "2021-05-15", "steps").await;
    let recorded = async |bench: &Bench| {
        Runs::new(Arc::new(bench.models.clone())).read("2021-05-15-steps").await.unwrap().unwrap()
    };
    let run = recorded(&at_once).await;
    let (answer, rounds) = by_steps(&in_steps, "2021-05-15").await;
    assert!(rounds >= 3, "windows, then the search, then the fits of all months: {rounds}");
    let record =
        Runs::new(Arc::new(in_steps.models.clone())).read("2021-05-15-steps").await.unwrap().unwrap();
    assert_eq!(record.targets, run.targets, "what was tried, measured and decided");
    assert_eq!((record.data, record.gates.len()), (run.data, run.gates.len()));
    assert!(run.targets.iter().any(|one| !one.learning.trials.is_empty()), "the search tried something");
    let profiles = async |bench: &Bench| {
        let keys = bench.models.list("").await.unwrap().into_iter().map(|meta| meta.key);
        let mut found = Vec::new();
        for key in keys.filter(|key| key.as_str().ends_with("/profile.json")) {
            found.push((key.to_string(), bench.models.get(&key, Get::default()).await.unwrap().bytes));
        }
        found
    };
    assert!(
        profiles(&at_once).await.iter().any(|(_, bytes)| bytes.len() > 1_000),
        "of the months learned from"
    );
    assert_eq!(profiles(&in_steps).await, profiles(&at_once).await);
    let names =
        |steps: &[StepTaken]| -> BTreeSet<String> { steps.iter().map(|one| one.name.clone()).collect() };
    assert_eq!(names(&record.steps), names(&run.steps), "what took time");
    for (steps, seconds) in [(&record.steps, record.seconds), (&run.steps, run.seconds)] {
        assert!(steps.is_sorted_by(|one, next| one.began <= next.began), "{steps:?}");
        assert!(
            steps.iter().all(|one| one.began + one.seconds <= seconds + 0.01),
            "{steps:?} in {seconds} s"
        );
    }
    let fits = |step: &&StepTaken| step.name.starts_with("validate") || step.name.starts_with("fit");
    assert!(record.steps.iter().filter(fits).all(|one| one.retries == 1), "{:?}", record.steps);
    assert_eq!(
        record.steps.len() - record.steps.iter().filter(fits).count(),
        3,
        "months, and two targets judged"
    );
    let versions: Vec<&str> = run.targets.iter().map(|one| one.version.as_str()).collect();
    assert_eq!(
        versions,
        [
            answer["targets"][0]["version"].as_str().unwrap(),
            answer["targets"][1]["version"].as_str().unwrap()
        ]
    );
    assert_eq!(answer["targets"][0]["promoted"], true);
}

#[tokio::test]
async fn a_single_month_and_no_month_go_through_the_steps_too() {
    let bench = bench();
    let nothing = RetrainerEvent::Step(Box::new(request::Step::Begin {
        request: json!({"now": "2021-03-15"}),
        name: "nothing".into(),
    }));
    let RetrainerEvent::Step(begin) = nothing else { panic!() };
    assert_eq!(bench.retrainer.step(*begin, an_hour()).await.unwrap().nothing_to_do, Some(true));
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let (answer, rounds) = by_steps(&bench, "2021-03-15").await;
    assert_eq!((rounds, answer["targets"].as_array().unwrap().len()), (1, 2), "{answer}");
    let other = self::bench();
    for of in ["2021-01", "2021-02"] {
        let plus = if of == "2021-01" { 5 } else { 6 };
        seed(&other, of, month(of, |zone| i64::from(zone) + plus)).await;
    }
    let run = retrain(&other, "2021-03-15", "steps").await;
    assert_eq!(answer["targets"][0]["version"], run.targets[0].version.as_str());
}

#[tokio::test]
async fn an_abandoned_run_says_why() {
    let bench = bench();
    seed(&bench, "2021-01", month("2021-01", |zone| i64::from(zone) + 5)).await;
    seed(&bench, "2021-02", month("2021-02", |zone| i64::from(zone) + 6)).await;
    let step = |event: Value| {
        let RetrainerEvent::Step(step) = retrainer_event(&json!({"pipeline": event})).unwrap() else {
            panic!()
        };
        bench.retrainer.step(*step, an_hour())
    };
    step(json!({"step": "begin", "name": "x", "request": {"now": "2021-03-15"}})).await.unwrap();
    let error = json!({"Error": "States.Timeout", "Cause": "a fit took too long"});
    step(json!({"step": "abandon", "run": "2021-03-15-x", "error": error})).await.unwrap();
    let record = Runs::new(Arc::new(bench.models.clone())).read("2021-03-15-x").await.unwrap().unwrap();
    assert_eq!((record.failed.len(), record.failed[0].error_type.as_ref()), (1, "States.Timeout"));
    assert!(step(json!({"step": "next", "run": "2021-03-15-y"})).await.is_err(), "no such run");
    for bad in
        [json!({"step": "sleep"}), json!({"step": "next"}), json!({"step": "fit", "run": "x", "task": {}})]
    {
        assert!(retrainer_event(&json!({"pipeline": bad})).is_err(), "{bad}");
    }
}

/// Of more rows than are wanted a share is drawn, the same by both ways, and the record says so.
#[tokio::test]
async fn months_that_are_too_large_are_drawn_from() {
    let (at_once, in_steps) = (bench_of(700, Room::default()), bench_of(700, Room::default()));
    for bench in [&at_once, &in_steps] {
        for (number, of) in ["2021-01", "2021-02", "2021-03"].into_iter().enumerate() {
            seed(bench, of, month(of, |zone| i64::from(zone) * 3 + number as i64)).await;
        }
    }
    let run = retrain(&at_once, "2021-04-15", "steps").await;
    by_steps(&in_steps, "2021-04-15").await;
    let versions = |run: &Run| run.targets.iter().map(|one| one.version.clone()).collect::<Vec<_>>();
    let record =
        Runs::new(Arc::new(in_steps.models.clone())).read("2021-04-15-steps").await.unwrap().unwrap();
    assert_eq!((versions(&record), record.share), (versions(&run), Some(0.5)));
    assert_eq!(record.data, run.data);
    let [first, _, judged] = &run.data[..] else { panic!("{:?}", run.data) };
    assert!(first.remarks.iter().any(|remark| remark.contains("was drawn to learn from")), "{first:?}");
    let whole = retrain(&bench_with_all().await, "2021-04-15", "steps").await;
    assert_eq!((first.rows, judged.rows), (whole.data[0].rows, whole.data[2].rows), "rows of the files");
    assert_ne!(whole.targets[0].version, run.targets[0].version);
}

async fn bench_with_all() -> Bench {
    let bench = bench();
    for (number, of) in ["2021-01", "2021-02", "2021-03"].into_iter().enumerate() {
        seed(&bench, of, month(of, |zone| i64::from(zone) * 3 + number as i64)).await;
    }
    bench
}

/// A run that an earlier build began is led to its end: its state has no share, and its fits no times.
#[tokio::test]
async fn a_run_in_flight_outlives_a_deployment() {
    let bench = bench_with_all().await;
    let step = |step: Value| {
        let RetrainerEvent::Step(step) = retrainer_event(&json!({"pipeline": step})).unwrap() else {
            panic!()
        };
        bench.retrainer.step(*step, an_hour())
    };
    let begun =
        step(json!({"step": "begin", "name": "steps", "request": {"now": "2021-04-15"}})).await.unwrap();
    let run = begun.run;
    let tasks = step(json!({"step": "next", "run": run})).await.unwrap().tasks;
    for task in &tasks {
        step(json!({"step": "fit", "run": run, "task": task})).await.unwrap();
    }
    for meta in bench.models.list(&format!("fits/{run}/")).await.unwrap() {
        let bytes = bench.models.get(&meta.key, Get::default()).await.unwrap().bytes;
        let Ok(mut document) = serde_json::from_slice::<Value>(&bytes) else { continue };
        if let Some(result) = document.get("result").cloned() {
            document = result;
        }
        document.as_object_mut().unwrap().remove("share");
        let bytes = serde_json::to_vec(&document).unwrap();
        bench.models.put(&meta.key, bytes.into(), Condition::Always).await.unwrap();
    }
    let next = step(json!({"step": "next", "run": run})).await.unwrap();
    assert!(next.tasks.iter().all(|task| !tasks.contains(task)), "what is done stays done");
    let error = json!({"Error": "States.Timeout", "Cause": "too long"});
    step(json!({"step": "abandon", "run": run, "error": error})).await.unwrap();
    let record = recorded(&bench, &run).await;
    assert_eq!(record["failed"][0]["error_type"], "States.Timeout");
}
