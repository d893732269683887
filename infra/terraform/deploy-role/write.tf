# Permissions of a deployment: it changes the resources of its own stack, by their names. It cannot destroy durable
# resources (buckets and the key), change who may use the key, or change the roles and policies of this folder; only a
# person can.

resource "aws_iam_policy" "write" {
  for_each = var.environments

  name        = "${each.value}-write"
  path        = "/deploy/"
  description = "Changes ${each.value}"
  policy      = data.aws_iam_policy_document.write[each.key].json
}

resource "aws_iam_role_policy_attachment" "deploy_write" {
  for_each = var.environments

  role       = aws_iam_role.deploy[each.key].name
  policy_arn = aws_iam_policy.write[each.key].arn
}

data "aws_iam_policy_document" "write" {
  for_each = var.environments

  statement {
    sid       = "WriteState"
    actions   = ["s3:PutObject"]
    resources = ["arn:${local.partition}:s3:::${var.state_bucket}/${each.value}/*"]
  }

  # Only the lock may be deleted.
  statement {
    sid       = "UnlockState"
    actions   = ["s3:DeleteObject"]
    resources = ["arn:${local.partition}:s3:::${var.state_bucket}/${each.value}/*.tflock"]
  }

  statement {
    sid = "WriteQueues"
    actions = [
      "sqs:CreateQueue",
      "sqs:DeleteQueue",
      "sqs:SetQueueAttributes",
      "sqs:TagQueue",
      "sqs:UntagQueue",
    ]
    resources = ["arn:${local.partition}:sqs:${local.place}:${each.value}-*"]
  }

  statement {
    sid = "WriteStreams"
    actions = [
      "kinesis:AddTagsToStream",
      "kinesis:CreateStream",
      "kinesis:DecreaseStreamRetentionPeriod",
      "kinesis:DeleteStream",
      "kinesis:IncreaseStreamRetentionPeriod",
      "kinesis:RemoveTagsFromStream",
      "kinesis:StartStreamEncryption",
      "kinesis:StopStreamEncryption",
      "kinesis:TagResource",
      "kinesis:UntagResource",
      "kinesis:UpdateShardCount",
    ]
    resources = ["arn:${local.partition}:kinesis:${local.place}:stream/${each.value}-*"]
  }

  statement {
    sid = "WriteFunctions"
    actions = [
      "lambda:AddPermission",
      "lambda:CreateAlias",
      "lambda:CreateFunction",
      "lambda:DeleteAlias",
      "lambda:DeleteFunction",
      "lambda:DeleteFunctionConcurrency",
      "lambda:DeleteFunctionEventInvokeConfig",
      "lambda:PublishVersion",
      "lambda:PutFunctionConcurrency",
      "lambda:PutFunctionEventInvokeConfig",
      "lambda:RemovePermission",
      "lambda:TagResource",
      "lambda:UntagResource",
      "lambda:UpdateAlias",
      "lambda:UpdateFunctionCode",
      "lambda:UpdateFunctionConfiguration",
      "lambda:UpdateFunctionEventInvokeConfig",
    ]
    resources = ["arn:${local.partition}:lambda:${local.place}:function:${each.value}-*"]
  }

  # Mappings have no names, so their function identifies them.
  statement {
    sid = "WriteMappings"
    actions = [
      "lambda:CreateEventSourceMapping",
      "lambda:DeleteEventSourceMapping",
      "lambda:UpdateEventSourceMapping",
    ]
    resources = ["*"]

    condition {
      test     = "ArnLike"
      variable = "lambda:FunctionArn"
      values   = ["arn:${local.partition}:lambda:${local.place}:function:${each.value}-*"]
    }
  }

  statement {
    sid = "TagMappings"
    actions = [
      "lambda:TagResource",
      "lambda:UntagResource",
    ]
    resources = ["arn:${local.partition}:lambda:${local.place}:event-source-mapping:*"]
  }

  statement {
    sid = "MakeBoundedRoles"
    actions = [
      "iam:CreateRole",
      "iam:DeleteRolePolicy",
      "iam:PutRolePermissionsBoundary",
      "iam:PutRolePolicy",
    ]
    resources = ["arn:${local.partition}:iam::${local.account}:role/${each.value}-*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [aws_iam_policy.boundary[each.key].arn]
    }
  }

  statement {
    sid = "KeepRoles"
    actions = [
      "iam:DeleteRole",
      "iam:TagRole",
      "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy",
      "iam:UpdateRole",
      "iam:UpdateRoleDescription",
    ]
    resources = ["arn:${local.partition}:iam::${local.account}:role/${each.value}-*"]
  }

  statement {
    sid       = "GiveRoles"
    actions   = ["iam:PassRole"]
    resources = ["arn:${local.partition}:iam::${local.account}:role/${each.value}-*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values = [
        "codedeploy.amazonaws.com",
        "lambda.amazonaws.com",
        "scheduler.amazonaws.com",
        "states.amazonaws.com",
      ]
    }
  }

  statement {
    sid = "WriteBuckets"
    actions = [
      "s3:CreateBucket",
      "s3:DeleteBucketPolicy",
      "s3:PutBucketLogging",
      "s3:PutBucketNotification",
      "s3:PutBucketOwnershipControls",
      "s3:PutBucketPolicy",
      "s3:PutBucketPublicAccessBlock",
      "s3:PutBucketTagging",
      "s3:PutBucketVersioning",
      "s3:PutEncryptionConfiguration",
      "s3:PutLifecycleConfiguration",
      "s3:TagResource",
      "s3:UntagResource",
    ]
    resources = ["arn:${local.partition}:s3:::${each.value}-*"]
  }

  # Tags identify the stack's key, but any key can get these tags. Hence no action is allowed on a tagged key that
  # would open it to others or delete it: no policy, no grant, no deletion. A deployment cannot create a key either,
  # because KMS requires that its creator may change its policy.
  statement {
    sid       = "TagKey"
    actions   = ["kms:TagResource"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/application"
      values   = [var.application]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/stage"
      values   = [each.key]
    }

    # Keys of another stage or application cannot be tagged as this one's.
    condition {
      test     = "StringEqualsIfExists"
      variable = "aws:ResourceTag/application"
      values   = [var.application]
    }

    condition {
      test     = "StringEqualsIfExists"
      variable = "aws:ResourceTag/stage"
      values   = [each.key]
    }
  }

  statement {
    sid = "KeepKey"
    actions = [
      "kms:EnableKeyRotation",
      "kms:UpdateKeyDescription",
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
    sid = "WriteLogGroups"
    actions = [
      "logs:AssociateKmsKey",
      "logs:CreateLogGroup",
      "logs:DeleteDataProtectionPolicy",
      "logs:DeleteLogGroup",
      "logs:PutRetentionPolicy",
      "logs:TagResource",
      "logs:UntagResource",
    ]
    resources = [
      "arn:${local.partition}:logs:${local.place}:log-group:/aws/lambda/${each.value}-*",
      "arn:${local.partition}:logs:${local.place}:log-group:/aws/vendedlogs/states/${each.value}-*",
    ]
  }

  statement {
    sid = "WriteRules"
    actions = [
      "events:DeleteRule",
      "events:PutRule",
      "events:PutTargets",
      "events:RemoveTargets",
      "events:TagResource",
      "events:UntagResource",
    ]
    resources = ["arn:${local.partition}:events:${local.place}:rule/${each.value}-*"]
  }

  statement {
    sid = "WriteSchedules"
    actions = [
      "scheduler:CreateSchedule",
      "scheduler:DeleteSchedule",
      "scheduler:UpdateSchedule",
    ]
    resources = ["arn:${local.partition}:scheduler:${local.place}:schedule/default/${each.value}-*"]
  }
}
