//! Compares the calls of functions in the end-to-end tests with what their roles allow: nothing else is called, and
//! nothing else is granted. The local AWS allows everything; a recorder before it writes the calls down
//! (infra/local/recorder.py).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::functions::functions;
use tests::infrastructure::{Facts, about, items, of_sam, of_terraform};
use tests::needs::{Need, has};
use tests::root;

/// Statements for AWS's services in a role's name, or for S3's responses; functions make none of these calls.
const BY_SERVICES: [(&str, &str); 8] = [
    ("KeepFailures", "Lambda sends what failed for good to the destination"),
    ("TakeMessages", "the event source mapping takes messages off the queue"),
    ("TakeRecords", "the event source mapping reads the stream"),
    ("TellMissingFromForbidden", "S3 says 404 rather than 403 for a missing key to who may list"),
    ("UseKey", "S3 encrypts and decrypts with the key"),
    ("UseNetwork", "Lambda makes interfaces in the subnets that are named"),
    ("WriteLogs", "Lambda writes the functions' logs"),
    ("WriteTraces", "Lambda writes traces"),
];

/// Calls that functions make only after a fault that the end-to-end tests do not cause.
const AFTER_A_FAULT: [(&str, &str); 1] =
    // An upload is aborted if a file breaks off after its first rows; the conformance suite of stores tests aborting.
    [("WritePredictionsAndQuarantine", "s3:AbortMultipartUpload")];

/// The actions of those statements: they may contain no others.
const OF_SERVICES: [&str; 22] = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "s3:ListBucket",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

/// One call as IAM sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    role: String,
    action: String,
    resource: String,
}

/// Maps names on the local AWS, each with its kind, to those of the deployment: a queue and a stream may have one name.
fn names() -> BTreeMap<(&'static str, String), &'static str> {
    let outputs = [
        ("AlarmTopicArn", "{alarm_topic.arn}"),
        ("DataBucketName", "{data_bucket.arn}"),
        ("ModelBucketName", "{model_bucket.arn}"),
        ("TripsQueueUrl", "{trips_queue.arn}"),
        ("PredictionsQueueUrl", "{predictions_queue.arn}"),
        ("DeadLetterQueueUrl", "{dead_letter_queue.arn}"),
        ("RejectsQueueUrl", "{rejects_queue.arn}"),
        ("TripsStreamName", "{trips_stream.arn}"),
        ("PredictionsStreamName", "{predictions_stream.arn}"),
        ("BatchFailuresQueueUrl", "{batch_failures_queue.arn}"),
    ];
    let mut names = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("target/e2e")).expect("run `make e2e`") {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let of: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            for (output, name) in outputs {
                // Not every stack has streams.
                let Some(url) = of[output].as_str() else { continue };
                let kind = name.rsplit_once('_').unwrap().1.trim_end_matches(".arn}");
                names.insert((kind, url.rsplit(['/', ':']).next().unwrap().to_string()), name);
            }
        }
    }
    names
}

fn calls() -> BTreeSet<Call> {
    let names = names();
    let named = |kind: &'static str, name: &str| {
        let known = names.get(&(kind, name.to_string()));
        known.unwrap_or_else(|| panic!("the {kind} {name} is of no stack")).to_string()
    };
    let recorded = std::fs::read_to_string(root().join("target/e2e/calls.jsonl")).expect("run `make e2e`");
    let call = |line: &str| {
        let call: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| call[field].as_str().unwrap();
        let last = |kind: &'static str| named(kind, text(kind).rsplit(['/', ':']).next().unwrap());
        let (action, resource) = match text("target") {
            "AmazonSQS.SendMessage" | "AmazonSQS.SendMessageBatch" => ("sqs:SendMessage", last("queue")),
            // The secret is whatever the parameter names.
            "secretsmanager.GetSecretValue" => {
                ("secretsmanager:GetSecretValue", "{var.mlflow_secret_arn}".to_string())
            }
            "Kinesis_20131202.PutRecords" => ("kinesis:PutRecords", last("stream")),
            "AmazonSNS.Publish" => ("sns:Publish", last("topic")),
            "" => s3(text("method"), text("path"), text("query"), |bucket| named("bucket", bucket)),
            other => panic!("a function called {other}"),
        };
        let role = format!("{}_role", text("caller").trim_start_matches("tripcast-").replace('-', "_"));
        Call { role, action: action.into(), resource }
    };
    recorded.lines().map(call).collect()
}

