//! Values of the Terraform configuration as texts.

use serde_json::Value;

use super::super::{many, scalar};

/// Returns the argument of `jsonencode(...)`, with references as text.
pub(super) fn encoded(value: &Value) -> Value {
    let Some(call) = value.as_str() else { return Value::Null };
    let inside = call.strip_prefix("${jsonencode(").and_then(|rest| rest.strip_suffix(")}"));
    let inside = inside.unwrap_or_else(|| panic!("{call} is no call of jsonencode"));
    let body: Value = hcl::from_str(&format!("it = {inside}")).unwrap();
    resolved(&body["it"])
}

pub(super) fn resolved(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), resolved(value))).collect(),
        Value::Array(values) => values.iter().map(resolved).collect(),
        Value::String(_) => text(value).into(),
        other => other.clone(),
    }
}

pub(super) fn texts(values: &Value) -> Vec<String> {
    many(values).into_iter().map(text).collect()
}

/// Formats a value, with references as `{name.attribute}`.
pub(super) fn text(value: &Value) -> String {
    let Value::String(written) = value else { return scalar(value) };
    let mut parts = written.split("${");
    let mut whole = parts.next().unwrap_or_default().to_string();
    for part in parts {
        if whole.ends_with('$') {
            // Written so that it is not replaced.
            whole.push_str(&format!("{{{part}"));
            continue;
        }
        let (reference, rest) = part.split_once('}').unwrap();
        whole.push_str(&named(reference));
        whole.push_str(rest);
    }
    whole
}

pub(super) fn named(reference: &str) -> String {
    // What is there by a condition, or nothing.
    let only = reference.strip_prefix("one(").and_then(|rest| rest.strip_suffix(")"));
    let reference = only.unwrap_or(reference).replace("[*]", "");
    // One of two values by a variable that is true or false.
    if let Some((switch, values)) = reference.split_once(" ? ") {
        return format!("{} ? {}", named(switch), values.replace('"', ""));
    }
    let steps: Vec<&str> = reference.split('.').collect();
    match steps.as_slice() {
        ["replace(var", r#"name, "-", "_")"#] => "{stack} with _ for -".into(),
        ["var", "name"] => "{stack}".into(),
        ["var", variable] => format!("{{var.{variable}}}"),
        ["data", "aws_region", ..] => "{region}".into(),
        ["data", "aws_caller_identity", ..] => "{account}".into(),
        ["data", "aws_partition", ..] => "{partition}".into(),
        ["aws_lambda_function", name, "function_name"] | ["aws_s3_bucket", name, "bucket"] => {
            format!("{{{name}.name}}")
        }
        ["aws_lambda_alias", name, "arn" | "name"] => format!("{{{name}.live}}"),
        ["aws_kms_key", name, "key_id"] => format!("{{{name}.id}}"),
        ["aws_cloudwatch_dashboard", name, "dashboard_name"] => format!("{{{name}.name}}"),
        [kind, name, attribute] if kind.starts_with("aws_") => format!("{{{name}.{attribute}}}"),
        _ => panic!("{reference}: the comparison does not know what that is"),
    }
}
