# --- for SAM these are set on the command line, so the template has no parameters for them ---

variable "name" {
  type        = string
  default     = "tripcast"
  nullable    = false
  description = "Name of the stack: all its resources' names begin with it"

  validation {
    # A bucket prefix has at most 37 characters, and the longest suffix here is "-access-logs-".
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 24 lower case letters, digits and hyphens, a letter first, no hyphen last."
  }
}

variable "packages" {
  type        = string
  nullable    = false
  description = "Folder with <function>/bootstrap.zip, as `make build` leaves it"

  validation {
    condition = alltrue([
      for function in ["scorer", "batch-predictor", "retrainer", "monitor", "web"] :
      fileexists("${var.packages}/${function}/bootstrap.zip")
    ])
    error_message = "packages must hold scorer/, batch-predictor/, retrainer/, monitor/ and web/bootstrap.zip; make them with `make build`."
  }
}

variable "permissions_boundary" {
  type        = string
  default     = ""
  nullable    = false
  description = "ARN of the policy that bounds the roles made here, as deploy-role/ asks for; none if empty"

  validation {
    condition     = can(regex("^(arn:[^:]+:iam::([0-9]{12}|aws):policy/.+)?$", var.permissions_boundary))
    error_message = "permissions_boundary must be the ARN of an IAM policy, or empty."
  }
}

variable "stable_versions" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Versions that serve while newer ones have a tenth of the work, by scorer, batch-predictor and web; tools/deploy states them for a canary"

  validation {
    condition     = alltrue([for function in keys(var.stable_versions) : contains(["scorer", "batch-predictor", "web"], function)])
    error_message = "stable_versions must be those of scorer, batch-predictor or web."
  }
}

# --- parameters of the template ---

variable "architecture" {
  type        = string
  default     = "arm64"
  nullable    = false
  description = "Processor the bootstraps are built for"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "application_log_level" {
  type        = string
  default     = "INFO"
  nullable    = false
  description = "Lambda hands it to the functions as AWS_LAMBDA_LOG_LEVEL"

  validation {
    condition     = contains(["TRACE", "DEBUG", "INFO"], var.application_log_level)
    error_message = "application_log_level must be TRACE, DEBUG or INFO: above, Lambda would drop the lines that metrics are made of."
  }
}

variable "canary_deployments" {
  type        = bool
  default     = false
  nullable    = false
  description = "Whether new code of what answers has a tenth of the work for a quarter of an hour, and goes back if its alarms ring"
}

variable "tracing" {
  type        = bool
  default     = false
  nullable    = false
  description = "Whether X-Ray traces a share of what functions and state machines do, which is paid by the trace"
}

variable "log_retention_days" {
  type        = number
  default     = 365
  nullable    = false
  description = "Days for which the functions' logs are kept"

  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.log_retention_days,
    )
    error_message = "log_retention_days must be a span that CloudWatch Logs knows, such as 30, 90 or 365."
  }
}

variable "model_refresh_seconds" {
  type        = number
  default     = 30
  nullable    = false
  description = "How often a warm scorer asks whether the champion has changed"

  validation {
    condition     = var.model_refresh_seconds >= 0 && floor(var.model_refresh_seconds) == var.model_refresh_seconds
    error_message = "model_refresh_seconds must be a whole number from 0."
  }
}

variable "trips_visibility_seconds" {
  type        = number
  default     = 200
  nullable    = false
  description = "In production at least six scorer timeouts (30 s) plus the batching window (1 s)"

  validation {
    condition = (
      var.trips_visibility_seconds >= 0 && var.trips_visibility_seconds <= 43200
      && floor(var.trips_visibility_seconds) == var.trips_visibility_seconds
    )
    error_message = "trips_visibility_seconds must be a whole number from 0 to 43200."
  }
}

variable "scorer_concurrency_max" {
  type        = number
  default     = 10
  nullable    = false
  description = "Scorers that the queue may run at once"

  validation {
    condition = (
      var.scorer_concurrency_max >= 2 && var.scorer_concurrency_max <= 1000
      && floor(var.scorer_concurrency_max) == var.scorer_concurrency_max
    )
    error_message = "scorer_concurrency_max must be a whole number from 2 to 1000."
  }
}

variable "scorer_reserved_concurrency" {
  type        = number
  default     = null
  description = "Concurrency reserved for the scorer; none if null (a new account has 10, and must keep them unreserved)"

  validation {
    # A conditional, because before Terraform 1.12 both sides of `||` are evaluated, which would compare null with 0.
    condition = var.scorer_reserved_concurrency == null ? true : (
      var.scorer_reserved_concurrency >= 0
      && floor(var.scorer_reserved_concurrency) == var.scorer_reserved_concurrency
    )
    error_message = "scorer_reserved_concurrency must be a whole number from 0, or null."
  }
}

variable "stream_shards" {
  type        = number
  default     = 0
  nullable    = false
  description = "Shards of a Kinesis stream for trips and of one for their predictions, which are paid by the hour; no streams if 0"

  validation {
    condition     = var.stream_shards >= 0 && var.stream_shards <= 500 && floor(var.stream_shards) == var.stream_shards
    error_message = "stream_shards must be a whole number from 0 to 500."
  }
}

variable "keep_answers" {
  type        = bool
  default     = false
  nullable    = false
  description = "Whether predictions of messages are kept for labels that come later, one object for each batch"
}

