//! Reads template.yaml as facts.

mod document;
mod http;
mod properties;
mod rollout;
mod steps;
mod streams;
mod tables;
mod values;

use serde_json::Value;

pub use document::template;

use properties::{EVENT_PROPERTIES, GLOBALS, PROPERTIES};
use values::conditional;

use super::{Collected, Facts, closed, many, scalar, snake};

/// Returns the facts of template.yaml.
pub fn of_sam() -> Facts {
    let template = template();
    let sam = Sam { template: &template };
    closed("Globals", &template["Globals"]["Function"], &GLOBALS);
    let mut into = Collected::default();
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        let name = format!("parameter.{}", snake(name));
        into.put(format!("{name}.default"), scalar(&parameter["Default"]));
        into.put(format!("{name}.description"), scalar(&parameter["Description"]));
    }
    for (name, output) in template["Outputs"].as_object().unwrap() {
        let name = format!("output.{}", snake(name));
        into.put(format!("{name}.value"), sam.text(&output["Value"]));
        into.put(format!("{name}.description"), scalar(&output["Description"]));
    }
    for (name, resource) in template["Resources"].as_object().unwrap() {
        sam.resource(&snake(name), resource, &mut into);
    }
    into.facts
}

/// The fields that a resource may have.
const RESOURCE_FIELDS: [&str; 7] =
    ["Type", "Properties", "Metadata", "Condition", "DeletionPolicy", "DependsOn", "UpdateReplacePolicy"];

struct Sam<'a> {
    template: &'a Value,
}

