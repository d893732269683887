variable "github_repository" {
  type        = string
  nullable    = false
  description = "The one repository whose workflows may assume the roles: owner/name, spelt as GitHub spells it"

  validation {
    # A * or ? here would admit repositories of other owners.
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be owner/name."
  }
}

variable "github_subject_prefix" {
  type        = string
  default     = null
  description = "Beginning of `sub` in the repository's tokens: `sub_claim_prefix` of `gh api repos/OWNER/NAME/actions/oidc/customization/sub`. Repositories made or renamed since July 2026 have numbers in it (repo:OWNER@1/NAME@2); repo:OWNER/NAME if null"

  validation {
    condition = var.github_subject_prefix == null || can(regex(
      "^repo:[A-Za-z0-9][A-Za-z0-9-]*(@[0-9]+)?/[A-Za-z0-9._-]+(@[0-9]+)?$",
      var.github_subject_prefix,
    ))
    error_message = "github_subject_prefix must be repo:OWNER/NAME or repo:OWNER@NUMBER/NAME@NUMBER."
  }
}

variable "environments" {
  type = map(string)
  default = {
    dev  = "tripcast-dev"
    prod = "tripcast"
  }
  nullable    = false
  description = "GitHub environments with the stack that each may deploy; one deploy role each"

  validation {
    condition = length(var.environments) > 0 && alltrue([
      for environment in keys(var.environments) : can(regex("^[A-Za-z0-9_-]+$", environment))
    ])
    error_message = "environments must be called by letters, digits, _ and -, and there must be one."
  }

  validation {
    condition = alltrue([
      for stack in values(var.environments) : can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", stack))
    ])
    error_message = "environments must name stacks of 2 to 24 lower case letters, digits and hyphens."
  }
}

variable "application" {
  type        = string
  default     = "tripcast"
  nullable    = false
  description = "Beginning of the roles' names, and the value of the tag `application` by which keys are known"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*$", var.application))
    error_message = "application must be lower case letters, digits and hyphens, beginning with a letter."
  }
}

variable "state_bucket" {
  type        = string
  nullable    = false
  description = "Bucket of Terraform's states; each stack's lies below <stack>/"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be the name of a bucket."
  }
}

variable "oidc_provider_arn" {
  type        = string
  default     = ""
  nullable    = false
  description = "ARN of GitHub's identity provider, if the account has it already (it can have one only); made here if empty"

  validation {
    condition = can(regex(
      "^(arn:[^:]+:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com)?$",
      var.oidc_provider_arn,
    ))
    error_message = "oidc_provider_arn must be the ARN of GitHub's identity provider, or empty."
  }
}

variable "region" {
  type        = string
  default     = null
  description = "Region that may be deployed to; that of the environment (AWS_REGION, the profile) if null"

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2,}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region must be the name of an AWS region, such as us-east-1."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of the roles and policies"

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "tags must not begin with aws:, which AWS keeps for itself."
  }
}
