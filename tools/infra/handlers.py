"""Compares what CloudFormation's handlers declare that they call with what the role that deploys may do (infra/terraform/deploy-role).

CloudFormation creates, reads, updates, deletes and lists each resource with the rights of whoever deploys. A handler declares the actions of all
properties that its kind can have, in the schema that cfn-lint has a copy of. Those that no deployment here needs, or that none should have, are named
below with the reason; whatever else is declared has to be allowed.
"""

import json
import re
from pathlib import Path

from python_environment import PROJECT

ROLE = PROJECT / "infra" / "terraform" / "deploy-role"
# The policies that the role of every environment has.
POLICIES = ("read.tf", "write.tf", "write_around.tf", "sam.tf")
# What a line of the template becomes beside its own kind.
MADE_BY_SAM = {
    "Type: AWS::Serverless::Function": ("AWS::Lambda::Function",),
    "EventInvokeConfig:": ("AWS::Lambda::EventInvokeConfig",),
    "Type: SQS": ("AWS::Lambda::EventSourceMapping",),
    "Type: EventBridgeRule": ("AWS::Events::Rule", "AWS::Lambda::Permission"),
    "Type: ScheduleV2": ("AWS::Scheduler::Schedule",),
    "AutoPublishAlias: live": ("AWS::Lambda::Alias", "AWS::Lambda::Version"),
    "DeploymentPreference:": ("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"),
}
EXCEPTIONS = {
    "only a person may do it: it opens the key, or destroys or hides what lasts": (
        "kms:CreateKey", "kms:DisableKey", "kms:DisableKeyRotation", "kms:EnableKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion",
        "kms:UntagResource", "s3:DeleteBucket", "s3:PutBucketAcl", "s3:PutObjectAcl",
    ),
    "only a person may do it: it would widen a role": (
        "iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:DetachRolePolicy",
    ),
    "it knows no resources, so that it would be a right to end all subscriptions": ("sns:Unsubscribe",),
    "policies of the template are those of roles": (
        "iam:DeleteGroupPolicy", "iam:DeleteUserPolicy", "iam:GetGroupPolicy", "iam:GetUserPolicy", "iam:PutGroupPolicy",
        "iam:PutUserPolicy",
    ),
    "no bucket has such a property": (
        "s3:CreateBucketMetadataTableConfiguration", "s3:DeleteBucketMetadataTableConfiguration", "s3:DeleteBucketWebsite",
        "s3:PutAccelerateConfiguration", "s3:PutAnalyticsConfiguration", "s3:PutBucketAbac", "s3:PutBucketCORS",
        "s3:PutBucketObjectLockConfiguration", "s3:PutBucketWebsite", "s3:PutIntelligentTieringConfiguration",
        "s3:PutInventoryConfiguration", "s3:PutMetricsConfiguration", "s3:PutReplicationConfiguration",
        "s3:UpdateBucketMetadataAnnotationTableConfiguration", "s3:UpdateBucketMetadataInventoryTableConfiguration",
        "s3:UpdateBucketMetadataJournalTableConfiguration", "s3tables:CreateNamespace", "s3tables:CreateTable",
        "s3tables:CreateTableBucket", "s3tables:GetTable", "s3tables:GetTableMetadataLocation", "s3tables:PutTableBucketPolicy",
        "s3tables:PutTableEncryption", "s3tables:PutTablePolicy", "s3tables:UpdateTableMetadataLocation",
    ),
    "IAM knows no such action: the operation asks for another one": (
        "s3:DeleteBucketAnalyticsConfiguration", "s3:DeleteBucketCors", "s3:DeleteBucketEncryption", "s3:DeleteBucketLifecycle",
        "s3:DeleteBucketMetricsConfiguration", "s3:DeleteBucketReplication", "s3:DeleteBucketTagging", "s3:PutBucketReplication",
        "s3:PutObjectLockConfiguration", "s3:REST.PUT.OBJECT",
    ),
    "no stream has such a property": (
        "kinesis:DisableEnhancedMonitoring", "kinesis:EnableEnhancedMonitoring", "kinesis:UpdateMaxRecordSize", "kinesis:UpdateStreamMode",
        "kinesis:UpdateStreamRecordDistributionStrategy", "kinesis:UpdateStreamWarmThroughput",
    ),
    "no function, mapping or state machine is encrypted with a key of the account": (
        "kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey",
    ),
    "no function has such a property": (
        "elasticfilesystem:DescribeMountTargets", "lambda:AssociateRuntimeAlias", "lambda:DeleteFunctionCodeSigningConfig",
        "lambda:DeleteProvisionedConcurrencyConfig", "lambda:GetCodeSigningConfig", "lambda:GetLayerVersion", "lambda:PassCapacityProvider",
        "lambda:PutFunctionCodeSigningConfig", "lambda:PutFunctionRecursionConfig", "lambda:PutFunctionScalingConfig",
        "lambda:PutProvisionedConcurrencyConfig", "lambda:PutRuntimeManagementConfig", "s3files:ListMountTargets",
    ),
    "no code and no definition is a version of an object": ("s3:GetObjectVersion",),
    "no database is federated, and no table has a schema of a registry": (
        "glue:CreateConnection", "glue:DeleteConnection", "glue:GetConnection", "glue:GetSchemaVersion", "glue:PassConnection",
        "glue:UpdateConnection",
    ),
    "no table is governed by Lake Formation": (
        "lakeformation:CreateTable", "lakeformation:GetDataAccess",
    ),
    "no log group has such a property": (
        "firehose:TagDeliveryStream", "logs:CreateLogDelivery", "logs:DeleteIndexPolicy", "logs:DeleteResourcePolicy",
        "logs:DeleteRetentionPolicy", "logs:DisassociateKmsKey", "logs:PutBearerTokenAuthentication", "logs:PutDataProtectionPolicy",
        "logs:PutIndexPolicy", "logs:PutLogGroupDeletionProtection", "logs:PutResourcePolicy",
    ),
    "no code is rolled out to machines": ("codedeploy:RegisterOnPremisesInstance",),
    "no topic has such a property": ("sns:PutDataProtectionPolicy",),
}


