resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["redis", "kafka", "opensearch"])

  name              = "/crm/platform/${var.name}/${each.value}"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.this.arn
  tags              = local.place.tags
}

resource "aws_cloudwatch_log_resource_policy" "opensearch" {
  policy_name = "${var.name}-opensearch"

  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "WriteItsLogs"
      Effect    = "Allow"
      Principal = { Service = "es.amazonaws.com" }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource  = "arn:aws:logs:${local.place.region}:${local.place.account}:log-group:/crm/platform/${var.name}/opensearch:*"
      Condition = { StringEquals = { "aws:SourceAccount" = local.place.account } }
    }]
  })
}

resource "aws_opensearch_domain" "this" {
  domain_name    = var.name
  engine_version = "OpenSearch_2.19"
  tags           = local.place.tags
  depends_on     = [aws_cloudwatch_log_resource_policy.opensearch]

  cluster_config {
    instance_type            = var.opensearch.instance_type
    instance_count           = 3
    dedicated_master_enabled = true
    dedicated_master_type    = "m7g.medium.search"
    dedicated_master_count   = 3
    zone_awareness_enabled   = true

    zone_awareness_config {
      availability_zone_count = 3
    }
  }

  ebs_options {
    ebs_enabled = true
    volume_type = "gp3"
    volume_size = var.opensearch.storage_gb
  }

  vpc_options {
    subnet_ids         = slice(var.private_subnet_ids, 0, 3)
    security_group_ids = [aws_security_group.this["opensearch"].id]
  }

  encrypt_at_rest {
    enabled    = true
    kms_key_id = aws_kms_key.this.arn
  }

  node_to_node_encryption {
    enabled = true
  }

  domain_endpoint_options {
    enforce_https       = true
    tls_security_policy = "Policy-Min-TLS-1-2-PFS-2023-10"
  }

  advanced_security_options {
    enabled                        = true
    anonymous_auth_enabled         = false
    internal_user_database_enabled = false

    master_user_options {
      master_user_arn = var.opensearch.master_role_arn
    }
  }

  auto_tune_options {
    desired_state = "ENABLED"
  }

  off_peak_window_options {
    enabled = true
  }

  software_update_options {
    auto_software_update_enabled = true
  }

  log_publishing_options {
    enabled                  = true
    log_type                 = "AUDIT_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["opensearch"].arn
  }

  log_publishing_options {
    enabled                  = true
    log_type                 = "INDEX_SLOW_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["opensearch"].arn
  }

  log_publishing_options {
    enabled                  = true
    log_type                 = "SEARCH_SLOW_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["opensearch"].arn
  }

  log_publishing_options {
    enabled                  = true
    log_type                 = "ES_APPLICATION_LOGS"
    cloudwatch_log_group_arn = aws_cloudwatch_log_group.this["opensearch"].arn
  }
}

# Roles of this account may ask; what each may see is a role mapping inside OpenSearch.
resource "aws_opensearch_domain_policy" "this" {
  domain_name = aws_opensearch_domain.this.domain_name

  access_policies = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NamedRoles"
      Effect    = "Allow"
      Principal = { AWS = [var.opensearch.master_role_arn, aws_iam_role.addon["fluent-bit"].arn] }
      Action    = ["es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost", "es:ESHttpPut", "es:ESHttpDelete", "es:ESHttpPatch"]
      Resource  = "arn:aws:es:${local.place.region}:${local.place.account}:domain/${var.name}/*"
    }]
  })
}
