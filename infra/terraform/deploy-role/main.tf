# Roles that GitHub's workflows assume on AWS. A person who may create roles applies this configuration once per
# account. It is separate from the application, so that no deployment can widen the permissions of deployments.
#
# Roles and policies have the path /deploy/, so the names that a deployment may create, <stack>-*, never match them.

provider "aws" {
  region = var.region

  default_tags {
    tags = var.tags
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  # Parts of ARNs, such as "arn:aws:sqs:us-east-1:111122223333:".
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  place     = "${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"
}
