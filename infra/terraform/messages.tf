# Messages: trips_queue -> scorer -> predictions_queue, or rejects_queue.

resource "aws_sqs_queue" "trips_queue" {
  name                       = "${var.name}-trips"
  sqs_managed_sse_enabled    = true
  visibility_timeout_seconds = var.trips_visibility_seconds
  # A trip has a few hundred bytes. A rejected message has to fit in rejects_queue (256 KiB) with its reason.
  max_message_size          = 258048
  message_retention_seconds = 345600

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn
    # A receive is used up by a throttled batch, too.
    maxReceiveCount = 10
  })
}

# Messages that failed repeatedly: SQS moves them here, and they may be moved back once the cause is fixed. The age of a
# redriven message counts from when it was first sent, so the retention is the longest possible.
resource "aws_sqs_queue" "dead_letter_queue" {
  name                      = "${var.name}-dead-letters"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
}

# Messages that can never succeed as they are: the scorer sends them here, with the reason. They lie apart from dead
# letters, so that nobody moves them back with those.
resource "aws_sqs_queue" "rejects_queue" {
  name                      = "${var.name}-rejects"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
}

resource "aws_sqs_queue" "predictions_queue" {
  name                      = "${var.name}-predictions"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 345600
}

resource "aws_lambda_function" "scorer_function" {
  #checkov:skip=CKV_AWS_116:A queue invokes it, and moves what keeps failing to dead_letter_queue by its redrive policy
  #checkov:skip=CKV_AWS_117:subnet_ids put it into one; by default it talks to AWS without, since endpoints of a VPC are paid by the hour
  #checkov:skip=CKV_AWS_173:No secret is among them, and Lambda encrypts them with a key of its own
  #checkov:skip=CKV_AWS_272:Packages are attested where they are built, and verified before a deployment (deploy.yml)
  function_name                  = "${var.name}-scorer"
  description                    = "Trip messages to predictions"
  role                           = aws_iam_role.scorer_role.arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  filename                       = "${var.packages}/scorer/bootstrap.zip"
  source_code_hash               = filebase64sha256("${var.packages}/scorer/bootstrap.zip")
  memory_size                    = 512
  timeout                        = 30
  publish                        = true
  reserved_concurrent_executions = var.scorer_reserved_concurrency

  logging_config {
    log_format            = "JSON"
    application_log_level = var.application_log_level
    log_group             = aws_cloudwatch_log_group.scorer_log_group.name
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
      MODEL_STORE           = "s3://${aws_s3_bucket.model_bucket.bucket}"
      DATA_STORE            = "s3://${aws_s3_bucket.data_bucket.bucket}"
      PREDICTIONS_QUEUE_URL = aws_sqs_queue.predictions_queue.url
      PREDICTIONS_STREAM    = one(aws_kinesis_stream.predictions_stream[*].name)
      DLQ_URL               = aws_sqs_queue.rejects_queue.url
      MODEL_REFRESH_SECONDS = var.model_refresh_seconds
      KEEP_ANSWERS          = var.keep_answers
    }
  }

  # A function that is invoked at once may do its work, and Lambda checks that its role may receive messages when the mapping is created.
  depends_on = [aws_iam_role_policy.scorer_role]
}

resource "aws_lambda_event_source_mapping" "scorer_function_trips" {
  event_source_arn                   = aws_sqs_queue.trips_queue.arn
  function_name                      = aws_lambda_alias.scorer_function.arn
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.scorer_concurrency_max
  }
}

resource "aws_iam_role" "scorer_role" {
  name                 = "${var.name}-scorer"
  assume_role_policy   = data.aws_iam_policy_document.lambda_assumes.json
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "scorer_role" {
  name   = "scorer"
  role   = aws_iam_role.scorer_role.name
  policy = data.aws_iam_policy_document.scorer_role.json
}

data "aws_iam_policy_document" "scorer_role" {
  source_policy_documents = data.aws_iam_policy_document.network[*].json

  statement {
    sid     = "ReadModels"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.model_bucket.arn}/*/aliases/*",
      "${aws_s3_bucket.model_bucket.arn}/*/versions/*",
    ]
  }

  # Without it S3 answers 403 for a missing key, so "no champion yet" would look like a lack of permission.
  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.model_bucket.arn]
  }

  statement {
    sid     = "KeepAnswersOfChallengersAndProfiles"
    actions = ["s3:PutObject"]
    resources = [
      "${aws_s3_bucket.data_bucket.arn}/answers/*",
      "${aws_s3_bucket.data_bucket.arn}/profiles/stream/*",
    ]
  }

  statement {
    sid     = "SendPredictionsAndRejections"
    actions = ["sqs:SendMessage"]
    resources = [
      aws_sqs_queue.predictions_queue.arn,
      aws_sqs_queue.rejects_queue.arn,
    ]
  }

  # Used by the event source mapping on behalf of this role.
  statement {
    sid = "TakeMessages"
    actions = [
      "sqs:ReceiveMessage",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
    ]
    resources = [aws_sqs_queue.trips_queue.arn]
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

  # The provider's ARN lacks the suffix ":*", by which IAM denotes the log streams of a group.
  statement {
    sid = "WriteLogs"
    actions = [
      "logs:CreateLogStream",
      "logs:PutLogEvents",
    ]
    resources = ["${aws_cloudwatch_log_group.scorer_log_group.arn}:*"]
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

resource "aws_cloudwatch_log_group" "scorer_log_group" {
  name              = "/aws/lambda/${var.name}-scorer"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.key.arn
}
