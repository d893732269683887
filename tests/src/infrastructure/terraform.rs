//! Reads infra/terraform as facts.

mod alarms;
mod http;
mod rollout;
mod steps;
mod tables;
mod values;

use serde_json::{Map, Value};

use super::{Collected, Facts, closed, many, scalar};
use values::{encoded, text, texts};

/// Returns the facts of infra/terraform.
pub fn of_terraform() -> Facts {
    let terraform = Terraform { all: files() };
    let mut into = Collected::default();
    for (name, variable) in terraform.all["variable"].as_object().unwrap() {
        let default: Vec<String> = many(&variable["default"]).into_iter().map(scalar).collect();
        into.put(format!("parameter.{name}.default"), default.join(","));
        into.put(format!("parameter.{name}.description"), scalar(&variable["description"]));
    }
    for (name, output) in terraform.all["output"].as_object().unwrap() {
        into.put(format!("output.{name}.value"), text(&output["value"]));
        into.put(format!("output.{name}.description"), scalar(&output["description"]));
    }
    for (kind, resources) in terraform.all["resource"].as_object().unwrap() {
        for (name, resource) in resources.as_object().unwrap() {
            terraform.resource(kind, name, resource, &mut into);
        }
    }
    into.facts
}

/// Reads all files of the folder as one body; each is parsed alone, so that an error names its file.
fn files() -> Value {
    let folder = crate::root().join("infra/terraform");
    let mut all = Map::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "tf") {
            continue;
        }
        let file = std::fs::read_to_string(&path).unwrap();
        let body: Value = hcl::from_str(&file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        merge(&mut all, body.as_object().unwrap());
    }
    all.into()
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (Some(_), _) => panic!("{name} is defined twice"),
            (None, value) => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

/// The arguments of resources that the comparison reads: no layers, inline or managed policies.
const FIELDS: [(&str, &[&str]); 6] = [
    (
        "aws_lambda_function",
        &[
            "function_name",
            "description",
            "role",
            "runtime",
            "handler",
            "architectures",
            "filename",
            "source_code_hash",
            "memory_size",
            "timeout",
            "publish",
            "reserved_concurrent_executions",
            "logging_config",
            "tracing_config",
            "vpc_config",
            "environment",
        ],
    ),
    ("aws_iam_role", &["name", "assume_role_policy", "permissions_boundary"]),
    ("aws_iam_role_policy", &["name", "role", "policy"]),
    (
        "aws_sqs_queue",
        &[
            "name",
            "sqs_managed_sse_enabled",
            "visibility_timeout_seconds",
            "message_retention_seconds",
            "max_message_size",
            "redrive_policy",
        ],
    ),
    ("aws_s3_bucket", &["bucket_prefix"]),
    ("aws_kms_key", &["description", "enable_key_rotation", "policy"]),
];

/// The arguments of a stream that the comparison reads.
const STREAM: [(&str, &str); 4] = [
    ("shards", "shard_count"),
    ("retention_h", "retention_period"),
    ("encryption", "encryption_type"),
    ("key", "kms_key_id"),
];

struct Terraform {
    all: Value,
}

