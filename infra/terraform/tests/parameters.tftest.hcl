# Tests what each variable changes.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  packages = "tests/packages"
}

run "concurrency" {
  command = plan

  variables {
    scorer_reserved_concurrency = 60
    scorer_concurrency_max      = 50
  }

  assert {
    condition     = aws_lambda_function.scorer_function.reserved_concurrent_executions == 60
    error_message = "The scorer must have what was reserved for it."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.scorer_function_trips.scaling_config[0].maximum_concurrency == 50
    error_message = "The queue must run as many scorers as it may."
  }
}

run "mail" {
  command = plan

  variables {
    alarm_email = "on-call@example.org"
  }

  assert {
    condition = (
      aws_sns_topic_subscription.alarm_mail[0].endpoint == "on-call@example.org"
      && aws_sns_topic_subscription.alarm_mail[0].topic_arn == aws_sns_topic.alarm_topic.arn
    )
    error_message = "Alarms must be mailed to the address."
  }
}

run "names" {
  command = plan

  variables {
    name = "tripcast-dev"
  }

  assert {
    condition = alltrue([
      for name in [
        aws_sqs_queue.trips_queue.name,
        aws_sqs_queue.predictions_queue.name,
        aws_sqs_queue.dead_letter_queue.name,
        aws_sqs_queue.rejects_queue.name,
        aws_sqs_queue.batch_failures_queue.name,
        aws_lambda_function.scorer_function.function_name,
        aws_lambda_function.batch_predictor_function.function_name,
        aws_lambda_function.retrainer_function.function_name,
        aws_lambda_function.monitor_function.function_name,
        aws_lambda_function.web_function.function_name,
        aws_iam_role.scorer_role.name,
        aws_iam_role.batch_predictor_role.name,
        aws_iam_role.retrainer_role.name,
        aws_iam_role.monitor_role.name,
        aws_iam_role.web_role.name,
        aws_iam_role.schedule_role.name,
        aws_s3_bucket.data_bucket.bucket_prefix,
        aws_s3_bucket.model_bucket.bucket_prefix,
        aws_s3_bucket.access_logs_bucket.bucket_prefix,
        aws_sns_topic.alarm_topic.name,
        aws_cloudwatch_event_rule.batch_predictor_function_file_dropped.name,
        aws_cloudwatch_event_rule.retrainer_function_requested.name,
        aws_cloudwatch_event_rule.monitor_function_file_predicted.name,
        aws_scheduler_schedule.retrainer_function_monthly.name,
        aws_scheduler_schedule.retrainer_function_report.name,
        aws_scheduler_schedule.monitor_function_daily.name,
        aws_cloudwatch_metric_alarm.dead_letters_alarm.alarm_name,
        aws_cloudwatch_metric_alarm.rejects_alarm.alarm_name,
        aws_cloudwatch_metric_alarm.model_age_alarm.alarm_name,
      ] : startswith(name, "tripcast-dev-")
    ])
    error_message = "Two stacks of one account must not meet, and deploy-role/ knows a stack by its names."
  }

  assert {
    condition = alltrue([
      for name in [
        aws_cloudwatch_log_group.scorer_log_group.name,
        aws_cloudwatch_log_group.batch_predictor_log_group.name,
        aws_cloudwatch_log_group.retrainer_log_group.name,
        aws_cloudwatch_log_group.monitor_log_group.name,
        aws_cloudwatch_log_group.web_log_group.name,
      ] : startswith(name, "/aws/lambda/tripcast-dev-")
    ])
    error_message = "The key serves the logs of this stack by their names."
  }

  assert {
    condition = anytrue([
      for statement in data.aws_iam_policy_document.key.statement :
      anytrue([
        for condition in statement.condition :
        condition.values == tolist([
          "arn:aws:logs:us-east-1:111122223333:log-group:/aws/lambda/tripcast-dev-*",
          "arn:aws:logs:us-east-1:111122223333:log-group:/aws/vendedlogs/states/tripcast-dev-*",
        ])
      ])
    ])
    error_message = "The key must serve this stack's logs, and no other's."
  }
}

# This name makes all names as long as possible; the provider refuses names that are too long for AWS.
run "the_longest_name" {
  command = plan

  variables {
    name = "abcdefghijklmnopqrstuvwx"
  }

  assert {
    condition     = length(aws_s3_bucket.access_logs_bucket.bucket_prefix) == 37
    error_message = "A bucket's name has 63 characters, of which the provider adds 26."
  }
}

