//! Both deployments, template.yaml and infra/terraform, create the same resources: those that the code expects, with
//! properties that linters do not check.

use std::collections::BTreeSet;

use platform::telemetry::{Metric, NAMESPACE};
use strum::VariantArray;
use tests::functions::{Function, functions};
use tests::infrastructure::{Facts, about, fact, items, of_sam, of_terraform};

/// Facts that only one of them has, and why.
const ONLY_ONE: [(&str, &str); 7] = [
    ("parameter.name.", "the stack's name, which SAM's command line has"),
    ("parameter.packages.", "where the packages are, which SAM's command line has"),
    ("parameter.stable_versions.", "CodeDeploy remembers them for SAM"),
    ("role.rollout_role.", "CodeDeploy's, which moves the aliases of SAM's deployments"),
    ("policy.rollout_role.", "the same"),
    // A number that may be null in one, a text that may be empty in the other.
    ("parameter.scorer_reserved_concurrency.", "no such number is null or empty"),
    ("parameter.permissions_boundary.", "the same, described for its readers there"),
];

/// Returns both deployments, each with its name.
pub(crate) fn both() -> [(&'static str, Facts); 2] {
    [("template.yaml", of_sam()), ("infra/terraform", of_terraform())]
}

pub(crate) fn number(facts: &Facts, name: &str) -> f64 {
    let text = fact(facts, name);
    let default =
        text.strip_prefix("{var.").map(|rest| format!("parameter.{}.default", rest.trim_end_matches('}')));
    let text = default.as_ref().map_or(text, |name| fact(facts, name));
    text.parse().unwrap_or_else(|_| panic!("{name}: {text} is no number"))
}

/// Returns the names in the middle of `kind.name.attribute`.
pub(crate) fn names<'a>(facts: &'a Facts, kind: &'a str) -> BTreeSet<&'a str> {
    about(facts, kind).filter_map(|(rest, _)| rest.split('.').next()).collect()
}

#[test]
fn both_deployments_make_the_same() {
    let [(_, sam), (_, terraform)] = both();
    let counts = |name: &&String| !ONLY_ONE.iter().any(|(prefix, _)| name.starts_with(prefix));
    let all: BTreeSet<&String> = sam.keys().chain(terraform.keys()).filter(counts).collect();
    let differs = |name: &&String| sam.get(*name) != terraform.get(*name);
    let line = |name: &String| {
        let of = |facts: &Facts| facts.get(name).cloned().unwrap_or_else(|| "(nothing)".into());
        format!("{name}\n    template.yaml:   {}\n    infra/terraform: {}", of(&sam), of(&terraform))
    };
    let different: Vec<String> = all.iter().copied().filter(differs).map(line).collect();
    assert!(different.is_empty(), "{} facts differ:\n{}", different.len(), different.join("\n"));
    assert!(all.len() > 400, "{} facts: too few to be all", all.len());
}

#[test]
fn functions_are_told_what_they_read_and_nothing_else() {
    for (which, facts) in both() {
        for function in functions() {
            let prefix = format!("function.{}.environment.", function.resource);
            let set: BTreeSet<&str> = about(&facts, &prefix).map(|(name, _)| name).collect();
            let known: BTreeSet<&str> =
                function.variables.iter().map(|variable| variable.name.as_str()).collect();
            let unknown: Vec<_> = set.difference(&known).collect();
            assert!(unknown.is_empty(), "{which}: {} does not read {unknown:?}", function.name);
            for variable in function.variables.iter().filter(|variable| variable.default.is_none()) {
                let (function, variable) = (&function.name, variable.name.as_str());
                assert!(set.contains(variable), "{which}: {function} does not get {variable}");
            }
        }
    }
}

#[test]
fn the_permissions_boundary_lets_every_role_do_its_work() {
    let path = "infra/terraform/deploy-role/boundary.tf";
    let boundary = std::fs::read_to_string(tests::root().join(path)).unwrap();
    let facts = of_sam();
    let roles = names(&facts, "role.");
    let mut n = 0;
    for (name, actions) in about(&facts, "policy.").filter(|(name, _)| name.ends_with(".actions")) {
        if name.split('.').next().is_some_and(|of| roles.contains(of)) {
            for action in items(actions) {
                assert!(
                    boundary.contains(&format!("\"{action}\"")),
                    "{path} lacks {action}, which {name} has"
                );
                n += 1;
            }
        }
    }
    assert!(n > 40, "{n} actions are too few to be all");
}

#[test]
fn no_message_is_lost_for_want_of_time() {
    for (which, facts) in both() {
        let visibility = number(&facts, "queue.trips_queue.visibility_s");
        let timeout = number(&facts, "function.scorer_function.timeout_s");
        let window = number(&facts, "trigger.scorer_function_trips.window_s");
        assert!(visibility >= 6.0 * timeout + window, "{which}: {visibility} s");
        assert!(number(&facts, "queue.trips_queue.receives_max") >= 10.0, "{which}");
        assert_eq!(
            fact(&facts, "trigger.scorer_function_trips.responses"),
            "ReportBatchItemFailures",
            "{which}"
        );
        let fourteen_days = 14.0 * 24.0 * 3600.0;
        for queue in ["dead_letter_queue", "rejects_queue", "batch_failures_queue"] {
            assert_eq!(
                number(&facts, &format!("queue.{queue}.retention_s")),
                fourteen_days,
                "{which}: {queue}"
            );
        }
        // Every asynchronous trigger has a destination for failures, and so has a stream, where one bad record does not bring a
        // whole batch back; a queue keeps failed messages itself.
        let records = |field: &str| fact(&facts, &format!("trigger.records_mapping.{field}"));
        assert_eq!(
            (records("responses"), records("halves"), records("from")),
            ("ReportBatchItemFailures", "true", "TRIM_HORIZON"),
            "{which}"
        );
        let kept_s = 3600.0 * number(&facts, "stream.trips_stream.retention_h");
        assert!(
            kept_s > number(&facts, "trigger.records_mapping.age_s"),
            "{which}: a note outlives its record"
        );
        for trigger in names(&facts, "trigger.") {
            if facts.contains_key(&format!("trigger.{trigger}.queue")) {
                continue;
            }
            let place = fact(&facts, &format!("trigger.{trigger}.dead_letters")).to_string();
            assert_eq!(place, "{batch_failures_queue.arn}", "{which}: {trigger}");
            if facts.contains_key(&format!("trigger.{trigger}.stream")) {
                continue;
            }
            let function = fact(&facts, &format!("trigger.{trigger}.function"));
            let function = function.trim_start_matches('{').split('.').next().unwrap();
            let place = fact(&facts, &format!("invoked.{function}.on_failure")).to_string();
            assert_eq!(place, "{batch_failures_queue.arn}", "{which}: {function}");
        }
    }
}

#[test]
fn rejected_messages_lie_apart_from_what_may_be_moved_back() {
    for (which, facts) in both() {
        assert_eq!(
            fact(&facts, "function.scorer_function.environment.DLQ_URL"),
            "{rejects_queue.url}",
            "{which}"
        );
        assert_eq!(fact(&facts, "queue.trips_queue.dead_letters"), "{dead_letter_queue.arn}", "{which}");
        for (rest, list) in about(&facts, "policy.").filter(|(rest, _)| rest.ends_with(".resources")) {
            let is_open = items(list).contains(&"{dead_letter_queue.arn}");
            assert!(!is_open, "{which}: {rest}: only SQS sends to the dead-letter queue");
        }
        let into_rejects = about(&facts, "queue.").find(|(_, value)| *value == "{rejects_queue.arn}");
        assert_eq!(into_rejects, None, "{which}: SQS moves nothing out of what is no dead-letter queue");
    }
}

#[test]
fn a_function_does_not_wake_itself() {
    for (which, facts) in both() {
        let pattern: Vec<(&str, &str)> =
            about(&facts, "trigger.batch_predictor_function_file_dropped.pattern.detail.object.").collect();
        // There is one pattern: a list of a prefix and a suffix would mean either.
        assert_eq!(pattern, [("key.0.wildcard", "incoming/*")], "{which}");
        for (rest, list) in about(&facts, "policy.batch_predictor_role.") {
            let writes = rest.ends_with(".resources")
                && fact(
                    &facts,
                    &format!("policy.batch_predictor_role.{}", rest.replace(".resources", ".actions")),
                )
                .contains("s3:Put");
            for resource in items(list).into_iter().filter(|_| writes) {
                assert!(
                    !resource.contains("/incoming/") && !resource.ends_with(".arn}/*"),
                    "{which}: {resource}"
                );
            }
        }
        assert_eq!(
            fact(&facts, "trigger.retrainer_function_monthly.expression"),
            "cron(0 9 15 * ? *)",
            "{which}: `tripcast replay` lives by the same day"
        );
    }
}

#[test]
fn nothing_is_granted_by_a_star() {
    for (which, facts) in both() {
        for (rest, list) in about(&facts, "policy.") {
            let parts: Vec<&str> = rest.splitn(3, '.').collect();
            let (statement, field) = (format!("{}.{}", parts[0], parts[1]), parts[2]);
            if fact(&facts, &format!("policy.{statement}.effect")) == "Deny" {
                continue;
            }
            let starred = items(list).into_iter().any(|item| match field {
                "actions" => item.contains('*'),
                "resources" => item == "*" || item == "arn:*",
                "principals" => item.ends_with(":*"),
                _ => false,
            });
            // In a key's policy * is that key; X-Ray, the delivery of logs and interfaces to be made have no resources to name.
            let is_known = statement.starts_with("key.")
                || [".WriteTraces", ".DeliverLogs", ".UseNetwork"].iter().any(|sid| statement.ends_with(sid));
            assert!(!starred || (field == "resources" && is_known), "{which}: {statement}: {list}");
        }
    }
}

#[test]
fn nobody_but_aws_can_call_a_function() {
    for (which, facts) in both() {
        // A function URL, an API or another way in would be a trigger, or a kind that the comparison refuses to read.
        for trigger in names(&facts, "trigger.") {
            let invoked = fact(&facts, &format!("trigger.{trigger}.function"));
            let is_ours = functions().iter().any(|Function { resource, .. }| {
                // Where a function has an alias, nothing else invokes it.
                let has_alias = facts.contains_key(&format!("function.{resource}.alias"));
                invoked == format!("{{{resource}.{}}}", if has_alias { "live" } else { "arn" })
            });
            assert!(is_ours, "{which}: {trigger} invokes no function of the stack");
            let kind = format!("trigger.{trigger}.");
            let kinds = ["queue", "stream", "pattern.", "expression"];
            let known =
                about(&facts, &kind).filter(|(field, _)| kinds.iter().any(|kind| field.starts_with(kind)));
            assert!(known.count() > 0, "{which}: {trigger} is no queue, stream, rule or schedule");
        }
        for permission in names(&facts, "permission.") {
            let of = |field: &str| fact(&facts, &format!("permission.{permission}.{field}"));
            assert_eq!(of("principal"), "apigateway.amazonaws.com", "{which}");
            assert!(of("source").ends_with(":{http_api.id}/*"), "{which}: {}", of("source"));
        }
        // The API is never open: IAM signs requests, or an issuer's tokens are checked; and it is throttled.
        let route = |field: &str| fact(&facts, &format!("http.http_route.{field}"));
        assert_eq!((route("without_tokens"), route("with_tokens")), ("AWS_IAM", "JWT"), "{which}");
        assert_eq!(route("authorized_by"), "{http_authorizer.id}", "{which}");
        assert_eq!(fact(&facts, "http.http_stage.requests_s"), "{var.requests_per_second_max}", "{which}");
        for role in names(&facts, "role.") {
            let service = match role {
                "schedule_role" => "scheduler",
                "backfill_role" | "training_role" => "states",
                "rollout_role" => "codedeploy",
                _ => "lambda",
            };
            assert_eq!(
                fact(&facts, &format!("role.{role}.assumed_by")),
                format!("{service}.amazonaws.com"),
                "{which}"
            );
        }
        let functions = functions();
        let roles: BTreeSet<&str> =
            functions.iter().map(|one| fact(&facts, &format!("function.{}.role", one.resource))).collect();
        assert_eq!(roles.len(), functions.len(), "{which}: a role each");
    }
}

#[test]
fn buckets_keep_to_themselves_and_queues_are_encrypted() {
    for (which, facts) in both() {
        for bucket in names(&facts, "bucket.") {
            let of = |field: &str| facts.get(&format!("bucket.{bucket}.{field}")).map_or("", String::as_str);
            for field in
                ["blocks_public_acls", "blocks_public_policy", "ignores_public_acls", "restricts_public"]
            {
                assert_eq!(of(field), "true", "{which}: {bucket}.{field}");
            }
            assert_eq!(
                (of("versioned"), of("ownership")),
                ("Enabled", "BucketOwnerEnforced"),
                "{which}: {bucket}"
            );
            assert_eq!(of("abandoned-uploads.abandoned_days"), "1", "{which}: {bucket}");
            let is_logs = bucket == "access_logs_bucket";
            assert_eq!(of("encryption"), if is_logs { "AES256" } else { "aws:kms" }, "{which}: {bucket}");
            assert_eq!(of("logs_to").is_empty(), is_logs, "{which}: {bucket}");
            let tls = format!("policy.{bucket}_policy.TlsOnly");
            assert_eq!(
                fact(&facts, &format!("{tls}.if.Bool.aws:SecureTransport")),
                "false",
                "{which}: {bucket}"
            );
            let everything = format!("{{{bucket}.arn}} | {{{bucket}.arn}}/*");
            assert_eq!(fact(&facts, &format!("{tls}.resources")), everything, "{which}: {bucket}");
        }
        for queue in names(&facts, "queue.") {
            assert_eq!(fact(&facts, &format!("queue.{queue}.encrypted")), "true", "{which}: {queue}");
        }
    }
}

#[test]
fn alarms_tell_somebody_of_something_that_is_told() {
    let emitted: Vec<&str> = Metric::VARIANTS.iter().map(|metric| metric.name()).collect();
    for (which, facts) in both() {
        for alarm in names(&facts, "alarm.") {
            let of = |field: &str| facts.get(&format!("alarm.{alarm}.{field}")).map_or("", String::as_str);
            assert_eq!(
                (of("actions"), of("ok_actions")),
                ("{alarm_topic.arn}", "{alarm_topic.arn}"),
                "{which}: {alarm}"
            );
            if of("namespace") == NAMESPACE {
                assert!(
                    emitted.contains(&of("metric")),
                    "{which}: {alarm}: no function emits {}",
                    of("metric")
                );
                let of_stack =
                    |one: &Function| of("dimension.function") == format!("{{{}.name}}", one.resource);
                assert!(functions().iter().any(of_stack), "{which}: {alarm} is of no function of the stack");
            }
            // An alarm looks back a day at most, or a week if its periods are an hour or more.
            let seconds = number(&facts, &format!("alarm.{alarm}.period_s"))
                * number(&facts, &format!("alarm.{alarm}.periods"));
            let is_long = number(&facts, &format!("alarm.{alarm}.period_s")) >= 3600.0;
            let seconds_max = if is_long { 7.0 * 86_400.0 } else { 86_400.0 };
            assert!(seconds <= seconds_max, "{which}: {alarm} looks back {seconds} s");
        }
        for Function { resource, .. } in functions() {
            let function = resource.trim_end_matches("_function");
            let of = |kind: &str, field: &str| {
                fact(&facts, &format!("alarm.{function}_{kind}_alarm.{field}")).to_string()
            };
            let timeout = number(&facts, &format!("function.{resource}.timeout_s"));
            assert_eq!(
                (of("errors", "metric"), of("throttles", "metric")),
                ("Errors".into(), "Throttles".into())
            );
            assert_eq!(of("duration", "percentile"), "p99", "{which}: {function}");
            assert_eq!(
                of("duration", "threshold").parse::<f64>().unwrap(),
                800.0 * timeout,
                "{which}: {function}"
            );
            // A metric of an invocation has the time of its beginning, and is there a while after its end.
            for kind in ["errors", "duration"] {
                let looks_back = number(&facts, &format!("alarm.{function}_{kind}_alarm.period_s"))
                    * number(&facts, &format!("alarm.{function}_{kind}_alarm.periods"));
                assert!(looks_back >= timeout + 300.0, "{which}: {function}, {kind}: {looks_back} s");
            }
            for kind in ["errors", "throttles", "duration"] {
                assert_eq!(of(kind, "dimension.FunctionName"), format!("{{{resource}.name}}"), "{which}");
            }
        }
        for silent in ["model_age_alarm", "no_retraining_alarm"] {
            assert_eq!(fact(&facts, &format!("alarm.{silent}.missing")), "breaching", "{which}: {silent}");
        }
        for queue in ["dead_letters_alarm", "rejects_alarm", "batch_failures_alarm"] {
            assert_eq!(fact(&facts, &format!("alarm.{queue}.threshold")), "0", "{which}: {queue}");
        }
    }
}

#[test]
fn logs_are_json_kept_for_a_while_and_encrypted() {
    for (which, facts) in both() {
        for Function { resource, name, .. } in functions() {
            assert_eq!(fact(&facts, &format!("function.{resource}.log_format")), "JSON", "{which}: {name}");
            let tracing = fact(&facts, &format!("function.{resource}.tracing"));
            assert_eq!(tracing, "{var.tracing} ? Active : PassThrough", "{which}: {name}");
            let group = resource.replace("_function", "_log_group");
            assert_eq!(
                fact(&facts, &format!("logs.{group}.name")),
                format!("/aws/lambda/{{stack}}-{name}"),
                "{which}"
            );
            assert_eq!(fact(&facts, &format!("logs.{group}.key")), "{key.arn}", "{which}");
            assert!(number(&facts, &format!("logs.{group}.days")) >= 30.0, "{which}");
        }
    }
}
