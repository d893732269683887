# What `make smoke` does after a deployment to dev: it sends, drops and asks as users do, and removes what it made. In production people
# try what is deployed, with rights of their own.

locals {
  tried = { for stage, name in var.environments : stage => name if stage == "dev" }
}

resource "aws_iam_policy" "smoke" {
  for_each = local.tried

  name        = "${each.value}-smoke"
  path        = "/deploy/"
  description = "Tries what is deployed to ${each.value}"
  policy      = data.aws_iam_policy_document.smoke[each.key].json
}

resource "aws_iam_role_policy_attachment" "deploy_smoke" {
  for_each = local.tried

  role       = aws_iam_role.deploy[each.key].name
  policy_arn = aws_iam_policy.smoke[each.key].arn
}

data "aws_iam_policy_document" "smoke" {
  for_each = local.tried

  statement {
    sid = "UseQueues"
    actions = [
      "sqs:DeleteMessage",
      "sqs:ReceiveMessage",
      "sqs:SendMessage",
    ]
    resources = ["arn:${local.partition}:sqs:${local.place}:${each.value}-*"]
  }

  statement {
    sid       = "ListObjects"
    actions   = ["s3:ListBucket"]
    resources = ["arn:${local.partition}:s3:::${each.value}-*"]
  }

  # Only what lies in a folder that begins with "smoke-", wherever that is.
  statement {
    sid = "UseObjects"
    actions = [
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:PutObject",
    ]
    resources = ["arn:${local.partition}:s3:::${each.value}-*/*smoke-*"]
  }

  # Terraform's name of the function, and SAM's.
  statement {
    sid     = "AskForAges"
    actions = ["lambda:InvokeFunction"]
    resources = [
      "arn:${local.partition}:lambda:${local.place}:function:${each.value}-retrainer",
      "arn:${local.partition}:lambda:${local.place}:function:${each.value}-RetrainerFunction-*",
    ]
  }

  statement {
    sid       = "SetAlarms"
    actions   = ["cloudwatch:SetAlarmState"]
    resources = ["arn:${local.partition}:cloudwatch:${local.place}:alarm:${each.value}-*"]
  }

  # Which of the account's alarms are the stack's is known by their topic.
  statement {
    sid = "ReadAlarms"
    actions = [
      "cloudwatch:DescribeAlarmHistory",
      "cloudwatch:DescribeAlarms",
    ]
    resources = ["arn:${local.partition}:cloudwatch:${local.place}:alarm:*"]
  }

  # CloudWatch does not support permissions by resource for this.
  statement {
    sid       = "ReadMetrics"
    actions   = ["cloudwatch:GetMetricStatistics"]
    resources = ["*"]
  }

  statement {
    sid       = "ReadSubscriptions"
    actions   = ["sns:ListSubscriptionsByTopic"]
    resources = ["arn:${local.partition}:sns:${local.place}:${each.value}-*"]
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
}
