# Alarms: each calls for an action that docs/OPERATIONS.md describes.

resource "aws_sns_topic" "alarm_topic" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.key.key_id
}

resource "aws_sns_topic_subscription" "alarm_mail" {
  count = var.alarm_email == "" ? 0 : 1

  topic_arn = aws_sns_topic.alarm_topic.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_metric_alarm" "dead_letters_alarm" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "Messages that failed repeatedly lie in the dead-letter queue"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    QueueName = aws_sqs_queue.dead_letter_queue.name
  }
}

resource "aws_cloudwatch_metric_alarm" "rejects_alarm" {
  alarm_name          = "${var.name}-rejects"
  alarm_description   = "Messages that can never be predicted lie in the queue of rejected ones"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    QueueName = aws_sqs_queue.rejects_queue.name
  }
}

resource "aws_cloudwatch_metric_alarm" "batch_failures_alarm" {
  alarm_name          = "${var.name}-batch-failures"
  alarm_description   = "Files, retrainings or reports failed for good, or an event reached no function"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    QueueName = aws_sqs_queue.batch_failures_queue.name
  }
}

resource "aws_cloudwatch_metric_alarm" "trips_age_alarm" {
  alarm_name          = "${var.name}-trips-age"
  alarm_description   = "A message has waited for five minutes"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 300
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    QueueName = aws_sqs_queue.trips_queue.name
  }
}

resource "aws_cloudwatch_metric_alarm" "predictions_age_alarm" {
  alarm_name          = "${var.name}-predictions-age"
  alarm_description   = "Predictions have waited for half of the time that their queue keeps them"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 172800
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    QueueName = aws_sqs_queue.predictions_queue.name
  }
}

