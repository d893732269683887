# New code: the alias `live` of what answers is what is invoked. CloudFormation has CodeDeploy to move it; here tools/deploy/canary.py leads.
#
# While new code has a tenth of the work, stable_versions names the versions that have the rest.

resource "aws_lambda_alias" "batch_predictor_function" {
  name             = "live"
  function_name    = aws_lambda_function.batch_predictor_function.function_name
  function_version = lookup(var.stable_versions, "batch-predictor", aws_lambda_function.batch_predictor_function.version)

  dynamic "routing_config" {
    for_each = var.canary_deployments ? compact([lookup(var.stable_versions, "batch-predictor", "")]) : []

    content {
      additional_version_weights = {
        for version in [aws_lambda_function.batch_predictor_function.version] : version => 0.1 if version != routing_config.value
      }
    }
  }
}

resource "aws_lambda_alias" "scorer_function" {
  name             = "live"
  function_name    = aws_lambda_function.scorer_function.function_name
  function_version = lookup(var.stable_versions, "scorer", aws_lambda_function.scorer_function.version)

  dynamic "routing_config" {
    for_each = var.canary_deployments ? compact([lookup(var.stable_versions, "scorer", "")]) : []

    content {
      additional_version_weights = {
        for version in [aws_lambda_function.scorer_function.version] : version => 0.1 if version != routing_config.value
      }
    }
  }
}

resource "aws_lambda_alias" "web_function" {
  name             = "live"
  function_name    = aws_lambda_function.web_function.function_name
  function_version = lookup(var.stable_versions, "web", aws_lambda_function.web_function.version)

  dynamic "routing_config" {
    for_each = var.canary_deployments ? compact([lookup(var.stable_versions, "web", "")]) : []

    content {
      additional_version_weights = {
        for version in [aws_lambda_function.web_function.version] : version => 0.1 if version != routing_config.value
      }
    }
  }
}
