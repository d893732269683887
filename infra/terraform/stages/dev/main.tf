# The stage dev: where its state lies, what its resources are tagged with, and what it chooses (as samconfig.toml does for SAM).

terraform {
  # The first version that can lock a state in S3 without a DynamoDB table.
  required_version = ">= 1.10"

  # The bucket differs by account: `terraform init -backend-config="bucket=$TF_STATE_BUCKET"`.
  backend "s3" {
    key          = "tripcast-dev/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

# The region is that of the environment (AWS_REGION, the profile).
provider "aws" {
  default_tags {
    tags = {
      application = "tripcast"
      stage       = "dev"
    }
  }
}

module "tripcast" {
  source = "../.."

  name                 = "tripcast-dev"
  packages             = var.packages
  architecture         = var.architecture
  permissions_boundary = var.permissions_boundary
  alarm_email          = var.alarm_email
  stable_versions      = var.stable_versions

  log_retention_days    = 30
  application_log_level = "DEBUG"

  # A new account has a concurrency of 10 in total, and the other functions need some of it.
  scorer_concurrency_max = 5
}

output "tripcast" {
  description = "Every output of the module"
  value       = module.tripcast
}
