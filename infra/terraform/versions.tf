terraform {
  # The first that can lock a state in S3 without a table in DynamoDB.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 5.100 is the last of 5. Without a lock file (see README.md) the constraint alone keeps 6, which nothing here has been
      # tried with, away.
      version = "~> 5.100"
    }
  }

  # The bucket and the key are the stage's: `init -backend-config=env/dev.s3.tfbackend -backend-config=bucket=...`.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
