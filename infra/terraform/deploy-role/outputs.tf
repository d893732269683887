output "plan_role_arn" {
  description = "For the repository's variable AWS_PLAN_ROLE_ARN"
  value       = aws_iam_role.plan.arn
}

output "deploy_role_arns" {
  description = "By environment, for its variable AWS_DEPLOY_ROLE_ARN"
  value       = { for environment, role in aws_iam_role.deploy : environment => role.arn }
}

output "permissions_boundary_arns" {
  description = "By environment, for the application's permissions_boundary"
  value       = { for environment, policy in aws_iam_policy.boundary : environment => policy.arn }
}

output "oidc_provider_arn" {
  description = "GitHub's identity provider"
  value       = local.oidc_provider_arn
}
