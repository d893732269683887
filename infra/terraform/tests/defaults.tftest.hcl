# Tests what a plain `terraform apply` would create, as far as it matters to operators. tests/system/deployments.rs
# compares it with template.yaml. Needs Terraform 1.11 (override_during).

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  packages = "tests/packages"
}

override_resource {
  target          = aws_sqs_queue.dead_letter_queue
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:111122223333:dead-letters"
    url = "https://sqs.us-east-1.amazonaws.com/111122223333/dead-letters"
  }
}

override_resource {
  target          = aws_sqs_queue.rejects_queue
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:111122223333:rejects"
    url = "https://sqs.us-east-1.amazonaws.com/111122223333/rejects"
  }
}

override_resource {
  target          = aws_sqs_queue.batch_failures_queue
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:111122223333:batch-failures"
    url = "https://sqs.us-east-1.amazonaws.com/111122223333/batch-failures"
  }
}

override_resource {
  target          = aws_s3_bucket.data_bucket
  override_during = plan
  values = {
    arn    = "arn:aws:s3:::data"
    bucket = "data"
  }
}

override_resource {
  target          = aws_s3_bucket.access_logs_bucket
  override_during = plan
  values = {
    arn    = "arn:aws:s3:::access-logs"
    bucket = "access-logs"
  }
}

run "messages_are_not_lost" {
  command = plan

  assert {
    condition = (
      aws_sqs_queue.trips_queue.visibility_timeout_seconds
      >= 6 * aws_lambda_function.scorer_function.timeout
      + aws_lambda_event_source_mapping.scorer_function_trips.maximum_batching_window_in_seconds
    )
    error_message = "A message must not come back while its scorer, throttled a few times, is still at it."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.trips_queue.redrive_policy).deadLetterTargetArn == aws_sqs_queue.dead_letter_queue.arn
    error_message = "What keeps failing belongs into the dead-letter queue."
  }

  assert {
    condition     = aws_lambda_function.scorer_function.environment[0].variables["DLQ_URL"] == aws_sqs_queue.rejects_queue.url
    error_message = "Rejections belong apart from what may be redriven."
  }

  assert {
    condition     = aws_sqs_queue.dead_letter_queue.message_retention_seconds > aws_sqs_queue.trips_queue.message_retention_seconds
    error_message = "A redriven message keeps its first date, and would be gone at once."
  }

  assert {
    condition     = contains(aws_lambda_event_source_mapping.scorer_function_trips.function_response_types, "ReportBatchItemFailures")
    error_message = "Without partial responses one bad message brings its whole batch back."
  }

  assert {
    condition = alltrue([
      for queue in [
        aws_lambda_function_event_invoke_config.batch_predictor_function.destination_config[0].on_failure[0].destination,
        aws_lambda_function_event_invoke_config.retrainer_function.destination_config[0].on_failure[0].destination,
        aws_lambda_function_event_invoke_config.monitor_function.destination_config[0].on_failure[0].destination,
        aws_cloudwatch_event_target.batch_predictor_function_file_dropped.dead_letter_config[0].arn,
        aws_cloudwatch_event_target.retrainer_function_requested.dead_letter_config[0].arn,
        aws_cloudwatch_event_target.monitor_function_file_predicted.dead_letter_config[0].arn,
        aws_scheduler_schedule.retrainer_function_monthly.target[0].dead_letter_config[0].arn,
        aws_scheduler_schedule.retrainer_function_report.target[0].dead_letter_config[0].arn,
        aws_scheduler_schedule.monitor_function_daily.target[0].dead_letter_config[0].arn,
      ] : queue == aws_sqs_queue.batch_failures_queue.arn
    ])
    error_message = "Events that fail for good must be kept."
  }
}

run "a_dropped_file_is_predicted_once" {
  command = plan

  assert {
    condition     = aws_s3_bucket_notification.data_bucket.eventbridge && aws_s3_bucket_notification.data_bucket.bucket == "data"
    error_message = "The data bucket must tell EventBridge of new objects."
  }

  assert {
    condition = (
      jsondecode(aws_cloudwatch_event_rule.batch_predictor_function_file_dropped.event_pattern).detail.object.key
      == [{ wildcard = "incoming/*" }]
    )
    error_message = "Anything but incoming/* would match the predictions, and the function would run on its own output for ever."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.batch_predictor_function_file_dropped.event_pattern).detail.bucket.name == ["data"]
    error_message = "Only files of the data bucket are trips."
  }

  assert {
    condition     = aws_lambda_permission.batch_predictor_function_file_dropped.source_arn == aws_cloudwatch_event_rule.batch_predictor_function_file_dropped.arn
    error_message = "Only that rule may invoke the function."
  }
}

