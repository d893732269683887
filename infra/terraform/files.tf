# Files: incoming/* in data_bucket -> batch predictor -> predictions/*.

resource "aws_s3_bucket" "data_bucket" {
  #checkov:skip=CKV_AWS_144:Trips are the TLC's and predictions can be made again; what is overwritten stands in the versions
  bucket_prefix = "${var.name}-data-"

  lifecycle {
    # See key.tf.
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "data_bucket" {
  bucket = aws_s3_bucket.data_bucket.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data_bucket" {
  bucket = aws_s3_bucket.data_bucket.bucket

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.key.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "data_bucket" {
  bucket                  = aws_s3_bucket.data_bucket.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "data_bucket" {
  bucket = aws_s3_bucket.data_bucket.bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_logging" "data_bucket" {
  bucket        = aws_s3_bucket.data_bucket.bucket
  target_bucket = aws_s3_bucket.access_logs_bucket.bucket
  target_prefix = "data/"
}

resource "aws_s3_bucket_lifecycle_configuration" "data_bucket" {
  bucket = aws_s3_bucket.data_bucket.bucket

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

  rule {
    id     = "old-answers"
    status = "Enabled"

    filter {
      prefix = "answers/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "old-profiles-of-minutes"
    status = "Enabled"

    filter {
      prefix = "profiles/stream/"
    }

    expiration {
      days = 90
    }
  }

  # S3 refuses a rule on versions before the bucket has versioning.
  depends_on = [aws_s3_bucket_versioning.data_bucket]
}

# EventBridge and not a notification to the function, as in the template, where that would be a circular dependency.
resource "aws_s3_bucket_notification" "data_bucket" {
  bucket      = aws_s3_bucket.data_bucket.bucket
  eventbridge = true
}

resource "aws_s3_bucket_policy" "data_bucket_policy" {
  bucket = aws_s3_bucket.data_bucket.bucket
  policy = data.aws_iam_policy_document.data_bucket_policy.json
}

data "aws_iam_policy_document" "data_bucket_policy" {
  statement {
    sid     = "TlsOnly"
    effect  = "Deny"
    actions = ["s3:*"]
    resources = [
      aws_s3_bucket.data_bucket.arn,
      "${aws_s3_bucket.data_bucket.arn}/*",
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

resource "aws_lambda_function" "batch_predictor_function" {
  #checkov:skip=CKV_AWS_115:It would take from the account's other functions, and a new account has none to give
  #checkov:skip=CKV_AWS_116:What fails for good goes to batch_failures_queue, by the destination below
  #checkov:skip=CKV_AWS_117:subnet_ids put it into one; by default it talks to AWS without, since endpoints of a VPC are paid by the hour
  #checkov:skip=CKV_AWS_173:No secret is among them, and Lambda encrypts them with a key of its own
  #checkov:skip=CKV_AWS_272:Packages are attested where they are built, and verified before a deployment (deploy.yml)
  function_name    = "${var.name}-batch-predictor"
  description      = "A Parquet file of trips to a file of predictions"
  role             = aws_iam_role.batch_predictor_role.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = "${var.packages}/batch-predictor/bootstrap.zip"
  source_code_hash = filebase64sha256("${var.packages}/batch-predictor/bootstrap.zip")
  memory_size      = 2048
  timeout          = 300
  publish          = true

  logging_config {
    log_format            = "JSON"
    application_log_level = var.application_log_level
    log_group             = aws_cloudwatch_log_group.batch_predictor_log_group.name
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
      DATA_STORE  = "s3://${aws_s3_bucket.data_bucket.bucket}"
      MODEL_STORE = "s3://${aws_s3_bucket.model_bucket.bucket}"
      TAXI        = var.taxi
    }
  }

  # A function that is invoked at once may do its work, and Lambda checks that its role may send what fails to the queue.
  depends_on = [aws_iam_role_policy.batch_predictor_role]
}

resource "aws_lambda_function_event_invoke_config" "batch_predictor_function" {
  function_name                = aws_lambda_function.batch_predictor_function.function_name
  qualifier                    = aws_lambda_alias.batch_predictor_function.name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.batch_failures_queue.arn
    }
  }
}

# What serves is the alias, whose settings are above. These are for people, who invoke the function by its name alone.
resource "aws_lambda_function_event_invoke_config" "batch_predictor_by_name" {
  function_name                = aws_lambda_function.batch_predictor_function.function_name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.batch_failures_queue.arn
    }
  }
}

resource "aws_cloudwatch_event_rule" "batch_predictor_function_file_dropped" {
  name = "${var.name}-file-dropped"

  # A wildcard, because a list of prefix and suffix means "or", which would match the function's own output.
  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = {
        name = [aws_s3_bucket.data_bucket.bucket]
      }
      object = {
        key = [{ wildcard = "incoming/*" }]
      }
    }
  })
}

