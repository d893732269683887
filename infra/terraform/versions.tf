terraform {
  # The roots of stages/ need it to lock their state.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 5.100 is the last minor version of 5.
      version = ">= 5.100, < 7.0"
    }
  }
}
