# Permissions boundary of the roles of a stack. A deployment can create roles only with this boundary, so it cannot
# give a function more than the application needs, nor create a role that exceeds the boundary.

resource "aws_iam_policy" "boundary" {
  for_each = var.environments

  name        = "${each.value}-boundary"
  path        = "/deploy/"
  description = "The most that a role of ${each.value} may do"
  policy      = data.aws_iam_policy_document.boundary[each.key].json
}

data "aws_iam_policy_document" "boundary" {
  #checkov:skip=CKV_AWS_111:Interfaces in a VPC have no names before Lambda makes them
  #checkov:skip=CKV_AWS_356:Interfaces in a VPC have no names before Lambda makes them
  for_each = var.environments

  statement {
    sid       = "ListBuckets"
    actions   = ["s3:ListBucket"]
    resources = ["arn:${local.partition}:s3:::${each.value}-*"]
  }

  statement {
    sid = "UseObjects"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:ListMultipartUploadParts",
      "s3:PutObject",
    ]
    resources = ["arn:${local.partition}:s3:::${each.value}-*/*"]
  }

  statement {
    sid = "UseQueues"
    actions = [
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
      "sqs:SendMessage",
    ]
    resources = ["arn:${local.partition}:sqs:${local.place}:${each.value}-*"]
  }

  statement {
    sid       = "PublishAlarms"
    actions   = ["sns:Publish"]
    resources = ["arn:${local.partition}:sns:${local.place}:${each.value}-*"]
  }

  statement {
    sid = "UseStreams"
    actions = [
      "kinesis:DescribeStream",
      "kinesis:DescribeStreamSummary",
      "kinesis:GetRecords",
      "kinesis:GetShardIterator",
      "kinesis:ListShards",
      "kinesis:PutRecords",
    ]
    resources = ["arn:${local.partition}:kinesis:${local.place}:stream/${each.value}-*"]
  }

  statement {
    sid       = "InvokeFunctions"
    actions   = ["lambda:InvokeFunction"]
    resources = ["arn:${local.partition}:lambda:${local.place}:function:${each.value}-*"]
  }

  statement {
    sid = "MoveAliases"
    actions = [
      "lambda:GetAlias",
      "lambda:GetProvisionedConcurrencyConfig",
      "lambda:UpdateAlias",
    ]
    resources = ["arn:${local.partition}:lambda:${local.place}:function:${each.value}-*"]
  }

  # The action needs permission for all alarms even to describe one.
  statement {
    sid       = "LookAtAlarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = ["arn:${local.partition}:cloudwatch:${local.place}:alarm:*"]
  }

  statement {
    sid       = "RunStateMachines"
    actions   = ["states:StartExecution"]
    resources = ["arn:${local.partition}:states:${local.place}:stateMachine:${each.value}-*"]
  }

  statement {
    sid = "FollowExecutions"
    actions = [
      "states:DescribeExecution",
      "states:RedriveExecution",
      "states:StopExecution",
    ]
    resources = ["arn:${local.partition}:states:${local.place}:execution:${each.value}-*"]
  }

  # CloudWatch does not support permissions by resource for these.
  statement {
    sid = "DeliverLogs"
    actions = [
      "logs:CreateLogDelivery",
      "logs:DeleteLogDelivery",
      "logs:DescribeLogGroups",
      "logs:DescribeResourcePolicies",
      "logs:GetLogDelivery",
      "logs:ListLogDeliveries",
      "logs:PutResourcePolicy",
      "logs:UpdateLogDelivery",
    ]
    resources = ["*"]
  }

  # Keys have no names, so tags identify the stack's key.
  statement {
    sid = "UseKey"
    actions = [
      "kms:Decrypt",
      "kms:GenerateDataKey",
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

  statement {
    sid       = "ReadSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = ["arn:${local.partition}:secretsmanager:${local.place}:secret:${each.value}-*"]
  }

  # Interfaces that Lambda makes for a function in a VPC have no names beforehand, and their reading knows no resources.
  statement {
    sid = "UseNetwork"
    actions = [
      "ec2:AssignPrivateIpAddresses",
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:UnassignPrivateIpAddresses",
    ]
    resources = ["*"]
  }

  statement {
    sid = "WriteLogs"
    actions = [
      "logs:CreateLogStream",
      "logs:PutLogEvents",
    ]
    resources = ["arn:${local.partition}:logs:${local.place}:log-group:/aws/lambda/${each.value}-*:*"]
  }

  # X-Ray does not support permissions by resource.
  statement {
    sid = "WriteTraces"
    actions = [
      "xray:PutTelemetryRecords",
      "xray:PutTraceSegments",
    ]
    resources = ["*"]
  }
}