/// Returns the action that S3 checks, and its resource.
fn s3(method: &str, path: &str, query: &str, named: impl Fn(&str) -> String) -> (&'static str, String) {
    let (bucket, key) =
        path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let has = |parameter: &str| query.split('&').any(|pair| pair.split('=').next() == Some(parameter));
    let bucket = named(bucket);
    if key.is_empty() {
        assert!(method == "GET" && has("list-type"), "{method} {path}?{query}");
        return ("s3:ListBucket", bucket);
    }
    let action = match method {
        "GET" | "HEAD" if has("versionId") => "s3:GetObjectVersion",
        "GET" | "HEAD" => "s3:GetObject",
        // A multipart upload needs this permission, too, from its beginning to its end.
        "PUT" | "POST" => "s3:PutObject",
        "DELETE" if has("uploadId") => "s3:AbortMultipartUpload",
        other => panic!("a function called {other} {path}?{query}"),
    };
    (action, format!("{bucket}/{key}"))
}

/// A permission of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    role: String,
    sid: String,
    action: String,
    resource: String,
}

fn grants(facts: &Facts) -> BTreeSet<Grant> {
    let mut grants = BTreeSet::new();
    for function in functions() {
        let role = function.resource.replace("_function", "_role");
        // A role has a policy of its own name, and may have others.
        let of_role = format!("{{{role}.name}}");
        let others = about(facts, "policy_of.").filter(|(_, roles)| *roles == of_role);
        let policies = others.map(|(policy, _)| policy).chain([role.as_str()]);
        let prefixes: Vec<String> = policies.map(|policy| format!("policy.{policy}.")).collect();
        let fields: BTreeMap<&str, &str> = prefixes.iter().flat_map(|prefix| about(facts, prefix)).collect();
        for (name, actions) in fields.iter().filter(|(name, _)| name.ends_with(".actions")) {
            let sid = name.trim_end_matches(".actions");
            for action in items(actions) {
                for resource in items(fields[format!("{sid}.resources").as_str()]) {
                    let [role, sid, action, resource] = [&role, sid, action, resource].map(String::from);
                    grants.insert(Grant { role, sid, action, resource });
                }
            }
        }
    }
    assert!(grants.len() > 30, "{} grants", grants.len());
    grants
}

/// Returns whether `text` matches `pattern`, where `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|from| rest.is_char_boundary(from) && matches(after, &rest[from..]))
        }),
    }
}

#[test]
fn functions_call_what_they_may_and_may_what_they_call() {
    if !has(Need::RecordedCalls) {
        return;
    }
    let calls = calls();
    assert!(calls.len() > 50, "{} calls: the end-to-end tests have to run first", calls.len());
    for (which, facts) in [("template.yaml", of_sam()), ("infra/terraform", of_terraform())] {
        let grants = grants(&facts);
        let mut used = BTreeSet::new();
        for call in &calls {
            let allows = |grant: &&Grant| {
                (&grant.role, &grant.action) == (&call.role, &call.action)
                    && matches(&grant.resource, &call.resource)
            };
            let allowing: Vec<&Grant> = grants.iter().filter(allows).collect();
            assert!(!allowing.is_empty(), "{which} does not allow {call:?}");
            used.extend(allowing);
        }
        let by_services = |grant: &&Grant| {
            BY_SERVICES.iter().any(|(sid, _)| *sid == grant.sid)
                && OF_SERVICES.contains(&grant.action.as_str())
                || AFTER_A_FAULT.contains(&(grant.sid.as_str(), grant.action.as_str()))
        };
        let unused: Vec<&Grant> =
            grants.iter().filter(|grant| !used.contains(grant) && !by_services(grant)).collect();
        assert!(unused.is_empty(), "{which} grants what no function called: {unused:#?}");
        let needless: Vec<&&Grant> =
            used.iter().filter(|grant| grant.sid == "TellMissingFromForbidden").collect();
        assert!(
            needless.is_empty(),
            "{which}: a function lists by a permission that is not for it: {needless:?}"
        );
    }
}

#[test]
fn a_star_is_any_text() {
    assert!(matches("{b}/*/aliases/*", "{b}/duration/aliases/champion.json"));
    assert!(!matches("{b}/*/aliases/*", "{b}/duration/versions/x"));
    assert!(matches("a*c", "abc") && !matches("a*c", "abd") && matches("{q}", "{q}"));
}
