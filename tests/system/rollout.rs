//! New code is rolled out alike in both deployments: by CodeDeploy for SAM, by tools/deploy/canary.py for Terraform.

use std::collections::BTreeSet;

use tests::functions::functions;
use tests::infrastructure::{about, fact, of_sam, template};
use tests::root;

use crate::deployments::{names, number};

/// Returns the value of a constant of canary.py.
fn constant(name: &str) -> String {
    let source = std::fs::read_to_string(root().join("tools/deploy/canary.py")).unwrap();
    let line = source.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")).map(String::from));
    line.unwrap_or_else(|| panic!("canary.py has no {name}"))
}

/// Returns the texts of a tuple.
fn texts(tuple: &str) -> BTreeSet<String> {
    tuple.split('"').skip(1).step_by(2).map(String::from).collect()
}

#[test]
fn a_canary_is_the_same_in_both_deployments() {
    let facts = of_sam();
    let live: BTreeSet<&str> = names(&facts, "canary.");
    let aliases = std::fs::read_to_string(root().join("infra/terraform/rollout.tf")).unwrap();
    for function in &live {
        let name = function.trim_end_matches("_function").replace('_', "-");
        assert!(aliases.contains(&format!("lookup(var.stable_versions, \"{name}\",")), "{function}");
    }
    assert_eq!(texts(&constant("ALIAS")).first().unwrap(), fact(&facts, "function.web_function.alias"));
    let template = template();
    let mut n = 0;
    for (name, function) in template["Resources"].as_object().unwrap() {
        let canary = &function["Properties"]["DeploymentPreference"];
        let Some(kind) = canary["Type"].as_str() else { continue };
        assert!(kind.ends_with(&format!("Percent{}Minutes", constant("MINUTES"))), "{name}: {kind}");
        let of = name.trim_end_matches("Function");
        let expected: Vec<String> = texts(&constant("ALARMS"))
            .iter()
            .map(|kind| format!("{of}{}{}Alarm", kind[..1].to_uppercase(), &kind[1..]))
            .collect();
        let mut alarms: Vec<&str> =
            canary["Alarms"].as_array().unwrap().iter().map(|alarm| alarm["Ref"].as_str().unwrap()).collect();
        alarms.sort_unstable();
        assert_eq!(alarms, expected, "{name}");
        n += 1;
    }
    assert_eq!(n, live.len());
}

#[test]
fn a_canary_lasts_until_its_alarms_can_ring() {
    let facts = of_sam();
    let minutes: f64 = constant("MINUTES").parse().unwrap();
    for function in functions() {
        let Some(name) = function.resource.strip_suffix("_function") else { continue };
        if about(&facts, &format!("canary.{}.", function.resource)).next().is_none() {
            continue;
        }
        for kind in texts(&constant("ALARMS")) {
            let alarm = |field: &str| number(&facts, &format!("alarm.{name}_{kind}_alarm.{field}"));
            let ring = facts.get(&format!("alarm.{name}_{kind}_alarm.periods_that_ring"));
            let periods = ring.map_or_else(|| alarm("periods"), |periods| periods.parse().unwrap());
            // A metric has the time of its invocation's beginning, and is there a minute or two after the end.
            let timeout = number(&facts, &format!("function.{}.timeout_s", function.resource));
            let rings_after_s = alarm("period_s") * periods + timeout + 120.0;
            assert!(60.0 * minutes > rings_after_s, "{name}, {kind}: {rings_after_s} s");
        }
    }
}