impl Terraform {
    fn resource(&self, kind: &str, name: &str, of: &Value, into: &mut Collected) {
        if let Some((_, known)) = FIELDS.iter().find(|(of_kind, _)| *of_kind == kind) {
            let all: Vec<&str> = known.iter().chain(&["lifecycle", "depends_on", "count"]).copied().collect();
            closed(name, of, &all);
        }
        if of["lifecycle"]["prevent_destroy"] == true {
            into.put(format!("retained.{name}"), "true");
        }
        match kind {
            "aws_lambda_function" => function(name, of, into),
            "aws_lambda_alias" => rollout::alias(name, of, into),
            "aws_lambda_function_event_invoke_config" => {
                let wanted = [
                    ("of", "qualifier"),
                    ("retries", "maximum_retry_attempts"),
                    ("age_s", "maximum_event_age_in_seconds"),
                    ("on_failure", "destination_config.on_failure.destination"),
                ];
                fields("invoked", name, of, into, &wanted);
            }
            "aws_lambda_event_source_mapping" => mapping(name, of, into),
            "aws_cloudwatch_event_rule" => {
                into.tree(&format!("trigger.{name}.pattern"), &encoded(&of["event_pattern"]));
            }
            "aws_cloudwatch_event_target" => target(name, of, into),
            "aws_lambda_permission" if of["principal"] == http::CALLER => http::permission(name, of, into),
            "aws_lambda_permission" => self.permission(name, of),
            "aws_scheduler_schedule" => {
                let wanted = [
                    ("name", "name"),
                    ("expression", "schedule_expression"),
                    ("time_zone", "schedule_expression_timezone"),
                    ("role", "target.role_arn"),
                ];
                fields("trigger", name, of, into, &wanted);
                into.tree(&format!("trigger.{name}.input"), &encoded(&of["target"]["input"]));
                target(name, &of["target"], into);
            }
            "aws_sqs_queue" => queue(name, of, into),
            "aws_sqs_queue_policy" | "aws_s3_bucket_policy" => self.statements(name, &of["policy"], into),
            "aws_iam_role" => self.role(name, of, into),
            "aws_iam_role_policy" => {
                // A role's own policy has its name.
                if of["role"] != format!("${{aws_iam_role.{name}.name}}") {
                    into.put(format!("policy_of.{name}"), text(&of["role"]));
                }
                self.statements(name, &of["policy"], into);
            }
            "aws_sfn_state_machine" => steps::state_machine(name, of, into),
            "aws_kinesis_stream" => fields("stream", name, of, into, &STREAM),
            "aws_kms_key" => {
                fields("key", name, of, into, &[("rotates", "enable_key_rotation")]);
                self.statements(name, &of["policy"], into);
            }
            "aws_cloudwatch_log_group" => {
                let log_fields = [("name", "name"), ("days", "retention_in_days"), ("key", "kms_key_id")];
                fields("logs", name, of, into, &log_fields);
            }
            "aws_cloudwatch_metric_alarm" => alarms::alarm(name, of, into),
            "aws_sns_topic" => fields("topic", name, of, into, &[("key", "kms_master_key_id")]),
            "aws_sns_topic_subscription" => {
                let of_topic = [("topic", "topic_arn"), ("to", "endpoint"), ("protocol", "protocol")];
                fields("subscription", name, of, into, &of_topic);
            }
            "aws_cloudwatch_dashboard" => alarms::dashboard(name, of, into),
            _ if kind.starts_with("aws_apigatewayv2_") => http::part(name, of, into),
            _ if kind.starts_with("aws_glue_") => tables::part(kind, name, of, into),
            _ => bucket(kind, name, of, into),
        }
    }

    /// Checks that the rule, and no other caller, may invoke what it invokes; SAM grants this by itself.
    fn permission(&self, name: &str, of: &Value) {
        let invoked = text(&self.all["resource"]["aws_cloudwatch_event_target"][name]["arn"]);
        let granted = if of["qualifier"].is_null() { &of["function_name"] } else { &of["qualifier"] };
        assert_eq!(text(granted).replace(".name}", ".arn}"), invoked, "{name}");
        let rule = format!("${{aws_cloudwatch_event_rule.{name}.arn}}");
        assert_eq!(of["source_arn"], rule, "{name}");
        assert_eq!(of["principal"], "events.amazonaws.com", "{name}");
        assert_eq!(of["action"], "lambda:InvokeFunction", "{name}");
    }

    fn role(&self, name: &str, of: &Value, into: &mut Collected) {
        for statement in many(&self.document(&of["assume_role_policy"])["statement"]) {
            let services = texts(&statement["principals"]["identifiers"]);
            into.list(format!("role.{name}.assumed_by"), services);
            conditions(&format!("role.{name}.assumed_if"), &statement["condition"], into);
        }
        into.put(format!("role.{name}.boundary"), text(&of["permissions_boundary"]));
    }

