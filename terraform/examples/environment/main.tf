# One environment: the platform, and one model service on it. Replace account, network and names by yours.
#   terraform init -backend-config=staging.s3.tfbackend && terraform plan -var-file=staging.tfvars

locals {
  arn  = "arn:aws:iam::${var.account}:"
  main = "project_path:ds/fraud-payments:ref_type:branch:ref:main"

  place = {
    env                       = var.env
    region                    = var.region
    owner                     = "mlops@example.com"
    cost_centre               = "4700"
    data_class                = "personal"
    bucket_prefix             = "carrental"
    access_log_bucket         = "carrental-${var.env}-access-logs"
    cluster_name              = "carrental-${var.env}"
    cluster_oidc_provider_arn = "${local.arn}oidc-provider/oidc.eks.${var.region}.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
    permissions_boundary      = null
  }
}

module "platform" {
  source = "../../modules/platform"

  place                   = local.place
  name                    = "mlops-${var.env}"
  vpc_id                  = "vpc-0aaaaaaaaaaaaaaaa"
  private_subnet_ids      = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  private_route_table_ids = ["rtb-0aaaaaaaaaaaaaaaa"]
  node_security_group_id  = "sg-0aaaaaaaaaaaaaaaa"
  databases               = var.databases
  kafka                   = var.kafka

  addon_versions = {
    vpc-cni            = "v1.20.4-eksbuild.2"
    coredns            = "v1.12.4-eksbuild.1"
    kube-proxy         = "v1.33.5-eksbuild.2"
    aws-ebs-csi-driver = "v1.51.1-eksbuild.1"
  }

  redis = {
    node_type       = "cache.m7g.large"
    shards          = var.redis_shards
    auth_secret_arn = "arn:aws:secretsmanager:${var.region}:${var.account}:secret:${var.env}/platform/redis-AbCdEf"
  }

  opensearch = merge(var.opensearch, { master_role_arn = "${local.arn}role/search-administrator" })
}

module "fraud_payments" {
  source = "../../modules/model-service"

  place = merge(local.place, { owner = "risk-ds@example.com", cost_centre = "4711" })

  service = {
    name                 = "fraud-payments"
    tier                 = 1
    namespace            = "models"
    ci_oidc_provider_arn = "${local.arn}oidc-provider/gitlab.example.com"
    secrets              = []
    rotation_lambda_arn  = null
    alarm_emails         = ["risk-ds@example.com"]
    monthly_budget_usd   = var.monthly_budget_usd
    minimum_pods         = 2

    ci_subjects = {
      # Of GitLab; `crm infra subjects` writes them for each CI.
      reader   = ["project_path:ds/fraud-payments:*"]
      trainer  = [local.main]
      approver = ["${local.main}:deployment_tier:other:environment_protected:true"]
      deployer = [local.main, "${local.main}:deployment_tier:staging:environment_protected:true", "${local.main}:deployment_tier:production:environment_protected:true"]
    }
  }
}

output "platform" {
  description = "Addresses of the stores."
  value       = module.platform.addresses
}

output "fraud_payments" {
  description = "Roles of the service."
  value       = module.fraud_payments.role_arns
}
