# Training step by step: the state machine -> retrainer for the gates, for each fit, and for the decision.

# Started by `tripcast retrain --state-machine` or by hand, with {} or {"now": "2021-03-15", "target": "tip"}. The schedule
# invokes the retrainer once for all steps, which is enough for green taxis; both lead to the same models.
resource "aws_sfn_state_machine" "training_state_machine" {
  #checkov:skip=CKV_AWS_284:Traces are paid for; the variable tracing turns them on
  name     = "${var.name}-training"
  type     = "STANDARD"
  role_arn = aws_iam_role.training_role.arn

  definition = jsonencode({
    Comment = "Retrains, with an invocation for each fit"
    StartAt = "Begin"
    States = {
      # It records its failures itself, and a repeated beginning is another run: it is repeated only where Lambda, not the function, failed.
      Begin = {
        Type     = "Task"
        Resource = aws_lambda_function.retrainer_function.arn
        Parameters = {
          pipeline = {
            step        = "begin"
            "request.$" = "$"
            "name.$"    = "$$.Execution.Name"
          }
        }
        TimeoutSeconds = 930
        Retry = [
          {
            ErrorEquals     = ["Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException"]
            IntervalSeconds = 2
            MaxAttempts     = 10
            BackoffRate     = 2
            MaxDelaySeconds = 60
            JitterStrategy  = "FULL"
          },
        ]
        Next = "AnythingToDo"
      }
      AnythingToDo = {
        Type = "Choice"
        Choices = [
          {
            Variable      = "$.nothing_to_do"
            BooleanEquals = true
            Next          = "NothingToDo"
          },
        ]
        Default = "WhichFits"
      }
      NothingToDo = {
        Type = "Succeed"
      }
      WhichFits = {
        Type     = "Task"
        Resource = aws_lambda_function.retrainer_function.arn
        Parameters = {
          pipeline = {
            step    = "next"
            "run.$" = "$.run"
          }
        }
        TimeoutSeconds = 930
        Retry = [
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
            IntervalSeconds = 5
            MaxAttempts     = 2
            BackoffRate     = 3
          },
        ]
        Catch = [
          {
            ErrorEquals = ["States.ALL"]
            ResultPath  = "$.error"
            Next        = "Abandon"
          },
        ]
        Next = "AllDone"
      }
      AllDone = {
        Type = "Choice"
        Choices = [
          {
            Variable      = "$.done"
            BooleanEquals = true
            Next          = "Judge"
          },
        ]
        Default = "Fits"
      }
      Fits = {
        Type      = "Map"
        ItemsPath = "$.tasks"
        ItemSelector = {
          "run.$"  = "$.run"
          "task.$" = "$$.Map.Item.Value"
        }
        # A new account runs ten functions at once, and messages go on.
        MaxConcurrency = 4
        ItemProcessor = {
          ProcessorConfig = {
            Mode = "INLINE"
          }
          StartAt = "Fit"
          States = {
            Fit = {
              Type     = "Task"
              Resource = aws_lambda_function.retrainer_function.arn
              Parameters = {
                pipeline = {
                  step        = "fit"
                  "run.$"     = "$.run"
                  "task.$"    = "$.task"
                  "retries.$" = "$$.State.RetryCount"
                }
              }
              TimeoutSeconds = 930
              Retry = [
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
                  IntervalSeconds = 5
                  MaxAttempts     = 2
                  BackoffRate     = 3
                },
              ]
              End = true
            }
          }
        }
        ResultPath = "$.fitted"
        Catch = [
          {
            ErrorEquals = ["States.ALL"]
            ResultPath  = "$.error"
            Next        = "Abandon"
          },
        ]
        Next = "WhichFits"
      }
      Judge = {
        Type     = "Task"
        Resource = aws_lambda_function.retrainer_function.arn
        Parameters = {
          pipeline = {
            step    = "judge"
            "run.$" = "$.run"
          }
        }
        TimeoutSeconds = 930
        Retry = [
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
            IntervalSeconds = 5
            MaxAttempts     = 2
            BackoffRate     = 3
          },
        ]
        Catch = [
          {
            ErrorEquals = ["States.ALL"]
            ResultPath  = "$.error"
            Next        = "Abandon"
          },
        ]
        End = true
      }
      # The record of the run says why it ended.
      Abandon = {
        Type     = "Task"
        Resource = aws_lambda_function.retrainer_function.arn
        Parameters = {
          pipeline = {
            step      = "abandon"
            "run.$"   = "$.run"
            "error.$" = "$.error"
          }
        }
        ResultPath     = "$.abandoned"
        TimeoutSeconds = 930
        Retry = [
          {
            ErrorEquals     = ["States.ALL"]
            IntervalSeconds = 5
            MaxAttempts     = 3
            BackoffRate     = 3
          },
        ]
        Next = "Failed"
      }
      Failed = {
        Type      = "Fail"
        ErrorPath = "$.error.Error"
        CausePath = "$.error.Cause"
      }
    }
  })

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.training_log_group.arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing
  }

  # Step Functions checks that the role may deliver logs, and refuses it otherwise.
  depends_on = [aws_iam_role_policy.training_role]
}

resource "aws_iam_role" "training_role" {
  name                 = "${var.name}-training"
  assume_role_policy   = data.aws_iam_policy_document.states_assumes.json
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "training_role" {
  name   = "training"
  role   = aws_iam_role.training_role.name
  policy = data.aws_iam_policy_document.training_role.json
}

data "aws_iam_policy_document" "training_role" {
  statement {
    sid       = "InvokeRetrainer"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.retrainer_function.arn]
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

resource "aws_cloudwatch_log_group" "training_log_group" {
  name              = "/aws/vendedlogs/states/${var.name}-training"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.key.arn
}
