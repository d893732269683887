# The same application as in template.yaml, which is the reference; a test compares them
# (tests/system/deployments.rs). Resources have the names of the template's logical ids, in snake case.
#
# This folder is a module: it has no provider and no backend. stages/ has the roots that use it.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_iam_policy_document" "lambda_assumes" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}