run "streams" {
  command = plan

  variables {
    stream_shards = 2
  }

  assert {
    condition = (
      one(aws_kinesis_stream.trips_stream[*].shard_count) == 2
      && aws_lambda_function.scorer_function.environment[0].variables["PREDICTIONS_STREAM"] == "tripcast-predictions"
    )
    error_message = "The scorer must know the stream for predictions."
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.records_mapping) == 1
    error_message = "Records must reach the scorer."
  }

  assert {
    condition = alltrue([
      for alarm in concat(
        aws_cloudwatch_metric_alarm.records_age_alarm,
        aws_cloudwatch_metric_alarm.records_destination_alarm,
      ) : alarm.dimensions["FunctionName"] == aws_lambda_function.scorer_function.function_name
    ])
    error_message = "Records that wait, and notes of records that are lost, must alarm."
  }
}

run "no_streams" {
  command = plan

  assert {
    condition = (
      length(aws_kinesis_stream.trips_stream) + length(aws_lambda_event_source_mapping.records_mapping) == 0
      && length(aws_iam_role_policy.streams_policy) == 0
      && length(aws_cloudwatch_metric_alarm.records_age_alarm) == 0
      && length(aws_cloudwatch_metric_alarm.records_destination_alarm) == 0
    )
    error_message = "Nothing that is paid by the hour may be made unless it is asked for."
  }
}

run "what_functions_are_told" {
  command = plan

  variables {
    application_log_level = "DEBUG"
    model_refresh_seconds = 5
    keep_answers          = true
    jwt_issuer            = "https://issuer.example.org"
    jwt_audience          = "trips"
    taxi                  = "yellow"
    training_windows      = "6"
    training_rows_max     = 12000000
    retrainer_memory      = 10240
    mlflow_tracking_uri   = "https://mlflow.example.org"
    mlflow_secret_arn     = "arn:aws:secretsmanager:us-east-1:111122223333:secret:tripcast-mlflow-AbCdEf"
    otlp_endpoint         = "https://otlp.example.org"
    otlp_headers          = "api-key=a,other=b=c"
    architecture          = "x86_64"
  }

  assert {
    condition = (
      aws_lambda_function.scorer_function.environment[0].variables["MODEL_REFRESH_SECONDS"] == "5"
      && aws_lambda_function.scorer_function.environment[0].variables["KEEP_ANSWERS"] == "true"
    )
    error_message = "The scorer must look for champions as often as the variable states, and keep its answers."
  }

  assert {
    condition = (
      aws_lambda_function.batch_predictor_function.environment[0].variables["TAXI"] == "yellow"
      && aws_lambda_function.retrainer_function.environment[0].variables["TAXI"] == "yellow"
    )
    error_message = "Who learns and who predicts must mean the same taxis."
  }

  assert {
    condition = (
      aws_lambda_function.retrainer_function.environment[0].variables["TRAINING_WINDOWS"] == "6"
      && aws_lambda_function.retrainer_function.environment[0].variables["MLFLOW_TRACKING_URI"] == "https://mlflow.example.org"
    )
    error_message = "The retrainer must be told of its windows and of MLflow."
  }

  assert {
    condition = (
      aws_lambda_function.retrainer_function.environment[0].variables["MLFLOW_TRACKING_SECRET"] == var.mlflow_secret_arn
      && data.aws_iam_policy_document.mlflow_secret[0].statement[0].resources == toset([var.mlflow_secret_arn])
      && length(data.aws_iam_policy_document.retrainer_role.source_policy_documents) == 1
    )
    error_message = "The retrainer must know its secret, and be able to read that one."
  }

  assert {
    condition = (
      aws_lambda_function.retrainer_function.memory_size == 10240
      && aws_lambda_function.retrainer_function.environment[0].variables["TRAINING_ROWS_MAX"] == "12000000"
    )
    error_message = "The retrainer must have the memory, and learn from as many rows as it holds."
  }

  assert {
    condition = (
      aws_apigatewayv2_route.http_route.authorization_type == "JWT"
      && aws_apigatewayv2_authorizer.http_authorizer[0].jwt_configuration[0].issuer == "https://issuer.example.org"
    )
    error_message = "Whoever names an issuer must have its tokens checked."
  }

  assert {
    condition = (
      aws_lambda_function.monitor_function.environment[0].variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://otlp.example.org"
      && nonsensitive(aws_lambda_function.monitor_function.environment[0].variables["OTEL_EXPORTER_OTLP_HEADERS"]) == "api-key=a,other=b=c"
    )
    error_message = "The monitor must know the collector and its headers."
  }

  assert {
    condition = alltrue([
      for function in [
        aws_lambda_function.scorer_function,
        aws_lambda_function.batch_predictor_function,
        aws_lambda_function.retrainer_function,
        aws_lambda_function.monitor_function,
        aws_lambda_function.web_function,
      ] : function.architectures == tolist(["x86_64"]) && function.logging_config[0].application_log_level == "DEBUG"
    ])
    error_message = "All functions have the one architecture and log level."
  }
}

