# What all model services of one environment share. The network and the EKS cluster exist before it.

module "place" {
  source = "../place"

  place = var.place
  name  = "platform"
}

locals {
  place = module.place.place
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: databases, streams, search, buckets and logs of the platform"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = local.place.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Administration"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${local.place.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.place.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${local.place.region}:${local.place.account}:log-group:/crm/platform/${var.name}/*" } }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-platform"
  target_key_id = aws_kms_key.this.key_id
}
