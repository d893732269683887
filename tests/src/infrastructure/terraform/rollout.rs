//! The aliases of infra/terraform, by which new code is rolled out.

use serde_json::Value;

use super::super::{Collected, closed};
use super::values::{named, text};

/// Reads the alias that is invoked in place of a function.
pub(super) fn alias(name: &str, of: &Value, into: &mut Collected) {
    closed(name, of, &["name", "function_name", "function_version", "dynamic"]);
    assert_eq!(text(&of["function_name"]), format!("{{{name}.name}}"), "{name}");
    into.put(format!("function.{name}.alias"), text(&of["name"]));
    let routing = &of["dynamic"]["routing_config"];
    // ${var.canary_deployments ? compact([...]) : []}
    let asked = routing["for_each"].as_str().and_then(|each| each.split_once(" ? ")).unwrap().0;
    into.put(format!("canary.{name}.asked_by"), named(asked.trim_start_matches("${")));
    // ${{ for version in [...] : version => 0.1 if ... }}
    let weights = routing["content"]["additional_version_weights"].as_str().unwrap();
    let share = weights.split_once("=> ").and_then(|(_, rest)| rest.split(' ').next());
    into.put(format!("canary.{name}.share"), share.unwrap());
}
