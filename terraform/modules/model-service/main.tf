# What one model service needs on AWS: images, artefacts, roles, logs, alarms, secrets, a budget.

module "place" {
  source = "../place"

  place = var.place
  name  = var.service.name
}

locals {
  place  = module.place.place
  name   = "${var.service.name}-${local.place.env}"
  bucket = "${local.place.bucket_prefix}-${replace(local.name, "_", "-")}-artefacts"

  # ARNs are made of names, not of resources, so that a plan shows every policy whole and it can be checked before the apply.
  bucket_arn    = "arn:aws:s3:::${local.bucket}"
  repository    = "arn:aws:ecr:${local.place.region}:${local.place.account}:repository/${local.name}"
  log_group     = "/crm/${local.place.env}/${var.service.name}"
  log_group_arn = "arn:aws:logs:${local.place.region}:${local.place.account}:log-group:${local.log_group}"
  role_arn      = { for role in concat(keys(local.role_statements), ["pod", "batch"]) : role => "arn:aws:iam::${local.place.account}:role/${local.name}-${role}" }

  tags = merge(local.place.tags, { tier = tostring(var.service.tier) })
}