    fn statements(&self, name: &str, policy: &Value, into: &mut Collected) {
        let document = self.document(policy);
        // Documents that are there by a condition are part of this one.
        let parts = document["source_policy_documents"].as_str().unwrap_or_default();
        let parts =
            parts.trim_start_matches("${concat(").trim_start_matches("${").trim_end_matches(['}', ')']);
        let parts = parts.split(", ").filter(|part| !part.is_empty());
        let parts = parts.map(|part| self.document(&format!("${{{part}}}").into()));
        for statement in std::iter::once(document).chain(parts).flat_map(|of| many(&of["statement"])) {
            closed(name, statement, &["sid", "effect", "actions", "resources", "principals", "condition"]);
            let sid =
                statement["sid"].as_str().unwrap_or_else(|| panic!("{name}: a statement without a sid"));
            let fact = |field: &str| format!("policy.{name}.{sid}.{field}");
            into.put(fact("effect"), statement["effect"].as_str().unwrap_or("Allow"));
            into.list(fact("actions"), texts(&statement["actions"]));
            into.list(fact("resources"), texts(&statement["resources"]));
            let of_kind = |principals: &&Value| {
                let kind = scalar(&principals["type"]);
                let who = texts(&principals["identifiers"]);
                who.into_iter().map(|who| format!("{kind}:{who}")).collect::<Vec<_>>()
            };
            into.list(fact("principals"), many(&statement["principals"]).iter().flat_map(of_kind).collect());
            conditions(&fact("if"), &statement["condition"], into);
        }
    }

    /// Returns the policy document whose JSON is `reference`.
    fn document(&self, reference: &Value) -> &Value {
        let name = reference.as_str().unwrap().replace("one(", "").replace(")}", "}").replace("[*]", "");
        let name =
            name.strip_prefix("${data.aws_iam_policy_document.").and_then(|name| name.strip_suffix(".json}"));
        let name = name.unwrap_or_else(|| panic!("{reference} is no policy document"));
        &self.all["data"]["aws_iam_policy_document"][name]
    }
}

/// Adds fields by their path in a resource.
fn fields(kind: &str, name: &str, of: &Value, into: &mut Collected, wanted: &[(&str, &str)]) {
    for (field, path) in wanted {
        let value = path.split('.').fold(of, |value, step| &value[step]);
        into.put(format!("{kind}.{name}.{field}"), text(value));
    }
}

fn function(name: &str, of: &Value, into: &mut Collected) {
    fields(
        "function",
        name,
        of,
        into,
        &[
            ("description", "description"),
            ("memory_mb", "memory_size"),
            ("timeout_s", "timeout"),
            ("role", "role"),
            ("runtime", "runtime"),
            ("handler", "handler"),
            ("tracing", "tracing_config.mode"),
            ("published", "publish"),
            ("reserved", "reserved_concurrent_executions"),
            ("log_format", "logging_config.log_format"),
            ("log_level", "logging_config.application_log_level"),
            ("log_group", "logging_config.log_group"),
            ("subnets", "vpc_config.subnet_ids"),
            ("security_groups", "vpc_config.security_group_ids"),
        ],
    );
    into.put(format!("function.{name}.architecture"), text(&of["architectures"][0]));
    for (variable, value) in of["environment"]["variables"].as_object().unwrap() {
        into.put(format!("function.{name}.environment.{variable}"), text(value));
    }
}

