# Tests who may assume the roles, and what the roles permit. Needs Terraform 1.11 (override_during).

mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = {
      account_id = "111122223333"
    }
  }

  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }

  mock_data "aws_region" {
    defaults = {
      id = "us-east-1"
    }
  }

  mock_data "aws_iam_policy_document" {
    defaults = {
      json = "{\"Version\": \"2012-10-17\", \"Statement\": []}"
    }
  }

  mock_resource "aws_iam_policy" {
    defaults = {
      arn = "arn:aws:iam::111122223333:policy/deploy/mock"
    }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = {
      arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
    }
  }
}

variables {
  github_repository = "acme/tripcast"
  state_bucket      = "acme-terraform-states"
}

run "one_repository_may_come_in" {
  command = plan

  assert {
    condition = alltrue([
      for document in concat([data.aws_iam_policy_document.plan_trust], values(data.aws_iam_policy_document.deploy_trust)) :
      length(document.statement) == 1 && document.statement[0].actions == toset(["sts:AssumeRoleWithWebIdentity"])
      && alltrue([for condition in document.statement[0].condition : condition.test == "StringEquals"])
    ])
    error_message = "Roles are assumed with a token of GitHub's alone, compared letter by letter."
  }

  assert {
    condition = {
      for environment, document in data.aws_iam_policy_document.deploy_trust : environment => flatten([
        for condition in document.statement[0].condition : condition.values if endswith(condition.variable, ":sub")
      ])
      } == {
      dev  = ["repo:acme/tripcast:environment:dev"]
      prod = ["repo:acme/tripcast:environment:prod"]
    }
    error_message = "An environment may deploy its own stack only."
  }

  assert {
    condition = flatten([
      for condition in data.aws_iam_policy_document.plan_trust.statement[0].condition : condition.values
      if endswith(condition.variable, ":sub")
    ]) == ["repo:acme/tripcast:pull_request"]
    error_message = "Pull requests of the repository may plan, and nothing else."
  }

  assert {
    condition = alltrue([
      for document in concat([data.aws_iam_policy_document.plan_trust], values(data.aws_iam_policy_document.deploy_trust)) :
      flatten([
        for condition in document.statement[0].condition : condition.values if endswith(condition.variable, ":aud")
      ]) == ["sts.amazonaws.com"]
    ])
    error_message = "A token for somebody else is none for AWS."
  }
}

run "numbers_in_a_subject_are_compared_too" {
  command = plan

  variables {
    github_subject_prefix = "repo:acme@12/tripcast@34"
  }

  assert {
    condition = {
      for environment, document in data.aws_iam_policy_document.deploy_trust : environment => flatten([
        for condition in document.statement[0].condition : condition.values if endswith(condition.variable, ":sub")
      ])
      } == {
      dev  = ["repo:acme@12/tripcast@34:environment:dev"]
      prod = ["repo:acme@12/tripcast@34:environment:prod"]
    }
    error_message = "Tokens of newer repositories have numbers in their subject."
  }

  assert {
    condition = flatten([
      for condition in data.aws_iam_policy_document.plan_trust.statement[0].condition : condition.values
      if endswith(condition.variable, ":sub")
    ]) == ["repo:acme@12/tripcast@34:pull_request"]
    error_message = "Tokens of newer repositories have numbers in their subject."
  }
}

run "a_subject_of_anybody_is_refused" {
  command         = plan
  expect_failures = [var.github_subject_prefix]

  variables {
    github_subject_prefix = "repo:acme/*"
  }
}

