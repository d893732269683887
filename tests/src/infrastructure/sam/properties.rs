//! The properties of template.yaml that the comparison reads.

/// The settings that all functions share.
pub(super) const GLOBALS: [&str; 7] =
    ["Runtime", "Handler", "CodeUri", "Architectures", "Tracing", "VpcConfig", "Environment"];

/// The properties of resources that the comparison reads: no function URLs or managed policies.
pub(super) const PROPERTIES: [(&str, &[&str]); 25] = [
    (
        "AWS::Serverless::Function",
        &[
            "Description",
            "MemorySize",
            "Timeout",
            "Role",
            "AutoPublishAlias",
            "AutoPublishAliasAllProperties",
            "DeploymentPreference",
            "ReservedConcurrentExecutions",
            "LoggingConfig",
            "Environment",
            "EventInvokeConfig",
            "Events",
        ],
    ),
    (
        "AWS::SQS::Queue",
        &[
            "SqsManagedSseEnabled",
            "VisibilityTimeout",
            "MessageRetentionPeriod",
            "MaximumMessageSize",
            "RedrivePolicy",
        ],
    ),
    ("AWS::SQS::QueuePolicy", &["Queues", "PolicyDocument"]),
    ("AWS::S3::BucketPolicy", &["Bucket", "PolicyDocument"]),
    ("AWS::IAM::Role", &["AssumeRolePolicyDocument", "PermissionsBoundary", "Policies"]),
    ("AWS::KMS::Key", &["Description", "EnableKeyRotation", "KeyPolicy"]),
    (
        "AWS::S3::Bucket",
        &[
            "VersioningConfiguration",
            "BucketEncryption",
            "PublicAccessBlockConfiguration",
            "OwnershipControls",
            "LoggingConfiguration",
            "LifecycleConfiguration",
            "NotificationConfiguration",
        ],
    ),
    (
        "AWS::Lambda::EventInvokeConfig",
        &[
            "FunctionName",
            "Qualifier",
            "MaximumRetryAttempts",
            "MaximumEventAgeInSeconds",
            "DestinationConfig",
        ],
    ),
    ("AWS::IAM::Policy", &["PolicyName", "Roles", "PolicyDocument"]),
    ("AWS::Kinesis::Stream", &["ShardCount", "RetentionPeriodHours", "StreamEncryption"]),
    (
        "AWS::Lambda::EventSourceMapping",
        &[
            "FunctionName",
            "EventSourceArn",
            "StartingPosition",
            "BatchSize",
            "MaximumBatchingWindowInSeconds",
            "FunctionResponseTypes",
            "BisectBatchOnFunctionError",
            "MaximumRetryAttempts",
            "MaximumRecordAgeInSeconds",
            "DestinationConfig",
        ],
    ),
    (
        "AWS::StepFunctions::StateMachine",
        &[
            "StateMachineName",
            "StateMachineType",
            "RoleArn",
            "TracingConfiguration",
            "LoggingConfiguration",
            "DefinitionSubstitutions",
            "Definition",
        ],
    ),
    ("AWS::Glue::Database", &["CatalogId", "DatabaseInput"]),
    ("AWS::Glue::Table", &["CatalogId", "DatabaseName", "TableInput"]),
    ("AWS::Logs::LogGroup", &["LogGroupName", "RetentionInDays", "KmsKeyId"]),
    (
        "AWS::CloudWatch::Alarm",
        &[
            "AlarmDescription",
            "Namespace",
            "MetricName",
            "Statistic",
            "ExtendedStatistic",
            "Period",
            "EvaluationPeriods",
            "DatapointsToAlarm",
            "ComparisonOperator",
            "Threshold",
            "TreatMissingData",
            "AlarmActions",
            "OKActions",
            "Dimensions",
        ],
    ),
    ("AWS::SNS::Topic", &["KmsMasterKeyId"]),
    ("AWS::SNS::Subscription", &["TopicArn", "Endpoint", "Protocol"]),
    ("AWS::CloudWatch::Dashboard", &["DashboardName", "DashboardBody"]),
    ("AWS::ApiGatewayV2::Api", &["Name", "Description", "ProtocolType"]),
    (
        "AWS::ApiGatewayV2::Integration",
        &["ApiId", "IntegrationType", "IntegrationUri", "PayloadFormatVersion", "TimeoutInMillis"],
    ),
    (
        "AWS::ApiGatewayV2::Authorizer",
        &["ApiId", "Name", "AuthorizerType", "IdentitySource", "JwtConfiguration"],
    ),
    ("AWS::ApiGatewayV2::Route", &["ApiId", "RouteKey", "Target", "AuthorizationType", "AuthorizerId"]),
    ("AWS::ApiGatewayV2::Stage", &["ApiId", "StageName", "AutoDeploy", "DefaultRouteSettings"]),
    ("AWS::Lambda::Permission", &["FunctionName", "Action", "Principal", "SourceArn"]),
];

/// The properties of events that the comparison reads.
pub(super) const EVENT_PROPERTIES: [&str; 14] = [
    "BatchSize",
    "DeadLetterConfig",
    "FilterCriteria",
    "FunctionResponseTypes",
    "Input",
    "MaximumBatchingWindowInSeconds",
    "Name",
    "Pattern",
    "Queue",
    "RetryPolicy",
    "RoleArn",
    "ScalingConfig",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
];
