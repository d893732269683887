# Permissions of a plan: it reads the configuration of every resource of a stack, and the state, but no object of the
# stack's buckets, no message and no log.

resource "aws_iam_policy" "read" {
  for_each = var.environments

  name        = "${each.value}-read"
  path        = "/deploy/"
  description = "Reads how ${each.value} is set up"
  policy      = data.aws_iam_policy_document.read[each.key].json
}

resource "aws_iam_role_policy_attachment" "plan_read" {
  for_each = var.environments

  role       = aws_iam_role.plan.name
  policy_arn = aws_iam_policy.read[each.key].arn
}

resource "aws_iam_role_policy_attachment" "deploy_read" {
  for_each = var.environments

  role       = aws_iam_role.deploy[each.key].name
  policy_arn = aws_iam_policy.read[each.key].arn
}

data "aws_iam_policy_document" "read" {
  for_each = var.environments

  # Without it S3 answers 403 for a state that does not exist yet.
  statement {
    sid       = "FindState"
    actions   = ["s3:ListBucket"]
    resources = ["arn:${local.partition}:s3:::${var.state_bucket}"]
  }

  # Permission to lock the state is not needed: plans run with -lock=false.
  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject"]
    resources = ["arn:${local.partition}:s3:::${var.state_bucket}/${each.value}/*"]
  }

  statement {
    sid = "ReadStreams"
    actions = [
      "kinesis:DescribeStreamSummary",
      "kinesis:ListShards",
      "kinesis:ListTagsForResource",
      "kinesis:ListTagsForStream",
    ]
    resources = ["arn:${local.partition}:kinesis:${local.place}:stream/${each.value}-*"]
  }

  statement {
    sid = "ReadStateMachines"
    actions = [
      "states:DescribeStateMachine",
      "states:ListStateMachineVersions",
      "states:ListTagsForResource",
    ]
    resources = ["arn:${local.partition}:states:${local.place}:stateMachine:${each.value}-*"]
  }

  # A definition that is checked belongs to no state machine yet.
  statement {
    sid       = "CheckDefinitions"
    actions   = ["states:ValidateStateMachineDefinition"]
    resources = ["arn:${local.partition}:states:${local.place}:stateMachine:*"]
  }

  statement {
    sid = "ReadTables"
    actions = [
      "glue:GetDatabase",
      "glue:GetDatabases",
      "glue:GetPartitionIndexes",
      "glue:GetTable",
      "glue:GetTables",
      "glue:GetTags",
    ]
    resources = [
      "arn:${local.partition}:glue:${local.place}:catalog",
      "arn:${local.partition}:glue:${local.place}:database/${replace(each.value, "-", "_")}",
      "arn:${local.partition}:glue:${local.place}:table/${replace(each.value, "-", "_")}/*",
    ]
  }

  statement {
    sid = "ReadQueues"
    actions = [
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sqs:ListQueueTags",
    ]
    resources = ["arn:${local.partition}:sqs:${local.place}:${each.value}-*"]
  }

  statement {
    sid = "ReadFunctions"
    actions = [
      "lambda:GetAlias",
      "lambda:GetFunction",
      "lambda:GetFunctionCodeSigningConfig",
      "lambda:GetFunctionConcurrency",
      "lambda:GetFunctionConfiguration",
      "lambda:GetFunctionEventInvokeConfig",
      "lambda:GetFunctionRecursionConfig",
      "lambda:GetFunctionScalingConfig",
      "lambda:GetPolicy",
      "lambda:GetProvisionedConcurrencyConfig",
      "lambda:GetRuntimeManagementConfig",
      "lambda:ListAliases",
      "lambda:ListFunctionEventInvokeConfigs",
      "lambda:ListTags",
      "lambda:ListVersionsByFunction",
    ]
    resources = ["arn:${local.partition}:lambda:${local.place}:function:${each.value}-*"]
  }

  # Mappings have no names, so their function identifies them.
  statement {
    sid       = "ReadMappings"
    actions   = ["lambda:GetEventSourceMapping"]
    resources = ["arn:${local.partition}:lambda:${local.place}:event-source-mapping:*"]

    condition {
      test     = "ArnLike"
      variable = "lambda:FunctionArn"
      values   = ["arn:${local.partition}:lambda:${local.place}:function:${each.value}-*"]
    }
  }

  statement {
    sid       = "ReadTagsOfMappings"
    actions   = ["lambda:ListTags"]
    resources = ["arn:${local.partition}:lambda:${local.place}:event-source-mapping:*"]
  }

  statement {
    sid = "ReadRoles"
    actions = [
      "iam:GetRole",
      "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies",
      "iam:ListInstanceProfilesForRole",
      "iam:ListRolePolicies",
      "iam:ListRoleTags",
    ]
    resources = ["arn:${local.partition}:iam::${local.account}:role/${each.value}-*"]
  }

  statement {
    sid = "ReadBuckets"
    actions = [
      "s3:GetAccelerateConfiguration",
      "s3:GetAnalyticsConfiguration",
      "s3:GetBucketAbac",
      "s3:GetBucketAcl",
      "s3:GetBucketCORS",
      "s3:GetBucketLocation",
      "s3:GetBucketLogging",
      "s3:GetBucketMetadataTableConfiguration",
      "s3:GetBucketNotification",
      "s3:GetBucketObjectLockConfiguration",
      "s3:GetBucketOwnershipControls",
      "s3:GetBucketPolicy",
      "s3:GetBucketPublicAccessBlock",
      "s3:GetBucketRequestPayment",
      "s3:GetBucketTagging",
      "s3:GetBucketVersioning",
      "s3:GetBucketWebsite",
      "s3:GetEncryptionConfiguration",
      "s3:GetIntelligentTieringConfiguration",
      "s3:GetInventoryConfiguration",
      "s3:GetLifecycleConfiguration",
      "s3:GetMetricsConfiguration",
      "s3:GetReplicationConfiguration",
      # Needed to check that the bucket exists.
      "s3:ListBucket",
      "s3:ListTagsForResource",
    ]
    resources = ["arn:${local.partition}:s3:::${each.value}-*"]
  }

  statement {
    sid = "ReadKey"
    actions = [
      "kms:DescribeKey",
      "kms:GetKeyPolicy",
      "kms:GetKeyRotationStatus",
      "kms:ListResourceTags",
    ]
    resources = ["arn:${local.partition}:kms:${local.place}:key/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/application"
      values   = [var.application]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/stage"
      values   = [each.key]
    }
  }

  # These actions do not support permissions by resource.
  statement {
    sid = "FindLogGroupsAndSubscriptions"
    actions = [
      "logs:DescribeLogGroups",
      "logs:DescribeResourcePolicies",
      "sns:GetSubscriptionAttributes",
    ]
    resources = ["*"]
  }

  # Lambda looks at the VPC of a function on behalf of whoever puts it there. These actions do not support permissions by resource.
  statement {
    sid = "FindNetworks"
    actions = [
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVpcs",
    ]
    resources = ["*"]
  }

  # The action needs permission for all alarms even to describe one.
  statement {
    sid       = "FindAlarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = ["arn:${local.partition}:cloudwatch:${local.place}:alarm:*"]
  }

  statement {
    sid = "ReadLogGroups"
    actions = [
      "logs:DescribeIndexPolicies",
      "logs:GetDataProtectionPolicy",
      "logs:ListTagsForResource",
    ]
    resources = [
      "arn:${local.partition}:logs:${local.place}:log-group:/aws/lambda/${each.value}-*",
      "arn:${local.partition}:logs:${local.place}:log-group:/aws/vendedlogs/states/${each.value}-*",
    ]
  }

  statement {
    sid = "ReadRules"
    actions = [
      "events:DescribeRule",
      "events:ListTagsForResource",
      "events:ListTargetsByRule",
    ]
    resources = ["arn:${local.partition}:events:${local.place}:rule/${each.value}-*"]
  }

  statement {
    sid       = "ReadSchedules"
    actions   = ["scheduler:GetSchedule"]
    resources = ["arn:${local.partition}:scheduler:${local.place}:schedule/default/${each.value}-*"]
  }

  # The id of an API does not contain the name of its stack.
  statement {
    sid     = "ReadHttpApis"
    actions = ["apigateway:GET"]
    resources = [
      "arn:${local.partition}:apigateway:${data.aws_region.current.id}::/apis",
      "arn:${local.partition}:apigateway:${data.aws_region.current.id}::/apis/*",
      "arn:${local.partition}:apigateway:${data.aws_region.current.id}::/tags/*",
    ]
  }

  statement {
    sid = "ReadTopics"
    actions = [
      "sns:GetDataProtectionPolicy",
      "sns:GetTopicAttributes",
      "sns:ListSubscriptionsByTopic",
      "sns:ListTagsForResource",
    ]
    resources = ["arn:${local.partition}:sns:${local.place}:${each.value}-*"]
  }

  statement {
    sid       = "ReadAlarms"
    actions   = ["cloudwatch:ListTagsForResource"]
    resources = ["arn:${local.partition}:cloudwatch:${local.place}:alarm:${each.value}-*"]
  }

  statement {
    sid = "ReadDashboard"
    actions = [
      "cloudwatch:GetDashboard",
      "cloudwatch:ListTagsForResource",
    ]
    resources = ["arn:${local.partition}:cloudwatch::${local.account}:dashboard/${each.value}"]
  }
}
