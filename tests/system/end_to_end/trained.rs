//! A retraining by the deployed state machine, one invocation a fit: it leads to the models of the plain function.

use std::process::Command;

use serde_json::{Value, json};
use tests::needs::{Need, has};
use tests::stack::Stack;
use tests::{months, release_binary};

/// Retrains as of a day by the state machine, and returns what the command prints.
fn by_steps(stack: &Stack, now: &str) -> Value {
    let mut command = Command::new(release_binary("tripcast"));
    command.args(["--json", "retrain", "--now", now, "--state-machine"]);
    command.arg(stack.output("TrainingStateMachineArn"));
    command.env("AWS_ENDPOINT_URL", stack.config.endpoint_url().unwrap()).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_by_step_the_models_of_the_function_are_trained() {
    if !has(Need::LocalAws) {
        return;
    }
    let (stepped, plain) = (Stack::deploy("trained-by-steps"), Stack::deploy("trained-at-once"));
    let nothing = by_steps(&stepped, "2021-03-15");
    assert_eq!(nothing["nothing_to_do"], true, "{nothing}");
    for stack in [&stepped, &plain] {
        for month in months::SAMPLE {
            stack.put(&format!("history/green_tripdata_{month}.parquet"), months::green_bytes(month)).await;
        }
    }
    let first = by_steps(&stepped, "2021-03-15");
    let versions = |answer: &Value| {
        let of = |at: usize| answer["targets"][at]["version"].as_str().unwrap_or_default().to_string();
        [of(0), of(1)]
    };
    assert_eq!(
        (&first["targets"][0]["promoted"], &first["targets"][1]["promoted"]),
        (&json!(true), &json!(true))
    );
    // With two months to learn from, windows are validated and parameters searched.
    let second = by_steps(&stepped, "2021-04-15");
    for now in ["2021-03-15", "2021-04-15"] {
        let run = plain.invoke("RetrainerFunction", &json!({"now": now})).await.unwrap();
        let stepped = if now == "2021-03-15" { &first } else { &second };
        assert_eq!(versions(stepped), versions(&run), "{now}");
        for at in 0..2 {
            let (one, other) = (&stepped["targets"][at], &run["targets"][at]);
            assert_eq!(
                (&one["promoted"], &one["reason"]),
                (&other["promoted"], &other["decision"]["reason"])
            );
        }
    }
}
