terraform {
  # The first version that can lock a state in S3 without a DynamoDB table.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 5.100 is the last minor version of 5. Without a lock file (see README.md) only this constraint excludes
      # version 6, which is untested here.
      version = "~> 5.100"
    }
  }

  # Bucket and key depend on the stage: `init -backend-config=env/dev.s3.tfbackend -backend-config=bucket=...`.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
