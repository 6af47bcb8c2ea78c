# The password is put into the secret by hand; Terraform reads it, so the state, encrypted, holds it.
data "aws_secretsmanager_secret_version" "redis" {
  secret_id = var.redis.auth_secret_arn
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.private_subnet_ids
  tags       = local.place.tags
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = "${var.name}-online"
  description                = "Online features of ${var.name}"
  engine                     = "redis"
  engine_version             = "7.1"
  node_type                  = var.redis.node_type
  num_node_groups            = var.redis.shards
  replicas_per_node_group    = 1
  automatic_failover_enabled = true
  multi_az_enabled           = true
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  auth_token                 = data.aws_secretsmanager_secret_version.redis.secret_string
  auth_token_update_strategy = "ROTATE"
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.this.arn
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this["redis"].id]
  snapshot_retention_limit   = 7
  auto_minor_version_upgrade = true
  tags                       = local.place.tags

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this["redis"].name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}