run "canary" {
  command = plan

  variables {
    canary_deployments = true
    stable_versions    = { scorer = "3", web = "7" }
  }

  assert {
    condition = (
      aws_lambda_alias.scorer_function.function_version == "3"
      && aws_lambda_alias.scorer_function.routing_config[0].additional_version_weights == tomap({ "7" = 0.1 })
    )
    error_message = "A new version must have a tenth of the work beside the stable one."
  }

  assert {
    condition     = length(aws_lambda_alias.web_function.routing_config[0].additional_version_weights) == 0
    error_message = "A version is no canary beside itself."
  }

  assert {
    condition = (
      aws_lambda_alias.batch_predictor_function.function_version == "7"
      && length(aws_lambda_alias.batch_predictor_function.routing_config) == 0
    )
    error_message = "Without a stable version the newest one serves."
  }
}

run "no_canary" {
  command = plan

  variables {
    stable_versions = { scorer = "3" }
  }

  assert {
    condition     = aws_lambda_alias.scorer_function.function_version == "3" && length(aws_lambda_alias.scorer_function.routing_config) == 0
    error_message = "Nobody asked for a canary: the version that is named has all work."
  }
}

run "traces" {
  command = plan

  variables {
    tracing = true
  }

  assert {
    condition = alltrue([
      for function in [
        aws_lambda_function.scorer_function,
        aws_lambda_function.batch_predictor_function,
        aws_lambda_function.retrainer_function,
        aws_lambda_function.monitor_function,
        aws_lambda_function.web_function,
      ] : function.tracing_config[0].mode == "Active"
    ])
    error_message = "Functions must be traced."
  }

  assert {
    condition = (
      aws_sfn_state_machine.backfill_state_machine.tracing_configuration[0].enabled
      && aws_sfn_state_machine.training_state_machine.tracing_configuration[0].enabled
    )
    error_message = "State machines must be traced."
  }
}

run "network" {
  command = plan

  variables {
    subnet_ids         = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    security_group_ids = ["sg-0123456789abcdef0"]
  }

  assert {
    condition = alltrue([
      for function in [
        aws_lambda_function.scorer_function,
        aws_lambda_function.batch_predictor_function,
        aws_lambda_function.retrainer_function,
        aws_lambda_function.monitor_function,
        aws_lambda_function.web_function,
      ] :
      function.vpc_config[0].subnet_ids == toset(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"])
      && function.vpc_config[0].security_group_ids == toset(["sg-0123456789abcdef0"])
    ])
    error_message = "Every function must be in the VPC."
  }

  assert {
    condition = alltrue([
      for document in [
        data.aws_iam_policy_document.scorer_role,
        data.aws_iam_policy_document.batch_predictor_role,
        data.aws_iam_policy_document.retrainer_role,
        data.aws_iam_policy_document.monitor_role,
        data.aws_iam_policy_document.web_role,
      ] : document.source_policy_documents == tolist([data.aws_iam_policy_document.network[0].json])
    ])
    error_message = "Lambda must be able to put every function into the VPC."
  }
}

run "numbers" {
  command = plan

  variables {
    log_retention_days       = 30
    trips_visibility_seconds = 5
    model_age_hours_max      = 100
  }

  assert {
    condition     = aws_cloudwatch_log_group.scorer_log_group.retention_in_days == 30
    error_message = "Logs must be kept as long as asked."
  }

  assert {
    condition     = aws_sqs_queue.trips_queue.visibility_timeout_seconds == 5
    error_message = "Messages must come back after the time asked."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.model_age_alarm.threshold == 100
    error_message = "A champion's age must alarm at the hours asked."
  }
}

run "boundary" {
  command = plan

  variables {
    permissions_boundary = "arn:aws:iam::111122223333:policy/deploy/tripcast-boundary"
  }

  assert {
    condition = alltrue([
      for role in [
        aws_iam_role.scorer_role,
        aws_iam_role.batch_predictor_role,
        aws_iam_role.retrainer_role,
        aws_iam_role.monitor_role,
        aws_iam_role.web_role,
        aws_iam_role.schedule_role,
      ] : role.permissions_boundary == "arn:aws:iam::111122223333:policy/deploy/tripcast-boundary"
    ])
    error_message = "Every role must be bounded: deploy-role/ makes no other."
  }
}
