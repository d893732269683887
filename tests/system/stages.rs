//! The stages of both deployments, samconfig.toml and infra/terraform/stages, choose the same.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};
use tests::infrastructure::{snake, template};
use tests::root;

/// Stages, with SAM's names for them.
const STAGES: [(&str, &str); 2] = [("dev", "default"), ("prod", "prod")];

/// Arguments of the module that are no choices of a stage: each deployment states them.
const STATED: [&str; 7] =
    ["source", "name", "packages", "architecture", "permissions_boundary", "alarm_email", "stable_versions"];

/// Returns a value of samconfig.toml.
fn of_sam(section: &str, key: &str) -> String {
    let config = std::fs::read_to_string(root().join("samconfig.toml")).unwrap();
    let (_, section) = config.split_once(&format!("[{section}.parameters]\n")).unwrap();
    let section = section.split("\n[").next().unwrap();
    let line = section.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    line.trim_matches('"').to_string()
}

/// Splits `Name=Value` pairs, and turns the names into those of variables.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (snake(name), value.to_string()));
    text.split(' ').map(|one| pair(one).unwrap()).collect()
}

fn texts(values: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    values.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

#[test]
fn stages_choose_the_same_in_both_deployments() {
    for (stage, environment) in STAGES {
        let path = root().join("infra/terraform/stages").join(stage).join("main.tf");
        let terraform: Value = hcl::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let module = texts(&terraform["module"]["tripcast"]);
        let stack = of_sam(&format!("{environment}.global"), "stack_name");
        assert_eq!(module["name"], stack, "{stage}");
        assert_eq!(
            terraform["terraform"]["backend"]["s3"]["key"],
            format!("{stack}/terraform.tfstate"),
            "{stage}: deploy-role/ lets a stage at no other state"
        );
        let deploy = format!("{environment}.deploy");
        let choices: BTreeMap<String, String> =
            module.into_iter().filter(|(name, _)| !STATED.contains(&name.as_str())).collect();
        assert_eq!(choices, pairs(&of_sam(&deploy, "parameter_overrides")), "{stage}");
        assert_eq!(
            texts(&terraform["provider"]["aws"]["default_tags"]["tags"]),
            pairs(&of_sam(&deploy, "tags")),
            "{stage}"
        );
    }
}

/// Runs a Python program beside the tools that deploy, with what is stated as PARAMETERS.
fn python(program: &str, stated: &str) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", program]).current_dir(root().join("tools/deploy")).env("PARAMETERS", stated);
    let cleared = ["ALARM_EMAIL", "PERMISSIONS_BOUNDARY", "CANARY", "ALARMS_ELSEWHERE"];
    cleared.iter().for_each(|name| {
        python.env_remove(name);
    });
    let run = python.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// Returns the names of the parameters that `make deploy-sam` passes.
fn passed(stated: &str) -> BTreeSet<String> {
    let program = "import argparse, sam; \
                   print(*sam.overrides(argparse.Namespace(stage='dev', architecture='arm64')), sep='\\n')";
    let lines = python(program, stated);
    lines.lines().map(|line| line.split_once('=').unwrap().0.to_string()).collect()
}

/// CloudFormation keeps the previous value of a parameter that is not passed. A default that has changed must arrive; a
/// subscription, a key, a boundary or a stream with its records must stay as it is where nobody states it.
#[test]
fn sam_is_passed_every_parameter_but_those_that_stay() {
    let all: BTreeSet<String> = template()["Parameters"].as_object().unwrap().keys().cloned().collect();
    let stay = ["AlarmEmail", "OtlpHeaders", "PermissionsBoundary", "StreamShards"].map(String::from);
    assert_eq!(&all - &passed(""), BTreeSet::from(stay));
    assert!(passed("StreamShards=2 'OtlpHeaders=authorization=Bearer x'").contains("StreamShards"));
}

/// Terraform takes away what is not passed; its state names the subscription and the boundary that stay.
#[test]
fn terraform_is_passed_the_subscription_and_the_boundary_that_there_are() {
    let program = "import json, sys, terraform; print(json.dumps(terraform.kept('dev', json.loads(sys.argv[1]), GIVEN)))";
    let kept = |state: Value, given: Value| -> Value {
        let program =
            program.replace("sys.argv[1]", &format!("'{state}'")).replace("GIVEN", &given.to_string());
        serde_json::from_str(&python(&program, "")).unwrap()
    };
    let resource = |kind: &str, instances: &[Value]| {
        let instances: Vec<Value> =
            instances.iter().map(|attributes| json!({"attributes": attributes})).collect();
        json!({"mode": "managed", "type": kind, "name": "x", "instances": instances})
    };
    let boundary = "arn:aws:iam::123456789012:policy/boundary";
    let roles = resource(
        "aws_iam_role",
        &[json!({"permissions_boundary": boundary}), json!({"permissions_boundary": ""})],
    );
    let subscription = resource("aws_sns_topic_subscription", &[json!({"endpoint": "on-call@example.com"})]);
    assert_eq!(kept(json!({}), json!({})), json!({}), "before the first deployment");
    assert_eq!(
        kept(json!({"resources": [roles, subscription]}), json!({})),
        json!({"alarm_email": "on-call@example.com", "permissions_boundary": boundary})
    );
    let other = resource("aws_iam_role", &[json!({"permissions_boundary": "another"})]);
    let stated = json!({"permissions_boundary": boundary});
    assert_eq!(kept(json!({"resources": [roles, other]}), stated), json!({}), "what is stated decides");
}
