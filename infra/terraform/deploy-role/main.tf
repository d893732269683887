# Whom GitHub's workflows become on AWS. Applied once an account, by a person who may make roles; apart from the application,
# so that no deployment can widen what deployments may.
#
# Roles and policies lie below the path /deploy/: the names that a deployment may make, <stack>-*, never match them.

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
  # "arn:aws:sqs:us-east-1:111122223333:" and so on are made of these.
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  place     = "${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"
}
