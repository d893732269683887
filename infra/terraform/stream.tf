# A stream, where stream_shards is not 0: trips_stream -> scorer -> predictions_stream, or rejects_queue.

# Records are kept for a week, so that they outlast a weekend on which nothing can be predicted.
resource "aws_kinesis_stream" "trips_stream" {
  count = var.stream_shards == 0 ? 0 : 1

  name             = "${var.name}-trips"
  shard_count      = var.stream_shards
  retention_period = 168
  encryption_type  = "KMS"
  kms_key_id       = aws_kms_key.key.arn
}

resource "aws_kinesis_stream" "predictions_stream" {
  count = var.stream_shards == 0 ? 0 : 1

  name             = "${var.name}-predictions"
  shard_count      = var.stream_shards
  retention_period = 24
  encryption_type  = "KMS"
  kms_key_id       = aws_kms_key.key.arn
}

# A batch that fails is halved until the record is alone that makes it fail. After its retries, or a day, a note with its
# shard and sequence numbers goes to batch_failures_queue, and the shard goes on; the stream still has the record.
resource "aws_lambda_event_source_mapping" "records_mapping" {
  count = var.stream_shards == 0 ? 0 : 1

  event_source_arn                   = one(aws_kinesis_stream.trips_stream[*].arn)
  function_name                      = aws_lambda_alias.scorer_function.arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]
  bisect_batch_on_function_error     = true
  maximum_retry_attempts             = 100
  maximum_record_age_in_seconds      = 86400

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.batch_failures_queue.arn
    }
  }

  # Lambda checks that the role may read the stream when the mapping is created, and refuses it otherwise.
  depends_on = [aws_iam_role_policy.streams_policy]
}

resource "aws_iam_role_policy" "streams_policy" {
  count = var.stream_shards == 0 ? 0 : 1

  name   = "streams"
  role   = aws_iam_role.scorer_role.name
  policy = one(data.aws_iam_policy_document.streams_policy[*].json)
}

data "aws_iam_policy_document" "streams_policy" {
  count = var.stream_shards == 0 ? 0 : 1

  # Used by the event source mapping on behalf of this role.
  statement {
    sid = "TakeRecords"
    actions = [
      "kinesis:DescribeStream",
      "kinesis:DescribeStreamSummary",
      "kinesis:GetRecords",
      "kinesis:GetShardIterator",
      "kinesis:ListShards",
    ]
    resources = [one(aws_kinesis_stream.trips_stream[*].arn)]
  }

  statement {
    sid       = "PutPredictions"
    actions   = ["kinesis:PutRecords"]
    resources = [one(aws_kinesis_stream.predictions_stream[*].arn)]
  }

  # Used by Lambda for notes of records that failed for good.
  statement {
    sid       = "KeepFailures"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.batch_failures_queue.arn]
  }
}

# The age of the last record of each batch, from which Lambda reads on: records expire after a week.
resource "aws_cloudwatch_metric_alarm" "records_age_alarm" {
  count = var.stream_shards == 0 ? 0 : 1

  alarm_name          = "${var.name}-records-age"
  alarm_description   = "A record of the stream has waited for five minutes"
  namespace           = "AWS/Lambda"
  metric_name         = "IteratorAge"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 300000
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.scorer_function.function_name
  }
}

# Without its note nobody learns of a record on which the scorer failed for good, before the stream forgets it.
resource "aws_cloudwatch_metric_alarm" "records_destination_alarm" {
  count = var.stream_shards == 0 ? 0 : 1

  alarm_name          = "${var.name}-records-destination"
  alarm_description   = "A note of records that failed for good could not be kept"
  namespace           = "AWS/Lambda"
  metric_name         = "DestinationDeliveryFailures"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.scorer_function.function_name
  }
}
