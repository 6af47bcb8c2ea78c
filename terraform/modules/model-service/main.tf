# What one model service needs on AWS: images, artefacts, roles, logs, alarms, secrets, a budget.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  name    = "${var.service}-${var.env}"
  account = data.aws_caller_identity.current.account_id
  bucket  = "${var.bucket_prefix}-${replace(local.name, "_", "-")}-artefacts"

  # ARNs are made of names, not of resources, so that a plan shows every policy whole and it can be checked before the apply.
  bucket_arn    = "arn:aws:s3:::${local.bucket}"
  repository    = "arn:aws:ecr:${var.region}:${local.account}:repository/${local.name}"
  log_group     = "/crm/${var.env}/${var.service}"
  log_group_arn = "arn:aws:logs:${var.region}:${local.account}:log-group:${local.log_group}"
  role_arn      = { for role in concat(keys(local.role_statements), ["pod"]) : role => "arn:aws:iam::${local.account}:role/${local.name}-${role}" }

  tags = {
    service     = var.service
    env         = var.env
    owner       = var.owner
    cost-centre = var.cost_centre
    data-class  = var.data_class
    tier        = tostring(var.tier)
    managed-by  = "crm"
  }
}
