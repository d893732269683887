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

# What Lambda does on behalf of a function's role where subnets are named; the interfaces have no names beforehand.
data "aws_iam_policy_document" "network" {
  count = length(var.subnet_ids) == 0 ? 0 : 1

  statement {
    sid = "UseNetwork"
    actions = [
      "ec2:AssignPrivateIpAddresses",
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:UnassignPrivateIpAddresses",
    ]
    resources = ["*"]
  }
}
