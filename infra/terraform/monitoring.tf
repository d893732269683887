# Monitoring: profiles -> monitor -> reports, alarms, requests for a retraining.

resource "aws_lambda_function" "monitor_function" {
  #checkov:skip=CKV_AWS_115:It would take from the account's other functions, and a new account has none to give
  #checkov:skip=CKV_AWS_116:What fails for good goes to batch_failures_queue, by the destination below
  #checkov:skip=CKV_AWS_117:subnet_ids put it into one; by default it talks to AWS without, since endpoints of a VPC are paid by the hour
  #checkov:skip=CKV_AWS_173:A collector's headers may be a secret; Lambda encrypts them with a key of its own
  #checkov:skip=CKV_AWS_272:Packages are attested where they are built, and verified before a deployment (deploy.yml)
  function_name    = "${var.name}-monitor"
  description      = "Profiles to reports, alarms and requests for a retraining"
  role             = aws_iam_role.monitor_role.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = "${var.packages}/monitor/bootstrap.zip"
  source_code_hash = filebase64sha256("${var.packages}/monitor/bootstrap.zip")
  memory_size      = 1024
  timeout          = 300

  logging_config {
    log_format            = "JSON"
    application_log_level = var.application_log_level
    log_group             = aws_cloudwatch_log_group.monitor_log_group.name
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = var.security_group_ids
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  environment {
    variables = {
      DATA_STORE                  = "s3://${aws_s3_bucket.data_bucket.bucket}"
      MODEL_STORE                 = "s3://${aws_s3_bucket.model_bucket.bucket}"
      ALARM_TOPIC_ARN             = aws_sns_topic.alarm_topic.arn
      OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint
      OTEL_EXPORTER_OTLP_HEADERS  = var.otlp_headers
    }
  }

  # A function that is invoked at once may do its work, and Lambda checks that its role may send what fails to the queue.
  depends_on = [aws_iam_role_policy.monitor_role]
}

resource "aws_lambda_function_event_invoke_config" "monitor_function" {
  function_name                = aws_lambda_function.monitor_function.function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.batch_failures_queue.arn
    }
  }
}

# The day before has ended, also for messages that wait until then.
resource "aws_scheduler_schedule" "monitor_function_daily" {
  #checkov:skip=CKV_AWS_297:A schedule without input holds nothing to keep secret
  name                         = "${var.name}-monitor-daily"
  schedule_expression          = "cron(0 6 * * ? *)"
  schedule_expression_timezone = "America/New_York"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.monitor_function.arn
    role_arn = aws_iam_role.schedule_role.arn

    retry_policy {
      maximum_retry_attempts       = 5
      maximum_event_age_in_seconds = 3600
    }

    dead_letter_config {
      arn = aws_sqs_queue.batch_failures_queue.arn
    }
  }
}

# A summary is what the batch predictor writes last, when all profiles of a file are there. Labels are outcomes that come
# later than messages.
resource "aws_cloudwatch_event_rule" "monitor_function_file_predicted" {
  name = "${var.name}-file-predicted"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = {
        name = [aws_s3_bucket.data_bucket.bucket]
      }
      object = {
        key = [{ wildcard = "summaries/*" }, { wildcard = "labels/*" }]
      }
    }
  })
}

resource "aws_cloudwatch_event_target" "monitor_function_file_predicted" {
  rule      = aws_cloudwatch_event_rule.monitor_function_file_predicted.name
  target_id = "monitor"
  arn       = aws_lambda_function.monitor_function.arn

  retry_policy {
    maximum_retry_attempts       = 24
    maximum_event_age_in_seconds = 21600
  }

  dead_letter_config {
    arn = aws_sqs_queue.batch_failures_queue.arn
  }
}

resource "aws_lambda_permission" "monitor_function_file_predicted" {
  statement_id  = "file-predicted"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.monitor_function.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.monitor_function_file_predicted.arn
}

resource "aws_iam_role" "monitor_role" {
  name                 = "${var.name}-monitor"
  assume_role_policy   = data.aws_iam_policy_document.lambda_assumes.json
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "monitor_role" {
  name   = "monitor"
  role   = aws_iam_role.monitor_role.name
  policy = data.aws_iam_policy_document.monitor_role.json
}

data "aws_iam_policy_document" "monitor_role" {
  source_policy_documents = data.aws_iam_policy_document.network[*].json

  statement {
    sid     = "ListDataAndModels"
    actions = ["s3:ListBucket"]
    resources = [
      aws_s3_bucket.data_bucket.arn,
      aws_s3_bucket.model_bucket.arn,
    ]
  }

  statement {
    sid     = "ReadProfilesLabelsAndAlarms"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.data_bucket.arn}/profiles/*",
      "${aws_s3_bucket.data_bucket.arn}/answers/*",
      "${aws_s3_bucket.data_bucket.arn}/labels/*",
      "${aws_s3_bucket.data_bucket.arn}/alarms/*",
      "${aws_s3_bucket.data_bucket.arn}/retrain-requests/*",
    ]
  }

  statement {
    sid     = "WriteWhatWasFound"
    actions = ["s3:PutObject"]
    resources = [
      "${aws_s3_bucket.data_bucket.arn}/alarms/*",
      "${aws_s3_bucket.data_bucket.arn}/metrics/*",
      "${aws_s3_bucket.data_bucket.arn}/profiles/days/*",
      "${aws_s3_bucket.data_bucket.arn}/profiles/labels/*",
      "${aws_s3_bucket.data_bucket.arn}/reports/*",
      "${aws_s3_bucket.data_bucket.arn}/retrain-requests/*",
    ]
  }

  statement {
    sid     = "ReadChampionsAndRuns"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.model_bucket.arn}/*/aliases/*",
      "${aws_s3_bucket.model_bucket.arn}/runs/*",
    ]
  }

  statement {
    sid       = "PublishAlarms"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarm_topic.arn]
  }

  # Used by Lambda on behalf of this role, for events that failed for good.
  statement {
    sid       = "KeepFailures"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.batch_failures_queue.arn]
  }

  # Used by S3 and SNS on behalf of this role, because objects and notes are encrypted with the key.
  statement {
    sid = "UseKey"
    actions = [
      "kms:Decrypt",
      "kms:GenerateDataKey",
    ]
    resources = [aws_kms_key.key.arn]
  }

  statement {
    sid = "WriteLogs"
    actions = [
      "logs:CreateLogStream",
      "logs:PutLogEvents",
    ]
    resources = ["${aws_cloudwatch_log_group.monitor_log_group.arn}:*"]
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

resource "aws_cloudwatch_log_group" "monitor_log_group" {
  name              = "/aws/lambda/${var.name}-monitor"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.key.arn
}