run "nothing_is_public_and_all_is_encrypted" {
  command = plan

  assert {
    condition = alltrue([
      for block in [
        aws_s3_bucket_public_access_block.data_bucket,
        aws_s3_bucket_public_access_block.model_bucket,
        aws_s3_bucket_public_access_block.access_logs_bucket,
      ] : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "No bucket may be public."
  }

  assert {
    condition = alltrue([
      for document in [
        data.aws_iam_policy_document.data_bucket_policy,
        data.aws_iam_policy_document.model_bucket_policy,
        data.aws_iam_policy_document.access_logs_bucket_policy,
      ] :
      anytrue([
        for statement in document.statement :
        statement.effect == "Deny" && contains(statement.actions, "s3:*")
        && anytrue([for condition in statement.condition : condition.variable == "aws:SecureTransport" && contains(condition.values, "false")])
      ])
    ])
    error_message = "Every bucket must refuse what is not encrypted on its way."
  }

  assert {
    condition = alltrue([
      for encryption in [
        aws_s3_bucket_server_side_encryption_configuration.data_bucket,
        aws_s3_bucket_server_side_encryption_configuration.model_bucket,
      ] :
      alltrue([
        for rule in encryption.rule :
        rule.apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.key.arn
      ])
    ])
    error_message = "Trips and models must be encrypted with the stack's key."
  }

  assert {
    condition = alltrue([
      for queue in [
        aws_sqs_queue.trips_queue,
        aws_sqs_queue.predictions_queue,
        aws_sqs_queue.dead_letter_queue,
        aws_sqs_queue.rejects_queue,
        aws_sqs_queue.batch_failures_queue,
      ] : queue.sqs_managed_sse_enabled
    ])
    error_message = "Every queue must be encrypted."
  }

  assert {
    condition = alltrue([
      for versioning in [
        aws_s3_bucket_versioning.data_bucket,
        aws_s3_bucket_versioning.model_bucket,
        aws_s3_bucket_versioning.access_logs_bucket,
      ] : versioning.versioning_configuration[0].status == "Enabled"
    ])
    error_message = "What is overwritten in a bucket must be there still."
  }

  assert {
    condition = alltrue([
      for logging in [aws_s3_bucket_logging.data_bucket, aws_s3_bucket_logging.model_bucket] :
      logging.target_bucket == "access-logs"
    ])
    error_message = "Who looked into the buckets must be known."
  }
}

run "http_is_not_open" {
  command = plan

  assert {
    condition     = aws_apigatewayv2_route.http_route.authorization_type == "AWS_IAM"
    error_message = "Without an issuer of tokens IAM must sign requests."
  }

  assert {
    condition     = aws_apigatewayv2_stage.http_stage.default_route_settings[0].throttling_rate_limit == 50
    error_message = "Requests must be limited."
  }
}

run "roles_are_narrow" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for document in [
        data.aws_iam_policy_document.scorer_role,
        data.aws_iam_policy_document.batch_predictor_role,
        data.aws_iam_policy_document.retrainer_role,
        data.aws_iam_policy_document.monitor_role,
        data.aws_iam_policy_document.web_role,
        data.aws_iam_policy_document.schedule_role,
      ] :
      [
        for statement in document.statement :
        statement.sid == "WriteTraces" || !contains(statement.resources, "*")
      ]
    ]))
    error_message = "Only traces, which know no resources, may go to any."
  }

  assert {
    condition = alltrue(flatten([
      for document in [
        data.aws_iam_policy_document.scorer_role,
        data.aws_iam_policy_document.batch_predictor_role,
        data.aws_iam_policy_document.retrainer_role,
        data.aws_iam_policy_document.monitor_role,
        data.aws_iam_policy_document.web_role,
        data.aws_iam_policy_document.schedule_role,
      ] :
      [for statement in document.statement : [for action in statement.actions : !strcontains(action, "*")]]
    ]))
    error_message = "A role must name what it may do."
  }

  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.scorer_role.statement :
      alltrue([for resource in statement.resources : !startswith(resource, "arn:aws:s3:::data/incoming") && resource != "arn:aws:s3:::data"])
    ])
    error_message = "The scorer has no business with files of trips."
  }
}

