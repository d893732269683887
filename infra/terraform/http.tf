# Predictions over HTTP: an API -> web.

resource "aws_apigatewayv2_api" "http_api" {
  name          = "${var.name}-http"
  description   = "Predictions over HTTP"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "http_integration" {
  api_id                 = aws_apigatewayv2_api.http_api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_alias.web_function.arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 29000
}

resource "aws_apigatewayv2_authorizer" "http_authorizer" {
  count            = var.jwt_issuer == "" ? 0 : 1
  api_id           = aws_apigatewayv2_api.http_api.id
  name             = "jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = var.jwt_issuer
    audience = [var.jwt_audience]
  }
}

resource "aws_apigatewayv2_route" "http_route" {
  api_id             = aws_apigatewayv2_api.http_api.id
  route_key          = "$default"
  target             = "integrations/${aws_apigatewayv2_integration.http_integration.id}"
  authorization_type = var.jwt_issuer == "" ? "AWS_IAM" : "JWT"
  authorizer_id      = one(aws_apigatewayv2_authorizer.http_authorizer[*].id)
}

resource "aws_apigatewayv2_stage" "http_stage" {
  #checkov:skip=CKV_AWS_76:Metrics count requests, and who deploys would need rights on all log deliveries of the account
  api_id      = aws_apigatewayv2_api.http_api.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.requests_per_second_max
    throttling_burst_limit = var.requests_per_second_max
  }
}

resource "aws_lambda_permission" "http_permission" {
  statement_id  = "http"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.web_function.function_name
  qualifier     = aws_lambda_alias.web_function.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "arn:${data.aws_partition.current.partition}:execute-api:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:${aws_apigatewayv2_api.http_api.id}/*"
}

resource "aws_lambda_function" "web_function" {
  #checkov:skip=CKV_AWS_115:The HTTP API limits its requests, and a new account has no concurrency to give
  #checkov:skip=CKV_AWS_116:A caller waits for the answer, and gets the failure itself
  #checkov:skip=CKV_AWS_117:subnet_ids put it into one; by default it talks to AWS without, since endpoints of a VPC are paid by the hour
  #checkov:skip=CKV_AWS_173:No secret is among them, and Lambda encrypts them with a key of its own
  #checkov:skip=CKV_AWS_272:Packages are attested where they are built, and verified before a deployment (deploy.yml)
  function_name    = "${var.name}-web"
  description      = "Trips to predictions, over HTTP"
  role             = aws_iam_role.web_role.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = "${var.packages}/web/bootstrap.zip"
  source_code_hash = filebase64sha256("${var.packages}/web/bootstrap.zip")
  memory_size      = 512
  timeout          = 28
  publish          = true

  logging_config {
    log_format            = "JSON"
    application_log_level = var.application_log_level
    log_group             = aws_cloudwatch_log_group.web_log_group.name
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
      MODEL_REFRESH_SECONDS = var.model_refresh_seconds
    }
  }

  # A function that is invoked at once may do its work.
  depends_on = [aws_iam_role_policy.web_role]
}

resource "aws_iam_role" "web_role" {
  name                 = "${var.name}-web"
  assume_role_policy   = data.aws_iam_policy_document.lambda_assumes.json
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "web_role" {
  name   = "web"
  role   = aws_iam_role.web_role.name
  policy = data.aws_iam_policy_document.web_role.json
}

data "aws_iam_policy_document" "web_role" {
  source_policy_documents = data.aws_iam_policy_document.network[*].json

  statement {
    sid     = "ReadModels"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.model_bucket.arn}/*/aliases/*",
      "${aws_s3_bucket.model_bucket.arn}/*/versions/*",
    ]
  }

  # Also, S3 answers 403 for a missing key to who may not list, so "no champion yet" would look like a lack of permission.
  statement {
    sid       = "ListModels"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.model_bucket.arn]
  }

  # Used by S3 on behalf of this role, because objects are encrypted with the key.
  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.key.arn]
  }

  statement {
    sid = "WriteLogs"
    actions = [
      "logs:CreateLogStream",
      "logs:PutLogEvents",
    ]
    resources = ["${aws_cloudwatch_log_group.web_log_group.arn}:*"]
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

resource "aws_cloudwatch_log_group" "web_log_group" {
  name              = "/aws/lambda/${var.name}-web"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.key.arn
}
