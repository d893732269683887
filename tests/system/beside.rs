//! What lies beside the application agrees with it: the table of costs, and the stack for Batch.

use std::collections::BTreeSet;

use tests::functions::{Function, functions};
use tests::infrastructure::of_sam;

use crate::deployments::{names, number};

#[test]
fn the_table_of_costs_counts_what_is_deployed() {
    let table = std::fs::read_to_string(tests::root().join("infra/cost.toml")).unwrap();
    let stated = |section: &str, key: &str| -> f64 {
        let (_, section) = table.split_once(&format!("[{section}]")).unwrap();
        let section = section.split("\n[").next().unwrap();
        let line = section.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
        line.parse().unwrap()
    };
    let facts = of_sam();
    assert_eq!(stated("idle", "dashboards"), names(&facts, "dashboard.").len() as f64);
    let (listed, others): (Vec<Function>, Vec<Function>) =
        functions().into_iter().partition(|one| table.contains(&format!("[functions.{}]", one.name)));
    assert!(listed.len() >= 5);
    let is_listed = |alarm: &&&str| !others.iter().any(|one| alarm.starts_with(&one.name.replace('-', "_")));
    // Two alarms are there only with streams.
    let alarms = names(&facts, "alarm.").iter().filter(is_listed).count();
    assert_eq!(stated("idle", "alarms") + 2.0, alarms as f64);
    for Function { name, resource, .. } in listed {
        let memory = number(&facts, &format!("function.{resource}.memory_mb"));
        assert_eq!(stated(&format!("functions.{name}"), "memory_mb"), memory, "{name}");
    }
    let batch = number(&facts, "trigger.scorer_function_trips.batch");
    assert_eq!(stated("functions.scorer", "events_of"), batch);
}

#[test]
fn a_job_of_batch_is_configured_by_variables_of_the_retrainer() {
    let path = "infra/batch/template.yaml";
    let template = std::fs::read_to_string(tests::root().join(path)).unwrap();
    let (_, environment) = template.split_once("Environment:").unwrap();
    let retrainer = functions().into_iter().find(|function| function.name == "retrainer").unwrap();
    let known: BTreeSet<&str> = retrainer.variables.iter().map(|variable| variable.name.as_str()).collect();
    let set: BTreeSet<&str> =
        environment.lines().filter_map(|line| line.trim().strip_prefix("- Name: ")).collect();
    let ours = |name: &&&str| !name.starts_with("AWS_");
    assert!(
        set.iter().filter(ours).all(|name| known.contains(name)),
        "{path}: {set:?}, and {known:?} are read"
    );
    for variable in retrainer.variables.iter().filter(|variable| variable.default.is_none()) {
        assert!(set.contains(variable.name.as_str()), "{path} lacks {}", variable.name);
    }
}

#[test]
fn a_burst_is_simulated_with_the_settings_of_the_deployment() {
    let path = "cli/src/capacity.rs";
    let source = std::fs::read_to_string(tests::root().join(path)).unwrap();
    // The default that stands before a field.
    let default = |field: &str| -> f64 {
        let (before, _) = source.split_once(&format!("\n    {field}: ")).unwrap();
        let (_, value) = before.rsplit_once("default_value_t = ").unwrap();
        value.split([',', ')']).next().unwrap().parse().unwrap()
    };
    let facts = of_sam();
    for (field, stated) in [
        ("scorers_max", "parameter.scorer_concurrency_max.default"),
        ("batch", "trigger.scorer_function_trips.batch"),
        ("window_seconds", "trigger.scorer_function_trips.window_s"),
        ("visibility_seconds", "parameter.trips_visibility_seconds.default"),
        ("receives_max", "queue.trips_queue.receives_max"),
        ("alarm_seconds", "alarm.trips_age_alarm.threshold"),
    ] {
        assert_eq!(default(field), number(&facts, stated), "{path}: {field} is not {stated}");
    }
}

#[test]
fn a_retraining_costs_by_the_prices_of_the_table() {
    let read = |path: &str| std::fs::read_to_string(tests::root().join(path)).unwrap();
    let (table, record) = (read("infra/cost.toml"), read("functions/retrainer/src/record.rs"));
    let (_, prices) = record.split_once("const USD_A_GB_SECOND").unwrap();
    let numbers =
        prices.split(['{', '}']).filter_map(|part| part.trim().replace('_', "").parse::<f64>().ok());
    let prices: Vec<f64> = numbers.take(2).collect();
    for (price, name) in prices.iter().zip(["lambda_gb_second_arm64 = ", "lambda_gb_second_x86_64 = "]) {
        let stated: f64 = table.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap();
        assert!((price - stated).abs() < 1e-12, "{name}{stated}, and {price} in the retrainer");
    }
    assert_eq!(prices.len(), 2);
}
