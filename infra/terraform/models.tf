# Models: a schedule, or the monitor's request -> retrainer -> model_bucket.

resource "aws_s3_bucket" "model_bucket" {
  #checkov:skip=CKV_AWS_144:Models are learned from data that can be had again; what is overwritten stands in the versions
  #checkov:skip=CKV2_AWS_62:Nobody waits for events of this bucket: functions ask for the champion
  bucket_prefix = "${var.name}-models-"

  lifecycle {
    # See key.tf.
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "model_bucket" {
  bucket = aws_s3_bucket.model_bucket.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "model_bucket" {
  bucket = aws_s3_bucket.model_bucket.bucket

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.key.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "model_bucket" {
  bucket                  = aws_s3_bucket.model_bucket.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "model_bucket" {
  bucket = aws_s3_bucket.model_bucket.bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_logging" "model_bucket" {
  bucket        = aws_s3_bucket.model_bucket.bucket
  target_bucket = aws_s3_bucket.access_logs_bucket.bucket
  target_prefix = "models/"
}

resource "aws_s3_bucket_lifecycle_configuration" "model_bucket" {
  bucket = aws_s3_bucket.model_bucket.bucket

  rule {
    id     = "abandoned-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "replaced-objects"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 90
    }
  }

  # What the steps of a retraining hand on.
  rule {
    id     = "old-fits"
    status = "Enabled"

    filter {
      prefix = "fits/"
    }

    expiration {
      days = 30
    }
  }

  # S3 refuses a rule on versions before the bucket has versioning.
  depends_on = [aws_s3_bucket_versioning.model_bucket]
}

resource "aws_s3_bucket_policy" "model_bucket_policy" {
  bucket = aws_s3_bucket.model_bucket.bucket
  policy = data.aws_iam_policy_document.model_bucket_policy.json
}

data "aws_iam_policy_document" "model_bucket_policy" {
  statement {
    sid     = "TlsOnly"
    effect  = "Deny"
    actions = ["s3:*"]
    resources = [
      aws_s3_bucket.model_bucket.arn,
      "${aws_s3_bucket.model_bucket.arn}/*",
    ]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_lambda_function" "retrainer_function" {
  #checkov:skip=CKV_AWS_115:It would take from the account's other functions, and a new account has none to give
  #checkov:skip=CKV_AWS_116:What fails for good goes to batch_failures_queue, by the destination below
  #checkov:skip=CKV_AWS_117:subnet_ids put it into one; by default it talks to AWS and MLflow without, since endpoints of a VPC are paid by the hour
  #checkov:skip=CKV_AWS_173:No secret is among them, and Lambda encrypts them with a key of its own
  #checkov:skip=CKV_AWS_272:Packages are attested where they are built, and verified before a deployment (deploy.yml)
  function_name    = "${var.name}-retrainer"
  description      = "A schedule or a request to a better model, or to a recorded reason why not"
  role             = aws_iam_role.retrainer_role.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = "${var.packages}/retrainer/bootstrap.zip"
  source_code_hash = filebase64sha256("${var.packages}/retrainer/bootstrap.zip")
  memory_size      = var.retrainer_memory
  timeout          = 900

  logging_config {
    log_format            = "JSON"
    application_log_level = var.application_log_level
    log_group             = aws_cloudwatch_log_group.retrainer_log_group.name
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
      DATA_STORE             = "s3://${aws_s3_bucket.data_bucket.bucket}"
      MODEL_STORE            = "s3://${aws_s3_bucket.model_bucket.bucket}"
      TAXI                   = var.taxi
      TRAINING_WINDOWS       = var.training_windows
      TRAINING_ROWS_MAX      = var.training_rows_max
      MLFLOW_TRACKING_URI    = var.mlflow_tracking_uri
      MLFLOW_TRACKING_SECRET = var.mlflow_secret_arn
    }
  }

  # A function that is invoked at once may do its work, and Lambda checks that its role may send what fails to the queue.
  depends_on = [aws_iam_role_policy.retrainer_role]
}

resource "aws_lambda_function_event_invoke_config" "retrainer_function" {
  function_name = aws_lambda_function.retrainer_function.function_name
  # A retraining that ran out of time would do so again; one retry is for transient failures.
  maximum_retry_attempts       = 1
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.batch_failures_queue.arn
    }
  }
}

# The schedule has no input: an event without a target retrains both models.
resource "aws_scheduler_schedule" "retrainer_function_monthly" {
  #checkov:skip=CKV_AWS_297:A schedule without input holds nothing to keep secret
  name                         = "${var.name}-retrainer-monthly"
  schedule_expression          = "cron(0 9 15 * ? *)"
  schedule_expression_timezone = "America/New_York"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.retrainer_function.arn
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

# Emits the ages of the champions and of the last retraining for the alarms. A metric that is emitted once a month
# could not serve, because an alarm evaluates at most a week.
resource "aws_scheduler_schedule" "retrainer_function_report" {
  #checkov:skip=CKV_AWS_297:Its input stands below for everybody to read
  name                = "${var.name}-retrainer-report"
  schedule_expression = "rate(12 hours)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.retrainer_function.arn
    role_arn = aws_iam_role.schedule_role.arn
    input    = jsonencode({ report = "age" })

    retry_policy {
      maximum_retry_attempts       = 5
      maximum_event_age_in_seconds = 3600
    }

    dead_letter_config {
      arn = aws_sqs_queue.batch_failures_queue.arn
    }
  }
}

# The monitor's request is an object that is created once for each champion.
resource "aws_cloudwatch_event_rule" "retrainer_function_requested" {
  name = "${var.name}-requested"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = {
        name = [aws_s3_bucket.data_bucket.bucket]
      }
      object = {
        key = [{ wildcard = "retrain-requests/*" }]
      }
    }
  })
}

