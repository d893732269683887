# Who may assume what: a token of GitHub's says of which repository it is, and in its `sub` for which environment or event.

locals {
  # Numbers where GitHub puts them: a name that somebody else takes over later is no longer this repository's.
  subject_prefix    = coalesce(var.github_subject_prefix, "repo:${var.github_repository}")
  oidc_provider_arn = var.oidc_provider_arn == "" ? aws_iam_openid_connect_provider.github[0].arn : var.oidc_provider_arn
}

# AWS knows GitHub's certificate authorities by itself: no thumbprint that outlives its certificate.
resource "aws_iam_openid_connect_provider" "github" {
  count = var.oidc_provider_arn == "" ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# Whatever a pull request of the repository contains, its workflow gets this role: it can read, and nothing that is secret.
resource "aws_iam_role" "plan" {
  name                 = "${var.application}-plan"
  path                 = "/deploy/"
  description          = "Plans for pull requests of ${var.github_repository}"
  assume_role_policy   = data.aws_iam_policy_document.plan_trust.json
  max_session_duration = 3600
}

data "aws_iam_policy_document" "plan_trust" {
  statement {
    sid     = "PullRequests"
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["${local.subject_prefix}:pull_request"]
    }
  }
}

# One an environment: what GitHub asks of a run before it enters `prod` (reviewers, branches, tags) stands between a workflow
# and the production stack, and no run in `dev` gets round it.
resource "aws_iam_role" "deploy" {
  for_each = var.environments

  name                 = "${var.application}-deploy-${each.key}"
  path                 = "/deploy/"
  description          = "Deployments of ${each.value} from ${var.github_repository}, environment ${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.deploy_trust[each.key].json
  max_session_duration = 3600
}

data "aws_iam_policy_document" "deploy_trust" {
  for_each = var.environments

  statement {
    sid     = "Environment"
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["${local.subject_prefix}:environment:${each.key}"]
    }
  }
}
