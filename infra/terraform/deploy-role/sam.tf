# Additional permissions for `sam deploy`: for the stack, and for the bucket that it uploads packages to. For
# everything else, CloudFormation uses the deploy role's other permissions.

resource "aws_iam_policy" "sam" {
  for_each = var.environments

  name        = "${each.value}-sam"
  path        = "/deploy/"
  description = "Deploys ${each.value} by CloudFormation"
  policy      = data.aws_iam_policy_document.sam[each.key].json
}

resource "aws_iam_role_policy_attachment" "deploy_sam" {
  for_each = var.environments

  role       = aws_iam_role.deploy[each.key].name
  policy_arn = aws_iam_policy.sam[each.key].arn
}

data "aws_iam_policy_document" "sam" {
  for_each = var.environments

  # DeleteStack is left out: only a person can delete the stack, once it has lifted the protection that a deployment to prod turns on.
  statement {
    sid = "ChangeStack"
    actions = [
      "cloudformation:ContinueUpdateRollback",
      "cloudformation:CreateChangeSet",
      "cloudformation:DeleteChangeSet",
      "cloudformation:DescribeChangeSet",
      "cloudformation:DescribeStackEvents",
      "cloudformation:DescribeStackResource",
      "cloudformation:DescribeStackResources",
      "cloudformation:DescribeStacks",
      "cloudformation:ExecuteChangeSet",
      "cloudformation:GetTemplate",
      "cloudformation:GetTemplateSummary",
      "cloudformation:ListStackResources",
      "cloudformation:TagResource",
      "cloudformation:UntagResource",
      "cloudformation:UpdateTerminationProtection",
    ]
    resources = ["arn:${local.partition}:cloudformation:${local.place}:stack/${each.value}/*"]
  }

  statement {
    sid       = "TransformTemplate"
    actions   = ["cloudformation:CreateChangeSet"]
    resources = ["arn:${local.partition}:cloudformation:${data.aws_region.current.id}:aws:transform/Serverless-2016-10-31"]
  }

  # The first `sam deploy` in an account, which a person runs, creates this stack.
  statement {
    sid = "FindPackagesBucket"
    actions = [
      "cloudformation:DescribeStackResources",
      "cloudformation:DescribeStacks",
    ]
    resources = ["arn:${local.partition}:cloudformation:${local.place}:stack/aws-sam-cli-managed-default/*"]
  }

  statement {
    sid = "UploadPackages"
    actions = [
      "s3:GetObject",
      "s3:PutObject",
    ]
    resources = ["arn:${local.partition}:s3:::aws-sam-cli-managed-default-*/${each.value}/*"]
  }

  statement {
    sid = "LookIntoPackagesBucket"
    actions = [
      "s3:GetBucketLocation",
      "s3:ListBucket",
    ]
    resources = ["arn:${local.partition}:s3:::aws-sam-cli-managed-default-*"]
  }

  # CodeDeploy moves aliases to new versions (CanaryDeployments).
  statement {
    sid = "RollOut"
    actions = [
      "codedeploy:CreateApplication",
      "codedeploy:CreateDeployment",
      "codedeploy:CreateDeploymentGroup",
      "codedeploy:DeleteApplication",
      "codedeploy:DeleteDeploymentGroup",
      "codedeploy:GetApplication",
      "codedeploy:GetApplicationRevision",
      "codedeploy:GetDeployment",
      "codedeploy:GetDeploymentConfig",
      "codedeploy:GetDeploymentGroup",
      "codedeploy:ListDeploymentGroups",
      "codedeploy:ListDeployments",
      "codedeploy:ListTagsForResource",
      "codedeploy:RegisterApplicationRevision",
      "codedeploy:StopDeployment",
      "codedeploy:TagResource",
      "codedeploy:UntagResource",
      "codedeploy:UpdateDeploymentGroup",
    ]
    resources = [
      "arn:${local.partition}:codedeploy:${local.place}:application:${each.value}-*",
      "arn:${local.partition}:codedeploy:${local.place}:deploymentconfig:CodeDeployDefault.*",
      "arn:${local.partition}:codedeploy:${local.place}:deploymentgroup:${each.value}-*/*",
    ]
  }

  # Names alone, of all that there are: these actions do not support permissions by resource, or list more than those of a stack.
  statement {
    sid = "ListKinds"
    actions = [
      "cloudwatch:ListDashboards",
      "codedeploy:ListApplications",
      "events:ListRules",
      "iam:ListRoles",
      "kinesis:ListStreams",
      "kms:ListKeys",
      "lambda:ListEventSourceMappings",
      "lambda:ListFunctions",
      "s3:ListAllMyBuckets",
      "scheduler:ListSchedules",
      "sns:ListSubscriptions",
      "sns:ListTopics",
      "sqs:ListQueues",
      "states:ListStateMachines",
    ]
    resources = ["*"]
  }

  # Whether the account's Lake Formation knows a table; these actions do not support permissions by resource.
  statement {
    sid = "LookAtLakeFormation"
    actions = [
      "lakeformation:DescribeLakeFormationIdentityCenterConfiguration",
      "lakeformation:DescribeResource",
      "lakeformation:ListResources",
    ]
    resources = ["*"]
  }
}
