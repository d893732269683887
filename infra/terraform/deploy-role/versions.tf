terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # As in the application's own versions.tf, with a key of its own.
  backend "s3" {
    key          = "tripcast-deploy-role/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