resource "aws_cloudwatch_event_target" "retrainer_function_requested" {
  rule      = aws_cloudwatch_event_rule.retrainer_function_requested.name
  target_id = "retrainer"
  arn       = aws_lambda_function.retrainer_function.arn

  retry_policy {
    maximum_retry_attempts       = 24
    maximum_event_age_in_seconds = 21600
  }

  dead_letter_config {
    arn = aws_sqs_queue.batch_failures_queue.arn
  }
}

resource "aws_lambda_permission" "retrainer_function_requested" {
  statement_id  = "requested"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.retrainer_function.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.retrainer_function_requested.arn
}

resource "aws_iam_role" "schedule_role" {
  name                 = "${var.name}-schedule"
  assume_role_policy   = data.aws_iam_policy_document.scheduler_assumes.json
  permissions_boundary = var.permissions_boundary
}

data "aws_iam_policy_document" "scheduler_assumes" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role_policy" "schedule_role" {
  name   = "schedule"
  role   = aws_iam_role.schedule_role.name
  policy = data.aws_iam_policy_document.schedule_role.json
}

data "aws_iam_policy_document" "schedule_role" {
  statement {
    sid     = "RetrainAndMonitor"
    actions = ["lambda:InvokeFunction"]
    resources = [
      aws_lambda_function.monitor_function.arn,
      aws_lambda_function.retrainer_function.arn,
    ]
  }

  statement {
    sid       = "KeepFailures"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.batch_failures_queue.arn]
  }
}

resource "aws_iam_role" "retrainer_role" {
  name                 = "${var.name}-retrainer"
  assume_role_policy   = data.aws_iam_policy_document.lambda_assumes.json
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "retrainer_role" {
  name   = "retrainer"
  role   = aws_iam_role.retrainer_role.name
  policy = data.aws_iam_policy_document.retrainer_role.json
}

data "aws_iam_policy_document" "mlflow_secret" {
  count = var.mlflow_secret_arn == "" ? 0 : 1

  statement {
    sid       = "ReadMlflowSecret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.mlflow_secret_arn]
  }
}

data "aws_iam_policy_document" "retrainer_role" {
  source_policy_documents = concat(data.aws_iam_policy_document.network[*].json, data.aws_iam_policy_document.mlflow_secret[*].json)

  statement {
    sid     = "ListDataAndModels"
    actions = ["s3:ListBucket"]
    resources = [
      aws_s3_bucket.data_bucket.arn,
      aws_s3_bucket.model_bucket.arn,
    ]
  }

  statement {
    sid     = "ReadTrainingData"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.data_bucket.arn}/incoming/*",
      "${aws_s3_bucket.data_bucket.arn}/history/*",
    ]
  }

  statement {
    sid = "ReadAndWriteRegistry"
    actions = [
      "s3:GetObject",
      "s3:PutObject",
    ]
    resources = [
      "${aws_s3_bucket.model_bucket.arn}/*/versions/*",
      "${aws_s3_bucket.model_bucket.arn}/*/aliases/*",
      "${aws_s3_bucket.model_bucket.arn}/*/history/*",
      "${aws_s3_bucket.model_bucket.arn}/fits/*",
      "${aws_s3_bucket.model_bucket.arn}/runs/*",
    ]
  }

  # Used by Lambda on behalf of this role, for events that failed for good.
  statement {
    sid       = "KeepFailures"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.batch_failures_queue.arn]
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

  statement {
    sid = "WriteLogs"
    actions = [
      "logs:CreateLogStream",
      "logs:PutLogEvents",
    ]
    resources = ["${aws_cloudwatch_log_group.retrainer_log_group.arn}:*"]
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

resource "aws_cloudwatch_log_group" "retrainer_log_group" {
  name              = "/aws/lambda/${var.name}-retrainer"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.key.arn
}
