# Trust policies: GitHub's token states the repository and, in its `sub`, the environment or the event of the run.

locals {
  # Contains numeric ids if GitHub's subjects do, so that somebody who takes over the name later is not trusted.
  subject_prefix    = coalesce(var.github_subject_prefix, "repo:${var.github_repository}")
  oidc_provider_arn = var.oidc_provider_arn == "" ? aws_iam_openid_connect_provider.github[0].arn : var.oidc_provider_arn
}

# AWS trusts GitHub's certificate authorities itself, so no thumbprint is needed, which could outlive its certificate.
resource "aws_iam_openid_connect_provider" "github" {
  count = var.oidc_provider_arn == "" ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# The workflow of any pull request of the repository gets this role, whatever it contains, so it can only read, and no
# secrets.
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

# One role per environment: a run has to pass the rules of GitHub's environment `prod` (reviewers, branches, tags) to
# reach the production stack, and a run in `dev` cannot bypass them.
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
