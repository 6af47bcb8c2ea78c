# Managed by crm: `crm infra` fills the variables and brings the module. Files of your own go beside this one.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  backend "s3" {}
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account]
}

module "service" {
  source = "../../.crm/terraform/modules/model-service"

  service                   = var.service
  env                       = var.env
  tier                      = var.tier
  owner                     = var.owner
  cost_centre               = var.cost_centre
  data_class                = var.data_class
  region                    = var.region
  namespace                 = var.namespace
  bucket_prefix             = var.bucket_prefix
  access_log_bucket         = var.access_log_bucket
  cluster_name              = var.cluster_name
  cluster_oidc_provider_arn = var.cluster_oidc_provider_arn
  ci_oidc_provider_arn      = var.ci_oidc_provider_arn
  ci_audience               = var.ci_audience
  ci_subjects               = var.ci_subjects
  permissions_boundary      = var.permissions_boundary
  secrets                   = var.secrets
  rotation_lambda_arn       = var.rotation_lambda_arn
  alarm_emails              = var.alarm_emails
  monthly_budget_usd        = var.monthly_budget_usd
  minimum_pods              = var.minimum_pods
}

output "service" {
  description = "role_arns, image and the rest of what crm.yaml and the CI need."
  value       = module.service
}