def compare(schemas: Path) -> tuple[list[str], str]:
    """Returns what is wrong, and how much was compared; `schemas` is cfn-lint's folder of that name."""
    index = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    findings, declared = [], {}
    of_template = sorted(kinds((PROJECT / "template.yaml").read_text()))
    for kind in of_template:
        if kind not in index:
            findings.append(f"cfn-lint has no schema of {kind}")
            continue
        schema = json.loads((schemas / "resources" / f"{index[kind]}.json").read_text())
        for action in actions(schema):
            declared.setdefault(action.lower(), (action, kind))
    allowed = {action.lower() for policy in POLICIES for action in re.findall(r'"([a-z0-9]+:[A-Za-z]+)"', (ROLE / policy).read_text())}
    excepted = {action.lower(): (action, reason) for reason, of in EXCEPTIONS.items() for action in of}
    for name, (action, kind) in declared.items():
        if name not in allowed and name not in excepted:
            findings.append(f"deploy-role lacks {action}, which the handler of {kind} calls")
    for name, (action, reason) in excepted.items():
        if name in allowed:
            findings.append(f"deploy-role allows {action}, which is an exception ({reason})")
        if name not in declared:
            findings.append(f"{action} is an exception ({reason}), but no handler calls it")
    return findings, f"{len(declared)} actions of {len(of_template)} kinds, {len(excepted)} of them exceptions"


def kinds(template: str) -> set[str]:
    """Returns the kinds of resources that CloudFormation sees once the template is transformed."""
    lines = {line.strip() for line in template.splitlines()}
    found = {kind for line in lines for kind in MADE_BY_SAM.get(line, ())}
    return found | {kind for kind in re.findall(r"^    Type: (AWS::\S+)$", template, re.MULTILINE) if "::Serverless::" not in kind}


def actions(schema: dict) -> list[str]:
    """Returns the actions of all handlers of a kind, and those that its tags take."""
    handlers = [*schema.get("handlers", {}).values(), schema.get("tagging") or {}]
    return [action for handler in handlers for action in handler.get("permissions", [])]