run "what_answers_is_invoked_by_its_alias" {
  command = plan

  assert {
    condition = alltrue([
      for pair in [
        [aws_lambda_alias.scorer_function, aws_lambda_function.scorer_function],
        [aws_lambda_alias.batch_predictor_function, aws_lambda_function.batch_predictor_function],
        [aws_lambda_alias.web_function, aws_lambda_function.web_function],
      ] : pair[1].publish && pair[0].name == "live" && pair[0].function_version == pair[1].version && length(pair[0].routing_config) == 0
    ])
    error_message = "Without a canary the newest version must serve."
  }

  assert {
    condition = (
      aws_lambda_event_source_mapping.scorer_function_trips.function_name == aws_lambda_alias.scorer_function.arn
      && aws_cloudwatch_event_target.batch_predictor_function_file_dropped.arn == aws_lambda_alias.batch_predictor_function.arn
      && aws_lambda_function_event_invoke_config.batch_predictor_function.qualifier == "live"
      && aws_apigatewayv2_integration.http_integration.integration_uri == aws_lambda_alias.web_function.arn
    )
    error_message = "A function that is invoked past its alias would run code that no canary has tried."
  }
}

run "functions_tell_what_they_do" {
  command = plan

  assert {
    condition = alltrue([
      for function in [
        aws_lambda_function.scorer_function,
        aws_lambda_function.batch_predictor_function,
        aws_lambda_function.retrainer_function,
        aws_lambda_function.monitor_function,
        aws_lambda_function.web_function,
      ] : function.logging_config[0].log_format == "JSON" && function.logging_config[0].application_log_level == "INFO"
    ])
    error_message = "Functions must log JSON: log levels are Lambda's only then."
  }

  assert {
    condition = alltrue([
      for group in [
        aws_cloudwatch_log_group.scorer_log_group,
        aws_cloudwatch_log_group.batch_predictor_log_group,
        aws_cloudwatch_log_group.retrainer_log_group,
        aws_cloudwatch_log_group.monitor_log_group,
        aws_cloudwatch_log_group.web_log_group,
      ] : group.retention_in_days == 365 && group.kms_key_id == aws_kms_key.key.arn
    ])
    error_message = "Logs must be encrypted with the stack's key, and must end."
  }

  assert {
    condition = alltrue([
      for pair in [
        [aws_lambda_function.scorer_function, aws_cloudwatch_log_group.scorer_log_group],
        [aws_lambda_function.batch_predictor_function, aws_cloudwatch_log_group.batch_predictor_log_group],
        [aws_lambda_function.retrainer_function, aws_cloudwatch_log_group.retrainer_log_group],
        [aws_lambda_function.monitor_function, aws_cloudwatch_log_group.monitor_log_group],
        [aws_lambda_function.web_function, aws_cloudwatch_log_group.web_log_group],
      ] : pair[0].logging_config[0].log_group == pair[1].name
    ])
    error_message = "A function's log must go where it is kept and may be written."
  }

  assert {
    condition = alltrue([
      for function in [
        aws_lambda_function.scorer_function,
        aws_lambda_function.batch_predictor_function,
        aws_lambda_function.retrainer_function,
        aws_lambda_function.monitor_function,
        aws_lambda_function.web_function,
      ] : function.tracing_config[0].mode == "PassThrough"
    ])
    error_message = "Nobody asked for traces, which are paid for."
  }
}

