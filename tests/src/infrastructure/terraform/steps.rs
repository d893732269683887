//! The state machines of infra/terraform.

use serde_json::Value;

use super::super::{Collected, closed};
use super::fields;
use super::values::encoded;

const WANTED: [(&str, &str); 7] = [
    ("name", "name"),
    ("type", "type"),
    ("role", "role_arn"),
    ("traced", "tracing_configuration.enabled"),
    ("log_level", "logging_configuration.level"),
    ("log_data", "logging_configuration.include_execution_data"),
    ("log_group", "logging_configuration.log_destination"),
];

pub(super) fn state_machine(name: &str, of: &Value, into: &mut Collected) {
    let known = [
        "name",
        "type",
        "role_arn",
        "definition",
        "tracing_configuration",
        "logging_configuration",
        "depends_on",
    ];
    closed(name, of, &known);
    fields("steps", name, of, into, &WANTED);
    into.tree(&format!("steps.{name}.definition"), &encoded(&of["definition"]));
}
