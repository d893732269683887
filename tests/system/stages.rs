//! The stages of both deployments, samconfig.toml and infra/terraform/stages, choose the same.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::infrastructure::snake;
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