run "every_alarm_reaches_somebody" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in [
        aws_cloudwatch_metric_alarm.dead_letters_alarm,
        aws_cloudwatch_metric_alarm.rejects_alarm,
        aws_cloudwatch_metric_alarm.batch_failures_alarm,
        aws_cloudwatch_metric_alarm.trips_age_alarm,
        aws_cloudwatch_metric_alarm.scorer_errors_alarm,
        aws_cloudwatch_metric_alarm.scorer_throttles_alarm,
        aws_cloudwatch_metric_alarm.scorer_duration_alarm,
        aws_cloudwatch_metric_alarm.batch_predictor_errors_alarm,
        aws_cloudwatch_metric_alarm.batch_predictor_throttles_alarm,
        aws_cloudwatch_metric_alarm.batch_predictor_duration_alarm,
        aws_cloudwatch_metric_alarm.retrainer_errors_alarm,
        aws_cloudwatch_metric_alarm.monitor_errors_alarm,
        aws_cloudwatch_metric_alarm.web_errors_alarm,
        aws_cloudwatch_metric_alarm.retrainer_throttles_alarm,
        aws_cloudwatch_metric_alarm.monitor_throttles_alarm,
        aws_cloudwatch_metric_alarm.web_throttles_alarm,
        aws_cloudwatch_metric_alarm.retrainer_duration_alarm,
        aws_cloudwatch_metric_alarm.monitor_duration_alarm,
        aws_cloudwatch_metric_alarm.web_duration_alarm,
        aws_cloudwatch_metric_alarm.batch_predictor_events_dropped_alarm,
        aws_cloudwatch_metric_alarm.retrainer_events_dropped_alarm,
        aws_cloudwatch_metric_alarm.monitor_events_dropped_alarm,
        aws_cloudwatch_metric_alarm.batch_predictor_destination_alarm,
        aws_cloudwatch_metric_alarm.retrainer_destination_alarm,
        aws_cloudwatch_metric_alarm.monitor_destination_alarm,
        aws_cloudwatch_metric_alarm.model_reloads_alarm,
        aws_cloudwatch_metric_alarm.model_age_alarm,
        aws_cloudwatch_metric_alarm.no_retraining_alarm,
      ] :
      alarm.alarm_actions == toset([aws_sns_topic.alarm_topic.arn]) && alarm.ok_actions == alarm.alarm_actions
    ])
    error_message = "Every alarm must be published, its end too."
  }

  assert {
    condition = alltrue([
      for pair in [
        [aws_cloudwatch_metric_alarm.scorer_duration_alarm, aws_lambda_function.scorer_function],
        [aws_cloudwatch_metric_alarm.batch_predictor_duration_alarm, aws_lambda_function.batch_predictor_function],
        [aws_cloudwatch_metric_alarm.retrainer_duration_alarm, aws_lambda_function.retrainer_function],
        [aws_cloudwatch_metric_alarm.monitor_duration_alarm, aws_lambda_function.monitor_function],
        [aws_cloudwatch_metric_alarm.web_duration_alarm, aws_lambda_function.web_function],
      ] : pair[0].threshold == pair[1].timeout * 800 && pair[0].dimensions["FunctionName"] == pair[1].function_name
    ])
    error_message = "Durations must alarm at 80 % of each function's own timeout (in ms)."
  }

  assert {
    condition = alltrue([
      for alarm in [aws_cloudwatch_metric_alarm.model_age_alarm, aws_cloudwatch_metric_alarm.no_retraining_alarm] :
      alarm.treat_missing_data == "breaching" && alarm.period * alarm.evaluation_periods <= 7 * 86400
    ])
    error_message = "Nobody telling the age of a model is an alarm, and an alarm looks back a week at most."
  }

  assert {
    condition     = aws_sns_topic.alarm_topic.kms_master_key_id == aws_kms_key.key.key_id
    error_message = "CloudWatch can only publish to a topic whose key lets it."
  }
}

run "nothing_is_taken_from_the_account" {
  command = plan

  assert {
    condition     = aws_lambda_function.scorer_function.reserved_concurrent_executions == null
    error_message = "A new account can reserve no concurrency: none must be asked for."
  }

  assert {
    condition     = length(data.aws_iam_policy_document.network) + length(data.aws_iam_policy_document.mlflow_secret) == 0
    error_message = "Nobody named subnets or a secret: no role may make interfaces, or read one."
  }

  assert {
    condition     = length(aws_sns_topic_subscription.alarm_mail) == 0
    error_message = "Nobody asked for mail."
  }

  assert {
    condition     = aws_lambda_function.scorer_function.architectures == tolist(["arm64"])
    error_message = "Functions run on arm64 unless told otherwise."
  }
}