fn mapping(name: &str, of: &Value, into: &mut Collected) {
    let function = text(&of["function_name"]).replace(".name}", ".arn}");
    into.put(format!("trigger.{name}.function"), function);
    // Only a stream is read from a position on.
    let source = if of["starting_position"].is_null() { "queue" } else { "stream" };
    let wanted = [
        (source, "event_source_arn"),
        ("from", "starting_position"),
        ("batch", "batch_size"),
        ("window_s", "maximum_batching_window_in_seconds"),
        ("concurrency", "scaling_config.maximum_concurrency"),
        ("halves", "bisect_batch_on_function_error"),
        ("retries", "maximum_retry_attempts"),
        ("age_s", "maximum_record_age_in_seconds"),
        ("dead_letters", "destination_config.on_failure.destination_arn"),
    ];
    fields("trigger", name, of, into, &wanted);
    into.list(format!("trigger.{name}.responses"), texts(&of["function_response_types"]));
    into.tree(&format!("trigger.{name}.filter"), &of["filter_criteria"]);
}

fn target(name: &str, of: &Value, into: &mut Collected) {
    fields(
        "trigger",
        name,
        of,
        into,
        &[
            ("function", "arn"),
            ("retries", "retry_policy.maximum_retry_attempts"),
            ("age_s", "retry_policy.maximum_event_age_in_seconds"),
            ("dead_letters", "dead_letter_config.arn"),
        ],
    );
}

fn queue(name: &str, of: &Value, into: &mut Collected) {
    fields(
        "queue",
        name,
        of,
        into,
        &[
            ("encrypted", "sqs_managed_sse_enabled"),
            ("visibility_s", "visibility_timeout_seconds"),
            ("retention_s", "message_retention_seconds"),
            ("message_bytes_max", "max_message_size"),
        ],
    );
    let redrive = encoded(&of["redrive_policy"]);
    into.put(format!("queue.{name}.dead_letters"), text(&redrive["deadLetterTargetArn"]));
    into.put(format!("queue.{name}.receives_max"), text(&redrive["maxReceiveCount"]));
}

fn conditions(name: &str, conditions: &Value, into: &mut Collected) {
    for condition in many(conditions) {
        let (test, variable) = (scalar(&condition["test"]), scalar(&condition["variable"]));
        into.list(format!("{name}.{test}.{variable}"), texts(&condition["values"]));
    }
}

fn bucket(kind: &str, name: &str, of: &Value, into: &mut Collected) {
    let by_default = "rule.apply_server_side_encryption_by_default";
    let (algorithm, key) = (format!("{by_default}.sse_algorithm"), format!("{by_default}.kms_master_key_id"));
    let wanted: &[(&str, &str)] = match kind {
        "aws_s3_bucket" => &[],
        "aws_s3_bucket_versioning" => &[("versioned", "versioning_configuration.status")],
        "aws_s3_bucket_server_side_encryption_configuration" => {
            &[("encryption", &algorithm), ("key", &key), ("bucket_key", "rule.bucket_key_enabled")]
        }
        "aws_s3_bucket_ownership_controls" => &[("ownership", "rule.object_ownership")],
        "aws_s3_bucket_public_access_block" => &[
            ("blocks_public_acls", "block_public_acls"),
            ("blocks_public_policy", "block_public_policy"),
            ("ignores_public_acls", "ignore_public_acls"),
            ("restricts_public", "restrict_public_buckets"),
        ],
        "aws_s3_bucket_logging" => &[("logs_to", "target_bucket"), ("logs_below", "target_prefix")],
        "aws_s3_bucket_notification" => &[("tells_eventbridge", "eventbridge")],
        "aws_s3_bucket_lifecycle_configuration" => {
            for rule in many(&of["rule"]) {
                let id = scalar(&rule["id"]);
                fields(
                    "bucket",
                    &format!("{name}.{id}"),
                    rule,
                    into,
                    &[
                        ("status", "status"),
                        ("prefix", "filter.prefix"),
                        ("abandoned_days", "abort_incomplete_multipart_upload.days_after_initiation"),
                        ("expires_days", "expiration.days"),
                        ("replaced_days", "noncurrent_version_expiration.noncurrent_days"),
                    ],
                );
            }
            &[]
        }
        other => panic!("{name} is a {other}: the comparison does not know what that is"),
    };
    fields("bucket", name, of, into, wanted);
}