impl Sam<'_> {
    fn resource(&self, name: &str, resource: &Value, into: &mut Collected) {
        let of = &resource["Properties"];
        let kind = resource["Type"].as_str().unwrap();
        let known = PROPERTIES.iter().find(|(of_kind, _)| *of_kind == kind);
        let (_, known) =
            known.unwrap_or_else(|| panic!("{name} is a {kind}: the comparison does not read that"));
        closed(name, of, known);
        closed(name, resource, &RESOURCE_FIELDS);
        if resource["DeletionPolicy"] == "RetainExceptOnCreate" {
            assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
            into.put(format!("retained.{name}"), "true");
        }
        match kind {
            "AWS::Serverless::Function" => self.function(name, of, into),
            "AWS::SQS::Queue" => self.queue(name, of, into),
            "AWS::SQS::QueuePolicy" | "AWS::S3::BucketPolicy" => {
                self.statements(name, &of["PolicyDocument"], into);
            }
            "AWS::IAM::Policy" => {
                into.list(format!("policy_of.{name}"), self.texts(&of["Roles"]));
                self.statements(name, &of["PolicyDocument"], into);
            }
            "AWS::Kinesis::Stream" | "AWS::Lambda::EventSourceMapping" => self.stream(name, of, into),
            "AWS::StepFunctions::StateMachine" => self.state_machine(name, of, into),
            "AWS::Glue::Database" => self.database(name, of, into),
            "AWS::Glue::Table" => self.table(name, of, into),
            "AWS::IAM::Role" => self.role(name, of, into),
            "AWS::KMS::Key" => {
                into.put(format!("key.{name}.rotates"), self.text(&of["EnableKeyRotation"]));
                self.statements(name, &of["KeyPolicy"], into);
            }
            "AWS::S3::Bucket" => self.bucket(name, of, into),
            "AWS::Logs::LogGroup" => {
                into.put(format!("logs.{name}.name"), self.text(&of["LogGroupName"]));
                into.put(format!("logs.{name}.days"), self.text(&of["RetentionInDays"]));
                into.put(format!("logs.{name}.key"), self.text(&of["KmsKeyId"]));
            }
            "AWS::CloudWatch::Alarm" => self.alarm(name, of, into),
            "AWS::SNS::Topic" => into.put(format!("topic.{name}.key"), self.text(&of["KmsMasterKeyId"])),
            "AWS::SNS::Subscription" => {
                into.put(format!("subscription.{name}.topic"), self.text(&of["TopicArn"]));
                into.put(format!("subscription.{name}.to"), self.text(&of["Endpoint"]));
                into.put(format!("subscription.{name}.protocol"), self.text(&of["Protocol"]));
            }
            "AWS::CloudWatch::Dashboard" => self.dashboard(name, of, into),
            "AWS::Lambda::Permission" => {
                into.put(format!("permission.{name}.function"), self.text(&of["FunctionName"]));
                into.put(format!("permission.{name}.action"), self.text(&of["Action"]));
                into.put(format!("permission.{name}.principal"), self.text(&of["Principal"]));
                into.put(format!("permission.{name}.source"), self.text(&of["SourceArn"]));
            }
            "AWS::Lambda::EventInvokeConfig" => {
                into.put(format!("invoked.{name}.of"), self.text(&of["Qualifier"]));
                self.invoked(name, of, into);
            }
            _ if kind.starts_with("AWS::ApiGatewayV2::") => self.http(name, of, into),
            other => panic!("{name} is a {other}: the comparison does not know what that is"),
        }
    }

    fn function(&self, name: &str, of: &Value, into: &mut Collected) {
        let globals = &self.template["Globals"]["Function"];
        let or_global = |field: &str| if of[field].is_null() { &globals[field] } else { &of[field] };
        let reserved = self.text(conditional(&of["ReservedConcurrentExecutions"]));
        let logging = &of["LoggingConfig"];
        let network = conditional(&globals["VpcConfig"]);
        for (field, value) in [
            ("description", self.text(&of["Description"])),
            ("memory_mb", self.text(&of["MemorySize"])),
            ("timeout_s", self.text(&of["Timeout"])),
            ("role", self.text(&of["Role"])),
            ("runtime", self.text(or_global("Runtime"))),
            ("handler", self.text(or_global("Handler"))),
            ("architecture", self.text(&or_global("Architectures")[0])),
            ("tracing", self.text(or_global("Tracing"))),
            ("reserved", reserved),
            ("log_format", self.text(&logging["LogFormat"])),
            ("log_level", self.text(&logging["ApplicationLogLevel"])),
            ("log_group", self.text(&logging["LogGroup"])),
            ("subnets", self.text(&network["SubnetIds"])),
            ("security_groups", self.text(&network["SecurityGroupIds"])),
        ] {
            into.put(format!("function.{name}.{field}"), value);
        }
        for (variable, value) in globals["Environment"]["Variables"].as_object().unwrap() {
            // A variable with a value would have to be one of Terraform's functions too.
            assert_eq!(value["Ref"], "AWS::NoValue", "{variable} of all functions");
        }
        for (variable, value) in of["Environment"]["Variables"].as_object().unwrap() {
            into.put(format!("function.{name}.environment.{variable}"), self.text(value));
        }
        let live = self.alias(name, of, into);
        let invoked = &of["EventInvokeConfig"];
        if live && !invoked.is_null() {
            into.put(format!("invoked.{name}.of"), format!("{{{name}.live}}"));
        }
        self.invoked(name, invoked, into);
        for (event, described) in of["Events"].as_object().into_iter().flatten() {
            let invoked = format!("{{{name}.{}}}", if live { "live" } else { "arn" });
            self.event(&format!("{name}_{}", snake(event)), invoked, described, into);
        }
    }

    fn invoked(&self, name: &str, of: &Value, into: &mut Collected) {
        for (fact, value) in [
            ("retries", &of["MaximumRetryAttempts"]),
            ("age_s", &of["MaximumEventAgeInSeconds"]),
            ("on_failure", &of["DestinationConfig"]["OnFailure"]["Destination"]),
        ] {
            into.put(format!("invoked.{name}.{fact}"), self.text(value));
        }
    }

    fn event(&self, name: &str, invoked: String, event: &Value, into: &mut Collected) {
        let of = &event["Properties"];
        let kind = event["Type"].as_str().unwrap();
        // SAM and its linters ignore a misspelt property of an event.
        closed(name, of, &EVENT_PROPERTIES);
        let fact = |field: &str| format!("trigger.{name}.{field}");
        into.put(fact("function"), invoked);
        into.put(fact("retries"), self.text(&of["RetryPolicy"]["MaximumRetryAttempts"]));
        into.put(fact("age_s"), self.text(&of["RetryPolicy"]["MaximumEventAgeInSeconds"]));
        into.put(fact("dead_letters"), self.text(&of["DeadLetterConfig"]["Arn"]));
        match kind {
            "SQS" => {
                into.put(fact("queue"), self.text(&of["Queue"]));
                into.put(fact("batch"), self.text(&of["BatchSize"]));
                into.put(fact("window_s"), self.text(&of["MaximumBatchingWindowInSeconds"]));
                into.put(fact("concurrency"), self.text(&of["ScalingConfig"]["MaximumConcurrency"]));
                into.list(fact("responses"), self.texts(&of["FunctionResponseTypes"]));
                // There is no filter now; a new one must be in both.
                into.tree(&fact("filter"), &of["FilterCriteria"]);
            }
            "EventBridgeRule" => into.tree(&fact("pattern"), &self.resolved(&of["Pattern"])),
            "ScheduleV2" => {
                into.put(fact("name"), self.text(&of["Name"]));
                into.put(fact("expression"), self.text(&of["ScheduleExpression"]));
                into.put(fact("time_zone"), self.text(&of["ScheduleExpressionTimezone"]));
                into.put(fact("role"), self.text(&of["RoleArn"]));
                let input = of["Input"].as_str().map(|input| serde_json::from_str(input).unwrap());
                into.tree(&fact("input"), &input.unwrap_or_default());
            }
            other => panic!("{name} is a {other}: the comparison does not know what that is"),
        }
    }

    fn queue(&self, name: &str, of: &Value, into: &mut Collected) {
        let redrive = &of["RedrivePolicy"];
        for (field, value) in [
            ("encrypted", &of["SqsManagedSseEnabled"]),
            ("visibility_s", &of["VisibilityTimeout"]),
            ("retention_s", &of["MessageRetentionPeriod"]),
            ("message_bytes_max", &of["MaximumMessageSize"]),
            ("dead_letters", &redrive["deadLetterTargetArn"]),
            ("receives_max", &redrive["maxReceiveCount"]),
        ] {
            into.put(format!("queue.{name}.{field}"), self.text(value));
        }
    }

    fn role(&self, name: &str, of: &Value, into: &mut Collected) {
        let assume = &of["AssumeRolePolicyDocument"]["Statement"];
        for statement in many(assume) {
            let field = format!("role.{name}.assumed_by");
            into.list(field, self.texts(&statement["Principal"]["Service"]));
            self.conditions(&format!("role.{name}.assumed_if"), &statement["Condition"], into);
        }
        let bounded = conditional(&of["PermissionsBoundary"]);
        into.put(format!("role.{name}.boundary"), self.text(bounded));
        for policy in many(&of["Policies"]) {
            self.statements(name, &policy["PolicyDocument"], into);
        }
    }

    fn statements(&self, name: &str, document: &Value, into: &mut Collected) {
        for statement in many(&document["Statement"]).into_iter().map(conditional) {
            closed(name, statement, &["Sid", "Effect", "Action", "Resource", "Principal", "Condition"]);
            let sid =
                statement["Sid"].as_str().unwrap_or_else(|| panic!("{name}: a statement without a Sid"));
            let fact = |field: &str| format!("policy.{name}.{sid}.{field}");
            into.put(fact("effect"), self.text(&statement["Effect"]));
            into.list(fact("actions"), self.texts(&statement["Action"]));
            into.list(fact("resources"), self.texts(&statement["Resource"]));
            let principals = match &statement["Principal"] {
                Value::String(anybody) => vec![format!("*:{anybody}")],
                Value::Object(kinds) => {
                    let of_kind = |(kind, who): (&String, &Value)| {
                        self.texts(who).into_iter().map(|who| format!("{kind}:{who}")).collect::<Vec<_>>()
                    };
                    kinds.iter().flat_map(of_kind).collect()
                }
                _ => Vec::new(),
            };
            into.list(fact("principals"), principals);
            self.conditions(&fact("if"), &statement["Condition"], into);
        }
    }

    fn conditions(&self, name: &str, conditions: &Value, into: &mut Collected) {
        for (test, variables) in conditions.as_object().into_iter().flatten() {
            for (variable, value) in variables.as_object().unwrap() {
                into.list(format!("{name}.{test}.{variable}"), self.texts(value));
            }
        }
    }

    fn bucket(&self, name: &str, of: &Value, into: &mut Collected) {
        let encryption = &of["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
        let by_default = &encryption["ServerSideEncryptionByDefault"];
        let blocked = &of["PublicAccessBlockConfiguration"];
        let notifies = &of["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"];
        for (field, value) in [
            ("versioned", &of["VersioningConfiguration"]["Status"]),
            ("encryption", &by_default["SSEAlgorithm"]),
            ("key", &by_default["KMSMasterKeyID"]),
            ("bucket_key", &encryption["BucketKeyEnabled"]),
            ("ownership", &of["OwnershipControls"]["Rules"][0]["ObjectOwnership"]),
            ("blocks_public_acls", &blocked["BlockPublicAcls"]),
            ("blocks_public_policy", &blocked["BlockPublicPolicy"]),
            ("ignores_public_acls", &blocked["IgnorePublicAcls"]),
            ("restricts_public", &blocked["RestrictPublicBuckets"]),
            ("logs_to", &of["LoggingConfiguration"]["DestinationBucketName"]),
            ("logs_below", &of["LoggingConfiguration"]["LogFilePrefix"]),
            ("tells_eventbridge", notifies),
        ] {
            into.put(format!("bucket.{name}.{field}"), self.text(value));
        }
        for rule in many(&of["LifecycleConfiguration"]["Rules"]) {
            let fact = |field: &str| format!("bucket.{name}.{}.{field}", rule["Id"].as_str().unwrap());
            into.put(fact("status"), self.text(&rule["Status"]));
            into.put(fact("prefix"), self.text(&rule["Prefix"]));
            let abandoned = &rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"];
            into.put(fact("abandoned_days"), self.text(abandoned));
            into.put(fact("expires_days"), self.text(&rule["ExpirationInDays"]));
            let replaced = &rule["NoncurrentVersionExpiration"]["NoncurrentDays"];
            into.put(fact("replaced_days"), self.text(replaced));
        }
    }

    fn alarm(&self, name: &str, of: &Value, into: &mut Collected) {
        for (field, value) in [
            ("description", "AlarmDescription"),
            ("namespace", "Namespace"),
            ("metric", "MetricName"),
            ("statistic", "Statistic"),
            ("percentile", "ExtendedStatistic"),
            ("period_s", "Period"),
            ("periods", "EvaluationPeriods"),
            ("periods_that_ring", "DatapointsToAlarm"),
            ("operator", "ComparisonOperator"),
            ("threshold", "Threshold"),
            ("missing", "TreatMissingData"),
        ] {
            into.put(format!("alarm.{name}.{field}"), self.text(&of[value]));
        }
        into.list(format!("alarm.{name}.actions"), self.texts(&of["AlarmActions"]));
        into.list(format!("alarm.{name}.ok_actions"), self.texts(&of["OKActions"]));
        for dimension in many(&of["Dimensions"]) {
            let field = format!("alarm.{name}.dimension.{}", self.text(&dimension["Name"]));
            into.put(field, self.text(&dimension["Value"]));
        }
    }

    fn dashboard(&self, name: &str, of: &Value, into: &mut Collected) {
        into.put(format!("dashboard.{name}.name"), self.text(&of["DashboardName"]));
        let substituted = &of["DashboardBody"]["Fn::Sub"];
        into.put(format!("dashboard.{name}.body"), scalar(&substituted[0]));
        for (variable, value) in substituted[1].as_object().unwrap() {
            into.put(format!("dashboard.{name}.variable.{variable}"), self.text(value));
        }
    }
}
