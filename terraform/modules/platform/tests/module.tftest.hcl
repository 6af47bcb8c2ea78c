mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_data "aws_secretsmanager_secret_version" {
    defaults = { secret_string = "not-a-real-password-0123456789" }
  }

  mock_resource "aws_kms_key" {
    defaults = {
      arn    = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
      key_id = "11111111-2222-3333-4444-555555555555"
    }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mocked" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:mocked" }
  }

  mock_resource "aws_msk_configuration" {
    defaults = {
      arn             = "arn:aws:kafka:eu-central-1:111122223333:configuration/mocked/11111111-2222-3333-4444-555555555555-1"
      latest_revision = 1
    }
  }

  mock_resource "aws_db_instance" {
    defaults = { endpoint = "database.example:5432", master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:mocked" }] }
  }
}

variables {
  place = {
    env                       = "prod"
    region                    = "eu-central-1"
    owner                     = "mlops@example.com"
    cost_centre               = "4700"
    data_class                = "personal"
    bucket_prefix             = "carrental"
    access_log_bucket         = "carrental-prod-access-logs"
    cluster_name              = "carrental-prod"
    cluster_oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"
    permissions_boundary      = null
  }

  name                    = "mlops-prod"
  vpc_id                  = "vpc-0123456789abcdef0"
  private_subnet_ids      = ["subnet-0000000000000000a", "subnet-0000000000000000b", "subnet-0000000000000000c"]
  private_route_table_ids = ["rtb-0123456789abcdef0"]
  node_security_group_id  = "sg-0123456789abcdef0"

  addon_versions = {
    vpc-cni            = "v1.20.4-eksbuild.2"
    coredns            = "v1.12.4-eksbuild.1"
    kube-proxy         = "v1.33.5-eksbuild.2"
    aws-ebs-csi-driver = "v1.51.1-eksbuild.1"
  }

  redis = {
    node_type       = "cache.m7g.large"
    shards          = 2
    auth_secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:prod/platform/redis-abcdef"
  }

  opensearch = {
    instance_type   = "m7g.large.search"
    storage_gb      = 200
    master_role_arn = "arn:aws:iam::111122223333:role/search-administrator"
  }
}

run "every_store_speaks_tls_alone" {
  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "Redis answers without TLS."
  }

  assert {
    condition     = one(one(aws_msk_cluster.this.encryption_info).encryption_in_transit).client_broker == "TLS" && !one(aws_msk_cluster.this.client_authentication).unauthenticated
    error_message = "Kafka answers without TLS, or whoever asks."
  }

  assert {
    condition     = one(aws_opensearch_domain.this.domain_endpoint_options).enforce_https && one(aws_opensearch_domain.this.node_to_node_encryption).enabled
    error_message = "OpenSearch answers without TLS."
  }

  assert {
    condition     = startswith(output.addresses.redis, "rediss://") && startswith(output.addresses.opensearch, "https://")
    error_message = "An address without TLS is handed out."
  }
}

run "every_store_is_encrypted_by_our_key" {
  assert {
    condition = alltrue([for key in [
      aws_elasticache_replication_group.this.kms_key_id,
      one(aws_msk_cluster.this.encryption_info).encryption_at_rest_kms_key_arn,
      one(aws_opensearch_domain.this.encrypt_at_rest).kms_key_id,
      one(one(one(aws_athena_workgroup.this.configuration).result_configuration).encryption_configuration).kms_key_arn,
    ] : key == aws_kms_key.this.arn])
    error_message = "A store is encrypted by another key, or not at all."
  }
}

run "only_the_nodes_reach_the_stores_and_only_one_port" {
  assert {
    condition = alltrue([for name, rule in aws_vpc_security_group_ingress_rule.this :
    rule.referenced_security_group_id == var.node_security_group_id && rule.from_port == rule.to_port && rule.cidr_ipv4 == null])
    error_message = "Somebody else than the nodes reaches a store."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this["kafka"].from_port == 9098
    error_message = "Kafka's plain port is open."
  }
}

run "network_policies_work" {
  assert {
    condition     = jsondecode(aws_eks_addon.this["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "The network add-on ignores NetworkPolicies."
  }
}

run "two_zones_are_too_few" {
  command         = plan
  expect_failures = [var.private_subnet_ids]

  variables {
    private_subnet_ids = ["subnet-0000000000000000a", "subnet-0000000000000000b"]
  }
}

run "every_needed_add_on_is_named" {
  command         = plan
  expect_failures = [var.addon_versions]

  variables {
    addon_versions = { coredns = "v1.12.4-eksbuild.1" }
  }
}
