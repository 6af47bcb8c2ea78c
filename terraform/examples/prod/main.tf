# Production: the platform, and one model service on it. Replace account, network and names by yours.

locals {
  env           = "prod"
  region        = "eu-central-1"
  account       = "444455556666"
  cluster       = "carrental-prod"
  issuer_arn    = "arn:aws:iam::${local.account}:oidc-provider/oidc.eks.${local.region}.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
  bucket_prefix = "carrental"
  log_bucket    = "carrental-prod-access-logs"
}

module "platform" {
  source = "../../modules/platform"

  name                      = "mlops-prod"
  env                       = local.env
  region                    = local.region
  owner                     = "mlops@example.com"
  cost_centre               = "4700"
  data_class                = "personal"
  bucket_prefix             = local.bucket_prefix
  access_log_bucket         = local.log_bucket
  vpc_id                    = "vpc-0aaaaaaaaaaaaaaaa"
  private_subnet_ids        = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  private_route_table_ids   = ["rtb-0aaaaaaaaaaaaaaaa"]
  node_security_group_id    = "sg-0aaaaaaaaaaaaaaaa"
  cluster_name              = local.cluster
  cluster_oidc_provider_arn = local.issuer_arn
  databases                 = { class = "db.m7g.xlarge", storage_gb = 200 }
  kafka                     = { instance_type = "kafka.m7g.large", storage_gb = 1000 }

  addon_versions = {
    vpc-cni            = "v1.20.4-eksbuild.2"
    coredns            = "v1.12.4-eksbuild.1"
    kube-proxy         = "v1.33.5-eksbuild.2"
    aws-ebs-csi-driver = "v1.51.1-eksbuild.1"
  }

  redis = {
    node_type       = "cache.m7g.large"
    shards          = 3
    auth_secret_arn = "arn:aws:secretsmanager:${local.region}:${local.account}:secret:prod/platform/redis-AbCdEf"
  }

  opensearch = {
    instance_type   = "m7g.xlarge.search"
    storage_gb      = 500
    master_role_arn = "arn:aws:iam::${local.account}:role/search-administrator"
  }
}

module "fraud_payments" {
  source = "../../modules/model-service"

  service                   = "fraud-payments"
  env                       = local.env
  tier                      = 1
  region                    = local.region
  owner                     = "risk-ds@example.com"
  cost_centre               = "4711"
  data_class                = "personal"
  bucket_prefix             = local.bucket_prefix
  access_log_bucket         = local.log_bucket
  cluster_name              = local.cluster
  cluster_oidc_provider_arn = local.issuer_arn
  namespace                 = "models"
  ci_oidc_provider_arn      = "arn:aws:iam::${local.account}:oidc-provider/gitlab.example.com"
  alarm_emails              = ["risk-ds@example.com"]
  monthly_budget_usd        = 1500

  ci_subjects = {
    reader   = ["project_path:ds/fraud-payments:*"]
    trainer  = ["project_path:ds/fraud-payments:ref_type:branch:ref:main"]
    approver = ["project_path:ds/fraud-payments-approvals:ref_type:branch:ref:main"]
    deployer = ["project_path:ds/fraud-payments-releases:ref_type:branch:ref:main"]
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
