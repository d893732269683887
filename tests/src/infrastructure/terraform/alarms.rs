//! What rings and what is looked at, of infra/terraform.

use serde_json::Value;

use super::super::Collected;
use super::fields;
use super::values::{text, texts};

/// Reads an alarm.
pub(super) fn alarm(name: &str, of: &Value, into: &mut Collected) {
    fields(
        "alarm",
        name,
        of,
        into,
        &[
            ("description", "alarm_description"),
            ("namespace", "namespace"),
            ("metric", "metric_name"),
            ("statistic", "statistic"),
            ("percentile", "extended_statistic"),
            ("period_s", "period"),
            ("periods", "evaluation_periods"),
            ("periods_that_ring", "datapoints_to_alarm"),
            ("operator", "comparison_operator"),
            ("threshold", "threshold"),
            ("missing", "treat_missing_data"),
        ],
    );
    into.list(format!("alarm.{name}.actions"), texts(&of["alarm_actions"]));
    into.list(format!("alarm.{name}.ok_actions"), texts(&of["ok_actions"]));
    for (dimension, value) in of["dimensions"].as_object().unwrap() {
        into.put(format!("alarm.{name}.dimension.{dimension}"), text(value));
    }
}

/// Reads a dashboard, whose body is a file.
pub(super) fn dashboard(name: &str, of: &Value, into: &mut Collected) {
    into.put(format!("dashboard.{name}.name"), text(&of["dashboard_name"]));
    let body = of["dashboard_body"].as_str().unwrap();
    let file = body.split('"').nth(1).unwrap().rsplit('/').next().unwrap();
    let variables = body.split_once('{').and_then(|(_, rest)| rest.split_once('{')).unwrap().1;
    let variables = variables.split_once('{').map_or(variables, |(_, inside)| inside);
    let variables: Value = hcl::from_str(&format!("it = {{{}", variables.trim_end_matches(")}"))).unwrap();
    for (variable, value) in variables["it"].as_object().unwrap() {
        into.put(format!("dashboard.{name}.variable.{variable}"), text(value));
    }
    let body = std::fs::read_to_string(crate::root().join("infra/terraform").join(file)).unwrap();
    into.put(format!("dashboard.{name}.body"), body.trim_end());
}
