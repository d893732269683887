terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }

  # As in stages/, but with another key.
  backend "s3" {
    key          = "tripcast-deploy-role/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