variable "taxi" {
  type        = string
  default     = "green"
  nullable    = false
  description = "The taxis that models are for; months of fhvhv (HVFHV) take a retrainer of 10240 MB, or AWS Batch (infra/batch)"

  validation {
    condition     = contains(["green", "yellow", "fhvhv"], var.taxi)
    error_message = "taxi must be green, yellow or fhvhv."
  }
}

variable "training_windows" {
  type        = string
  default     = "1,3,12"
  nullable    = false
  description = "Spans of months that a retraining chooses from, by commas"

  validation {
    condition     = can(regex("^[0-9]+(,[0-9]+)*$", var.training_windows))
    error_message = "training_windows must be numbers by commas, such as 1,3,12."
  }
}

variable "training_rows_max" {
  type        = number
  default     = 4000000
  nullable    = false
  description = "Rows to learn from at most, of more a share is drawn; 3,008 MB hold 4,000,000, and more in proportion"

  validation {
    condition = (
      var.training_rows_max >= 10000 && var.training_rows_max <= 16000000
      && floor(var.training_rows_max) == var.training_rows_max
    )
    error_message = "training_rows_max must be a whole number from 10000 to 16000000."
  }
}

variable "retrainer_memory" {
  type        = number
  default     = 3008
  nullable    = false
  description = "Memory of the retrainer in MB"

  validation {
    # An account that asked for no more has 3,008 MB; 1,769 MB come with a processor each.
    condition = (
      var.retrainer_memory >= 1024 && var.retrainer_memory <= 10240 && floor(var.retrainer_memory) == var.retrainer_memory
    )
    error_message = "retrainer_memory must be a whole number from 1024 to 10240."
  }
}

variable "mlflow_tracking_uri" {
  type        = string
  default     = ""
  nullable    = false
  description = "MLflow server that is told of every retraining (http:// or https://); none if empty"

  validation {
    condition     = can(regex("^(https?://.+)?$", var.mlflow_tracking_uri))
    error_message = "mlflow_tracking_uri must begin with http:// or https://, or be empty."
  }
}

variable "mlflow_secret_arn" {
  type        = string
  default     = ""
  nullable    = false
  description = "Secret of Secrets Manager with its username and password, or token, as JSON; none if empty"

  validation {
    condition     = can(regex("^(arn:[^:]+:secretsmanager:.+)?$", var.mlflow_secret_arn))
    error_message = "mlflow_secret_arn must be the ARN of a secret of Secrets Manager, or be empty."
  }
}

variable "jwt_issuer" {
  type        = string
  default     = ""
  nullable    = false
  description = "Issuer of the tokens (JWT) that callers of the HTTP API show; IAM signs their requests if empty"

  validation {
    condition     = can(regex("^(https://.+)?$", var.jwt_issuer))
    error_message = "jwt_issuer must begin with https://, or be empty."
  }
}

variable "jwt_audience" {
  type        = string
  default     = ""
  nullable    = false
  description = "Audience of those tokens"

  validation {
    condition     = (var.jwt_issuer == "") == (var.jwt_audience == "")
    error_message = "jwt_audience must be stated with jwt_issuer, and only then."
  }
}

variable "requests_per_second_max" {
  type        = number
  default     = 50
  nullable    = false
  description = "Requests that the HTTP API takes in a second; more are answered with 429"

  validation {
    condition     = var.requests_per_second_max >= 1 && var.requests_per_second_max <= 10000 && floor(var.requests_per_second_max) == var.requests_per_second_max
    error_message = "requests_per_second_max must be a whole number from 1 to 10000."
  }
}

variable "otlp_endpoint" {
  type        = string
  default     = ""
  nullable    = false
  description = "OpenTelemetry collector that the monitor's figures are sent to (OTLP over HTTP); none if empty"

  validation {
    condition     = can(regex("^(https?://.+)?$", var.otlp_endpoint))
    error_message = "otlp_endpoint must begin with http:// or https://, or be empty."
  }
}

variable "otlp_headers" {
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  description = "Headers of those requests, name=value by commas, such as a key"

  validation {
    condition     = can(regex("^([^=,]+=[^,]*(,[^=,]+=[^,]*)*)?$", var.otlp_headers))
    error_message = "otlp_headers must be name=value by commas, or be empty."
  }
}

variable "alarm_email" {
  type        = string
  default     = ""
  nullable    = false
  description = "Address that alarms are mailed to, after it has confirmed; none if empty"

  validation {
    condition     = can(regex("^(.+@.+)?$", var.alarm_email))
    error_message = "alarm_email must be an address, or empty."
  }
}

variable "model_age_hours_max" {
  type        = number
  default     = 2928
  nullable    = false
  description = "Hours after which an unchanged champion alarms; 2928 are four retrainings that found nothing better"

  validation {
    condition     = var.model_age_hours_max >= 24
    error_message = "model_age_hours_max must be at least 24."
  }
}

variable "subnet_ids" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Subnets of a VPC that the functions run in, with ways to S3 and the other services that they call; no VPC if empty"

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids must be ids of subnets, such as subnet-0123456789abcdef0."
  }
}

variable "security_group_ids" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Security groups of the functions in those subnets; they need HTTPS to the outside, and nothing from it"

  validation {
    condition     = (length(var.subnet_ids) == 0) == (length(var.security_group_ids) == 0)
    error_message = "security_group_ids must be stated with subnet_ids, and only then."
  }

  validation {
    condition     = alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "security_group_ids must be ids of security groups, such as sg-0123456789abcdef0."
  }
}
