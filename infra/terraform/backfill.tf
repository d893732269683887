# Backfill: the state machine -> batch predictor for each object below a prefix, resumable.

# Started by `tripcast backfill` or by hand, with {"prefix": "incoming/", "from": "2023-01", "to": "2024-10"}; the months may
# be null. What the present champions have predicted stays as it is, so another execution goes on where one ended.
resource "aws_sfn_state_machine" "backfill_state_machine" {
  #checkov:skip=CKV_AWS_284:Traces are paid for; the variable tracing turns them on
  name     = "${var.name}-backfill"
  type     = "STANDARD"
  role_arn = aws_iam_role.backfill_role.arn

  definition = jsonencode({
    Comment = "Predicts every object below a prefix that the present champions have not predicted yet"
    StartAt = "Files"
    States = {
      Files = {
        Type  = "Map"
        Label = "Files"
        ItemReader = {
          Resource = "arn:${data.aws_partition.current.partition}:states:::s3:listObjectsV2"
          Parameters = {
            Bucket     = aws_s3_bucket.data_bucket.bucket
            "Prefix.$" = "$.prefix"
          }
        }
        ItemSelector = {
          backfill = {
            bucket   = aws_s3_bucket.data_bucket.bucket
            "key.$"  = "$$.Map.Item.Value.Key"
            "etag.$" = "$$.Map.Item.Value.Etag"
            "from.$" = "$.from"
            "to.$"   = "$.to"
          }
        }
        # A new account runs ten functions at once, and messages go on.
        MaxConcurrency = 5
        # Of errors; a file that can never be predicted is an answer, and its reason lies in the quarantine.
        ToleratedFailurePercentage = 5
        ItemProcessor = {
          ProcessorConfig = {
            Mode          = "DISTRIBUTED"
            ExecutionType = "STANDARD"
          }
          StartAt = "Predict"
          States = {
            Predict = {
              Type           = "Task"
              Resource       = aws_lambda_alias.batch_predictor_function.arn
              TimeoutSeconds = 330
              Retry = [
                # Another try would end in the same way.
                {
                  ErrorEquals = ["Batch.OutOfTime", "Dataset.Write", "Event.Unknown"]
                  MaxAttempts = 0
                },
                {
                  ErrorEquals     = ["Lambda.TooManyRequestsException"]
                  IntervalSeconds = 2
                  MaxAttempts     = 10
                  BackoffRate     = 2
                  MaxDelaySeconds = 60
                  JitterStrategy  = "FULL"
                },
                {
                  ErrorEquals     = ["States.ALL"]
                  IntervalSeconds = 2
                  MaxAttempts     = 3
                  BackoffRate     = 3
                  JitterStrategy  = "FULL"
                },
              ]
              End = true
            }
          }
        }
        ResultWriter = {
          Resource = "arn:${data.aws_partition.current.partition}:states:::s3:putObject"
          Parameters = {
            Bucket = aws_s3_bucket.data_bucket.bucket
            Prefix = "backfills"
          }
        }
        End = true
      }
    }
  })

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.backfill_log_group.arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing
  }

  # Step Functions checks that the role may deliver logs, and refuses it otherwise.
  depends_on = [aws_iam_role_policy.backfill_role]
}

resource "aws_iam_role" "backfill_role" {
  name                 = "${var.name}-backfill"
  assume_role_policy   = data.aws_iam_policy_document.states_assumes.json
  permissions_boundary = var.permissions_boundary
}

data "aws_iam_policy_document" "states_assumes" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role_policy" "backfill_role" {
  name   = "backfill"
  role   = aws_iam_role.backfill_role.name
  policy = data.aws_iam_policy_document.backfill_role.json
}

data "aws_iam_policy_document" "backfill_role" {
  statement {
    sid       = "InvokeBatchPredictor"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_alias.batch_predictor_function.arn]
  }

  statement {
    sid       = "ListFiles"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.data_bucket.arn]
  }

  statement {
    sid = "WriteResults"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:GetObject",
      "s3:ListMultipartUploadParts",
      "s3:PutObject",
    ]
    resources = ["${aws_s3_bucket.data_bucket.arn}/backfills/*"]
  }

  # Each item of a distributed map is an execution of its own.
  statement {
    sid       = "StartItems"
    actions   = ["states:StartExecution"]
    resources = ["arn:${data.aws_partition.current.partition}:states:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:stateMachine:${var.name}-backfill"]
  }

  statement {
    sid = "FollowItems"
    actions = [
      "states:DescribeExecution",
      "states:RedriveExecution",
      "states:StopExecution",
    ]
    resources = [
      "arn:${data.aws_partition.current.partition}:states:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:execution:${var.name}-backfill:*",
      "arn:${data.aws_partition.current.partition}:states:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:execution:${var.name}-backfill/*",
    ]
  }

  # Used by S3 on behalf of this role, because objects are encrypted with the key.
  statement {
    sid = "UseKey"
    actions = [
      "kms:Decrypt",
      "kms:GenerateDataKey",
    ]
    resources = [aws_kms_key.key.arn]
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

  # X-Ray does not support permissions by resource.
  statement {
    sid = "WriteTraces"
    actions = [
      "xray:PutTraceSegments",
      "xray:PutTelemetryRecords",
    ]
    resources = ["*"]
  }
}

# The prefix /aws/vendedlogs/ keeps the resource policy of log groups short, which has a limit.
resource "aws_cloudwatch_log_group" "backfill_log_group" {
  name              = "/aws/vendedlogs/states/${var.name}-backfill"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.key.arn
}
