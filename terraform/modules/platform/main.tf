# What all model services of one environment share. The network and the EKS cluster exist before it.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  issuer  = split("oidc-provider/", var.cluster_oidc_provider_arn)[1]

  tags = {
    service     = "platform"
    env         = var.env
    owner       = var.owner
    cost-centre = var.cost_centre
    data-class  = var.data_class
    managed-by  = "crm"
  }
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: databases, streams, search, buckets and logs of the platform"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Administration"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${local.account}:log-group:/crm/platform/${var.name}/*" } }
      },
    ]
  })

  lifecycle {
    precondition {
      condition     = data.aws_region.current.name == var.region
      error_message = "The provider works in another region than var.region says."
    }
  }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-platform"
  target_key_id = aws_kms_key.this.key_id
}