run "roles_reach_their_own_stack" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for documents in [
        data.aws_iam_policy_document.read, data.aws_iam_policy_document.write, data.aws_iam_policy_document.write_around, data.aws_iam_policy_document.sam,
        data.aws_iam_policy_document.boundary,
      ] :
      [for document in values(documents) : [for statement in document.statement : [for action in statement.actions : !strcontains(action, "*")]]]
    ]))
    error_message = "What is allowed is named."
  }

  # A statement for all resources needs a condition, unless it only reads certain metadata, only writes traces, or makes interfaces in
  # a VPC.
  assert {
    condition = alltrue(flatten([
      for documents in [
        data.aws_iam_policy_document.read, data.aws_iam_policy_document.write, data.aws_iam_policy_document.write_around, data.aws_iam_policy_document.sam,
        data.aws_iam_policy_document.boundary,
      ] :
      [
        for document in values(documents) : [
          for statement in document.statement :
          length(statement.condition) > 0
          || contains(
            ["DeliverLogs", "FindLogGroupsAndSubscriptions", "FindNetworks", "ListKinds", "LookAtLakeFormation", "UseNetwork", "WriteTraces"],
            statement.sid,
          )
          if contains(statement.resources, "*")
        ]
      ]
    ]))
    error_message = "What may be done to anything needs a condition."
  }

  assert {
    condition = alltrue([
      for statement in concat(data.aws_iam_policy_document.write["dev"].statement, data.aws_iam_policy_document.write_around["dev"].statement) :
      contains(["TagMappings", "WriteHttpApis"], statement.sid) || length(statement.condition) > 0
      || alltrue([
        for resource in statement.resources :
        # A database's name has _ for -, and Glue asks for the catalog beside it.
        strcontains(replace(resource, "_", "-"), "tripcast-dev") || endswith(resource, ":catalog")
      ])
    ])
    error_message = "Deployments of dev change what is called after dev's stack."
  }

  assert {
    condition = alltrue(flatten([
      for document in values(data.aws_iam_policy_document.read) : [
        for statement in document.statement : [
          for action in statement.actions :
          can(regex("^[a-z0-9]+:(Get|List|Describe|Validate)", action)) || action == "apigateway:GET"
        ]
      ]
    ]))
    error_message = "Who plans for a pull request only looks."
  }

  assert {
    condition = alltrue(flatten([
      for document in values(data.aws_iam_policy_document.read) : [
        for statement in document.statement : statement.sid == "ReadState" || !contains(statement.actions, "s3:GetObject")
      ]
    ]))
    error_message = "Who plans for a pull request reads no trips and no models."
  }
}

run "deployments_cannot_rise" {
  command = plan

  # With unconditional CreateRole or PutRolePolicy, a deployment could create a role that may do anything.
  assert {
    condition = alltrue(flatten([
      for document in concat(values(data.aws_iam_policy_document.write), values(data.aws_iam_policy_document.write_around)) : [
        for statement in document.statement : anytrue([
          for condition in statement.condition : condition.variable == "iam:PermissionsBoundary"
        ])
        if length(setintersection(statement.actions, ["iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"])) > 0
      ]
    ]))
    error_message = "Roles must be made with the boundary."
  }

  assert {
    condition = length(setintersection(
      flatten([for document in concat(values(data.aws_iam_policy_document.write), values(data.aws_iam_policy_document.write_around)) : [for statement in document.statement : tolist(statement.actions)]]),
      [
        "iam:AttachRolePolicy",
        "iam:CreatePolicyVersion",
        "iam:DeleteRolePermissionsBoundary",
        "kms:CreateGrant",
        "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion",
        "s3:DeleteBucket",
      ],
    )) == 0
    error_message = "Deployments may neither widen a role, nor open the key, nor destroy what lasts."
  }

  assert {
    condition = alltrue(flatten([
      for document in concat(values(data.aws_iam_policy_document.write), values(data.aws_iam_policy_document.write_around)) : [
        for statement in document.statement : [
          for resource in statement.resources :
          can(regex("^arn:aws:iam::111122223333:role/tripcast(-dev)?-\\*$", resource))
        ]
        if anytrue([for action in statement.actions : startswith(action, "iam:")])
      ]
    ]))
    error_message = "Deployments may not touch the roles that deploy."
  }

  assert {
    condition     = aws_iam_role.plan.path == "/deploy/" && alltrue([for role in aws_iam_role.deploy : role.path == "/deploy/"])
    error_message = "By their path the roles are none of a stack's."
  }
}

run "a_provider_that_is_there_already" {
  command = plan

  variables {
    oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && output.oidc_provider_arn == var.oidc_provider_arn
    error_message = "An account has one provider for GitHub."
  }
}

run "values_that_are_refused" {
  command = plan

  variables {
    github_repository = "acme/*"
    state_bucket      = "No Bucket"
    environments      = { "prod:*" = "tripcast" }
    application       = "Trip Cast"
    oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/example.org"
    region            = "everywhere"
    tags              = { "aws:stage" = "dev" }
  }

  expect_failures = [
    var.github_repository,
    var.state_bucket,
    var.environments,
    var.application,
    var.oidc_provider_arn,
    var.region,
    var.tags,
  ]
}

run "stacks_that_are_refused" {
  command = plan

  variables {
    environments = { dev = "*" }
  }

  expect_failures = [var.environments]
}
