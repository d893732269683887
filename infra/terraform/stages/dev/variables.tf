# What a deployment states anew each time (tools/deploy/terraform.py). infra/terraform/variables.tf describes and checks the values.

variable "packages" {
  type        = string
  default     = "../../../../target/lambda/arm64"
  description = "Folder with <function>/bootstrap.zip"
}

variable "architecture" {
  type        = string
  default     = "arm64"
  description = "Processor the packages are built for"
}

variable "permissions_boundary" {
  type        = string
  default     = ""
  description = "ARN of the policy that bounds the roles made here; none if empty"
}

variable "alarm_email" {
  type        = string
  default     = ""
  description = "Address that alarms are mailed to; none if empty"
}

variable "stable_versions" {
  type        = map(string)
  default     = {}
  description = "Versions that serve while newer ones have a tenth of the work"
}