resource "aws_cloudwatch_event_target" "batch_predictor_function_file_dropped" {
  rule      = aws_cloudwatch_event_rule.batch_predictor_function_file_dropped.name
  target_id = "batch-predictor"
  arn       = aws_lambda_alias.batch_predictor_function.arn

  retry_policy {
    maximum_retry_attempts       = 24
    maximum_event_age_in_seconds = 21600
  }

  dead_letter_config {
    arn = aws_sqs_queue.batch_failures_queue.arn
  }
}

resource "aws_lambda_permission" "batch_predictor_function_file_dropped" {
  statement_id  = "file-dropped"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.batch_predictor_function.function_name
  qualifier     = aws_lambda_alias.batch_predictor_function.name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.batch_predictor_function_file_dropped.arn
}

resource "aws_iam_role" "batch_predictor_role" {
  name                 = "${var.name}-batch-predictor"
  assume_role_policy   = data.aws_iam_policy_document.lambda_assumes.json
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "batch_predictor_role" {
  name   = "batch-predictor"
  role   = aws_iam_role.batch_predictor_role.name
  policy = data.aws_iam_policy_document.batch_predictor_role.json
}

data "aws_iam_policy_document" "batch_predictor_role" {
  source_policy_documents = data.aws_iam_policy_document.network[*].json

  statement {
    sid = "ReadIncoming"
    actions = [
      "s3:GetObject",
      "s3:GetObjectVersion",
    ]
    resources = ["${aws_s3_bucket.data_bucket.arn}/incoming/*"]
  }

  # A backfill leaves what has its summary. Rejected rows of a replaced file are replaced.
  statement {
    sid     = "ReadSummariesAndQuarantine"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.data_bucket.arn}/quarantine/*",
      "${aws_s3_bucket.data_bucket.arn}/summaries/*",
    ]
  }

  statement {
    sid = "WritePredictionsAndQuarantine"
    actions = [
      "s3:PutObject",
      "s3:AbortMultipartUpload",
    ]
    resources = [
      "${aws_s3_bucket.data_bucket.arn}/predictions/*",
      "${aws_s3_bucket.data_bucket.arn}/quarantine/*",
    ]
  }

  statement {
    sid     = "WriteProfilesAndSummaries"
    actions = ["s3:PutObject"]
    resources = [
      "${aws_s3_bucket.data_bucket.arn}/profiles/batch/*",
      "${aws_s3_bucket.data_bucket.arn}/summaries/*",
    ]
  }

  statement {
    sid     = "ReadModels"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.model_bucket.arn}/*/aliases/*",
      "${aws_s3_bucket.model_bucket.arn}/*/versions/*",
    ]
  }

  # A deleted file, or a champion that is not promoted yet, must be missing (404) and not forbidden (403).
  statement {
    sid     = "TellMissingFromForbidden"
    actions = ["s3:ListBucket"]
    resources = [
      aws_s3_bucket.data_bucket.arn,
      aws_s3_bucket.model_bucket.arn,
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
    resources = ["${aws_cloudwatch_log_group.batch_predictor_log_group.arn}:*"]
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

resource "aws_cloudwatch_log_group" "batch_predictor_log_group" {
  name              = "/aws/lambda/${var.name}-batch-predictor"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.key.arn
}

# Events of asynchronous invocations that failed for good, with the error; events and schedules that never reached a
# function; notes of a stream's records on which the scorer failed for good.
resource "aws_sqs_queue" "batch_failures_queue" {
  name                      = "${var.name}-batch-failures"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
}

resource "aws_sqs_queue_policy" "batch_failures_queue_policy" {
  queue_url = aws_sqs_queue.batch_failures_queue.url
  policy    = data.aws_iam_policy_document.batch_failures_queue_policy.json
}

data "aws_iam_policy_document" "batch_failures_queue_policy" {
  statement {
    sid       = "EventsThatReachNobody"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.batch_failures_queue.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}