resource "aws_cloudwatch_metric_alarm" "scorer_errors_alarm" {
  alarm_name          = "${var.name}-scorer-errors"
  alarm_description   = "The scorer fails twice in a row"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.scorer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "scorer_throttles_alarm" {
  alarm_name          = "${var.name}-scorer-throttles"
  alarm_description   = "The scorer is throttled twice in a row"
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.scorer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "scorer_duration_alarm" {
  alarm_name          = "${var.name}-scorer-duration"
  alarm_description   = "The scorer takes more than 80 % of its 30 s"
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  extended_statistic  = "p99"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 24000
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.scorer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "batch_predictor_errors_alarm" {
  alarm_name          = "${var.name}-batch-predictor-errors"
  alarm_description   = "The batch predictor fails"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
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
    FunctionName = aws_lambda_function.batch_predictor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "batch_predictor_throttles_alarm" {
  alarm_name          = "${var.name}-batch-predictor-throttles"
  alarm_description   = "The batch predictor is throttled"
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.batch_predictor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "batch_predictor_duration_alarm" {
  alarm_name          = "${var.name}-batch-predictor-duration"
  alarm_description   = "The batch predictor takes more than 80 % of its 300 s"
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  extended_statistic  = "p99"
  period              = 300
  evaluation_periods  = 2
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 240000
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.batch_predictor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "batch_predictor_events_dropped_alarm" {
  alarm_name          = "${var.name}-batch-predictor-events-dropped"
  alarm_description   = "An event for the batch predictor was dropped after its tries, or after waiting for too long"
  namespace           = "AWS/Lambda"
  metric_name         = "AsyncEventsDropped"
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
    FunctionName = aws_lambda_function.batch_predictor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "batch_predictor_destination_alarm" {
  alarm_name          = "${var.name}-batch-predictor-destination"
  alarm_description   = "An event on which the batch predictor failed for good could not be kept"
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
    FunctionName = aws_lambda_function.batch_predictor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "backfill_failed_alarm" {
  alarm_name          = "${var.name}-backfill-failed"
  alarm_description   = "A backfill failed, because more than 5 % of its objects did by errors"
  namespace           = "AWS/States"
  metric_name         = "ExecutionsFailed"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    StateMachineArn = aws_sfn_state_machine.backfill_state_machine.arn
  }
}

resource "aws_cloudwatch_metric_alarm" "training_failed_alarm" {
  alarm_name          = "${var.name}-training-failed"
  alarm_description   = "A retraining step by step failed"
  namespace           = "AWS/States"
  metric_name         = "ExecutionsFailed"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    StateMachineArn = aws_sfn_state_machine.training_state_machine.arn
  }
}

resource "aws_cloudwatch_metric_alarm" "retrainer_errors_alarm" {
  alarm_name          = "${var.name}-retrainer-errors"
  alarm_description   = "The retrainer fails"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 4
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.retrainer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "retrainer_throttles_alarm" {
  alarm_name          = "${var.name}-retrainer-throttles"
  alarm_description   = "The retrainer is throttled"
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.retrainer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "retrainer_duration_alarm" {
  alarm_name          = "${var.name}-retrainer-duration"
  alarm_description   = "The retrainer takes more than 80 % of its 900 s"
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  extended_statistic  = "p99"
  period              = 300
  evaluation_periods  = 4
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 720000
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.retrainer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "retrainer_events_dropped_alarm" {
  alarm_name          = "${var.name}-retrainer-events-dropped"
  alarm_description   = "An event for the retrainer was dropped after its tries, or after waiting for too long"
  namespace           = "AWS/Lambda"
  metric_name         = "AsyncEventsDropped"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 4
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.retrainer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "retrainer_destination_alarm" {
  alarm_name          = "${var.name}-retrainer-destination"
  alarm_description   = "An event on which the retrainer failed for good could not be kept"
  namespace           = "AWS/Lambda"
  metric_name         = "DestinationDeliveryFailures"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 4
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.retrainer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "monitor_errors_alarm" {
  alarm_name          = "${var.name}-monitor-errors"
  alarm_description   = "The monitor fails"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
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
    FunctionName = aws_lambda_function.monitor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "monitor_throttles_alarm" {
  alarm_name          = "${var.name}-monitor-throttles"
  alarm_description   = "The monitor is throttled"
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.monitor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "monitor_duration_alarm" {
  alarm_name          = "${var.name}-monitor-duration"
  alarm_description   = "The monitor takes more than 80 % of its 300 s"
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  extended_statistic  = "p99"
  period              = 300
  evaluation_periods  = 2
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 240000
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.monitor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "monitor_events_dropped_alarm" {
  alarm_name          = "${var.name}-monitor-events-dropped"
  alarm_description   = "An event for the monitor was dropped after its tries, or after waiting for too long"
  namespace           = "AWS/Lambda"
  metric_name         = "AsyncEventsDropped"
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
    FunctionName = aws_lambda_function.monitor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "monitor_destination_alarm" {
  alarm_name          = "${var.name}-monitor-destination"
  alarm_description   = "An event on which the monitor failed for good could not be kept"
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
    FunctionName = aws_lambda_function.monitor_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "web_errors_alarm" {
  alarm_name          = "${var.name}-web-errors"
  alarm_description   = "The web function fails"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
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
    FunctionName = aws_lambda_function.web_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "web_throttles_alarm" {
  alarm_name          = "${var.name}-web-throttles"
  alarm_description   = "The web function is throttled"
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.web_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "web_duration_alarm" {
  alarm_name          = "${var.name}-web-duration"
  alarm_description   = "The web function takes more than 80 % of its 28 s"
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  extended_statistic  = "p99"
  period              = 300
  evaluation_periods  = 2
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 22400
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    FunctionName = aws_lambda_function.web_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "model_reloads_alarm" {
  alarm_name          = "${var.name}-model-reloads"
  alarm_description   = "Warm scorers cannot load the present champions and answer with earlier ones"
  namespace           = "tripcast"
  metric_name         = "ModelReloadFailures"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    function = aws_lambda_function.scorer_function.function_name
  }
}

# Two days without a report are as bad as a high value, so missing data breaches the threshold.
resource "aws_cloudwatch_metric_alarm" "model_age_alarm" {
  alarm_name          = "${var.name}-model-age"
  alarm_description   = "There is no champion, or it has served for too long"
  namespace           = "tripcast"
  metric_name         = "ModelAgeHours"
  statistic           = "Maximum"
  period              = 86400
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.model_age_hours_max
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    function = aws_lambda_function.retrainer_function.function_name
  }
}

resource "aws_cloudwatch_metric_alarm" "no_retraining_alarm" {
  alarm_name          = "${var.name}-no-retraining"
  alarm_description   = "No retraining has come to an end for 35 days"
  namespace           = "tripcast"
  metric_name         = "HoursSinceRetraining"
  statistic           = "Maximum"
  period              = 86400
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 840
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]

  dimensions = {
    function = aws_lambda_function.retrainer_function.function_name
  }
}
