# One key for all that the service stores. Who may use it stands here and in no other policy.
resource "aws_kms_key" "this" {
  description             = "${local.name}: artefacts, images, logs, secrets"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = local.tags
  depends_on              = [aws_iam_role.pod, aws_iam_role.batch, aws_iam_role.ci]

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
        Sid       = "Readers"
        Effect    = "Allow"
        Principal = { AWS = concat([local.role_arn["pod"], local.role_arn["reader"]], [for role in keys(local.batch) : local.role_arn[role]]) }
        Action    = ["kms:Decrypt", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.place.region}.amazonaws.com", "secretsmanager.${local.place.region}.amazonaws.com"] } }
      },
      {
        Sid       = "Writers"
        Effect    = "Allow"
        Principal = { AWS = [local.role_arn["trainer"], local.role_arn["approver"], local.role_arn["deployer"]] }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "kms:ViaService" = ["s3.${local.place.region}.amazonaws.com", "ecr.${local.place.region}.amazonaws.com"] } }
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.place.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnEquals = { "kms:EncryptionContext:aws:logs:arn" = local.log_group_arn } }
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "events.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.place.account } }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.this.key_id
}
