# Only the place of each secret: a value in Terraform would lie in its state.
resource "aws_secretsmanager_secret" "this" {
  for_each = var.service.secrets

  name                    = "${local.place.env}/${var.service.name}/${each.value}"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 30
  tags                    = local.tags
}

resource "aws_secretsmanager_secret_rotation" "this" {
  for_each = var.service.secrets

  secret_id           = aws_secretsmanager_secret.this[each.value].id
  rotation_lambda_arn = var.service.rotation_lambda_arn
  rotate_immediately  = false

  rotation_rules {
    automatically_after_days = 30
  }
}
