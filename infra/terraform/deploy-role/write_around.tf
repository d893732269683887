# Permissions of a deployment for what surrounds the functions. IAM takes at most 6,144 characters a policy, so that these
# are beside those of write.tf.

resource "aws_iam_policy" "write_around" {
  for_each = var.environments

  name        = "${each.value}-write-around"
  path        = "/deploy/"
  description = "Changes what surrounds the functions of ${each.value}"
  policy      = data.aws_iam_policy_document.write_around[each.key].json
}

resource "aws_iam_role_policy_attachment" "deploy_write_around" {
  for_each = var.environments

  role       = aws_iam_role.deploy[each.key].name
  policy_arn = aws_iam_policy.write_around[each.key].arn
}

data "aws_iam_policy_document" "write_around" {
  for_each = var.environments

  statement {
    sid = "WriteStateMachines"
    actions = [
      "states:CreateStateMachine",
      "states:DeleteStateMachine",
      "states:TagResource",
      "states:UntagResource",
      "states:UpdateStateMachine",
    ]
    resources = ["arn:${local.partition}:states:${local.place}:stateMachine:${each.value}-*"]
  }

  # Databases have the environment's name with _ for -.
  statement {
    sid = "WriteTables"
    actions = [
      "glue:CreateDatabase",
      "glue:CreateTable",
      "glue:DeleteDatabase",
      "glue:DeleteTable",
      "glue:TagResource",
      "glue:UntagResource",
      "glue:UpdateDatabase",
      "glue:UpdateTable",
    ]
    resources = [
      "arn:${local.partition}:glue:${local.place}:catalog",
      "arn:${local.partition}:glue:${local.place}:database/${replace(each.value, "-", "_")}",
      "arn:${local.partition}:glue:${local.place}:table/${replace(each.value, "-", "_")}/*",
    ]
  }

  # The id of an API does not contain the name of its stack.
  statement {
    sid = "WriteHttpApis"
    actions = [
      "apigateway:DELETE",
      "apigateway:PATCH",
      "apigateway:POST",
      "apigateway:PUT",
      "apigateway:TagResource",
      "apigateway:UntagResource",
    ]
    resources = [
      "arn:${local.partition}:apigateway:${data.aws_region.current.id}::/apis",
      "arn:${local.partition}:apigateway:${data.aws_region.current.id}::/apis/*",
      "arn:${local.partition}:apigateway:${data.aws_region.current.id}::/tags/*",
    ]
  }

  # Unsubscribe is left out: it does not support permissions by resource, so it would apply to all subscriptions.
  statement {
    sid = "WriteTopics"
    actions = [
      "sns:CreateTopic",
      "sns:DeleteTopic",
      "sns:SetSubscriptionAttributes",
      "sns:SetTopicAttributes",
      "sns:Subscribe",
      "sns:TagResource",
      "sns:UntagResource",
    ]
    resources = ["arn:${local.partition}:sns:${local.place}:${each.value}-*"]
  }

  statement {
    sid = "WriteAlarms"
    actions = [
      "cloudwatch:DeleteAlarms",
      "cloudwatch:PutMetricAlarm",
      "cloudwatch:TagResource",
      "cloudwatch:UntagResource",
    ]
    resources = ["arn:${local.partition}:cloudwatch:${local.place}:alarm:${each.value}-*"]
  }

  statement {
    sid = "WriteDashboard"
    actions = [
      "cloudwatch:DeleteDashboards",
      "cloudwatch:PutDashboard",
      "cloudwatch:TagResource",
      "cloudwatch:UntagResource",
    ]
    resources = ["arn:${local.partition}:cloudwatch::${local.account}:dashboard/${each.value}"]
  }
}
