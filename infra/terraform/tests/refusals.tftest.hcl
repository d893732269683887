# Values that are refused before anything is created. A run fails if one of its values is accepted.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  packages = "tests/packages"
}

run "words_that_mean_nothing" {
  command = plan

  variables {
    permissions_boundary  = "arn:aws:iam::111122223333:role/tripcast"
    architecture          = "mips"
    application_log_level = "LOUD"
    taxi                  = "blue"
    training_windows      = "one,two"
    mlflow_tracking_uri   = "mlflow.example.org"
    mlflow_secret_arn     = "password"
    otlp_endpoint         = "otlp.example.org"
    jwt_issuer            = "issuer.example.org"
    otlp_headers          = "key"
    alarm_email           = "on-call"
    subnet_ids            = ["vpc-0123456789abcdef0"]
    security_group_ids    = ["sg-0123456789abcdef0"]
    stable_versions       = { retrainer = "3" }
    packages              = "tests/none"
    name                  = "Tripcast"
  }

  expect_failures = [
    var.permissions_boundary,
    var.architecture,
    var.application_log_level,
    var.taxi,
    var.training_windows,
    var.mlflow_tracking_uri,
    var.mlflow_secret_arn,
    var.otlp_endpoint,
    var.jwt_issuer,
    var.otlp_headers,
    var.alarm_email,
    var.subnet_ids,
    var.stable_versions,
    var.packages,
    var.name,
  ]
}

run "too_little" {
  command = plan

  variables {
    name                        = "t"
    training_windows            = ""
    model_refresh_seconds       = -1
    trips_visibility_seconds    = -1
    scorer_concurrency_max      = 1
    jwt_issuer                  = "https://issuer.example.org"
    requests_per_second_max     = 0
    scorer_reserved_concurrency = -1
    model_age_hours_max         = 23
    log_retention_days          = 0
    training_rows_max           = 9999
    retrainer_memory            = 1023
    security_group_ids          = ["sg-0123456789abcdef0"]
  }

  expect_failures = [
    var.name,
    var.training_windows,
    var.model_refresh_seconds,
    var.trips_visibility_seconds,
    var.scorer_concurrency_max,
    var.jwt_audience,
    var.requests_per_second_max,
    var.scorer_reserved_concurrency,
    var.model_age_hours_max,
    var.log_retention_days,
    var.training_rows_max,
    var.retrainer_memory,
    var.security_group_ids,
  ]
}

run "too_much" {
  command = plan

  variables {
    name                     = "abcdefghijklmnopqrstuvwxy"
    training_windows         = "1,3,"
    trips_visibility_seconds = 43201
    scorer_concurrency_max   = 1001
    log_retention_days       = 3654
    training_rows_max        = 16000001
    retrainer_memory         = 10241
  }

  expect_failures = [
    var.name,
    var.training_windows,
    var.trips_visibility_seconds,
    var.scorer_concurrency_max,
    var.log_retention_days,
    var.training_rows_max,
    var.retrainer_memory,
  ]
}

run "fractions_and_gaps" {
  command = plan

  variables {
    name                        = "tripcast-"
    model_refresh_seconds       = 0.5
    trips_visibility_seconds    = 1.5
    scorer_concurrency_max      = 2.5
    scorer_reserved_concurrency = 0.5
    log_retention_days          = 31
    training_rows_max           = 10000.5
    retrainer_memory            = 1024.5
  }

  expect_failures = [
    var.name,
    var.model_refresh_seconds,
    var.trips_visibility_seconds,
    var.scorer_concurrency_max,
    var.scorer_reserved_concurrency,
    var.log_retention_days,
    var.training_rows_max,
    var.retrainer_memory,
  ]
}
