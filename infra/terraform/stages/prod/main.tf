# The stage prod: where its state lies, what its resources are tagged with, and what it chooses (as samconfig.toml does for SAM).

terraform {
  # The first version that can lock a state in S3 without a DynamoDB table.
  required_version = ">= 1.10"

  # The bucket differs by account: `terraform init -backend-config="bucket=$TF_STATE_BUCKET"`.
  backend "s3" {
    key          = "tripcast/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

# The region is that of the environment (AWS_REGION, the profile).
provider "aws" {
  default_tags {
    tags = {
      application = "tripcast"
      stage       = "prod"
    }
  }
}

module "tripcast" {
  source = "../.."

  name                 = "tripcast"
  packages             = var.packages
  architecture         = var.architecture
  permissions_boundary = var.permissions_boundary
  alarm_email          = var.alarm_email
  stable_versions      = var.stable_versions

  scorer_concurrency_max = 50
  canary_deployments     = true
}

output "tripcast" {
  description = "Every output of the module"
  value       = module.tripcast
}
