resource "aws_security_group" "this" {
  name        = var.name
  description = "${var.name}, from the nodes"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = var.name })
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "TLS from the nodes"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.engine.port
  to_port                      = var.engine.port
  tags                         = var.tags
}

resource "aws_db_parameter_group" "this" {
  name   = var.name
  family = var.engine.family
  tags   = var.tags

  parameter {
    name         = var.engine.tls_parameter
    value        = "1"
    apply_method = "pending-reboot"
  }

  dynamic "parameter" {
    for_each = var.settings

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }
}

resource "aws_db_instance" "this" {
  identifier                          = var.name
  db_name                             = var.database
  engine                              = var.engine.name
  engine_version                      = var.engine.version
  parameter_group_name                = aws_db_parameter_group.this.name
  instance_class                      = var.size.class
  allocated_storage                   = var.size.storage_gb
  max_allocated_storage               = 5 * var.size.storage_gb
  storage_type                        = "gp3"
  storage_encrypted                   = true
  kms_key_id                          = var.kms_key.arn
  username                            = "administrator"
  manage_master_user_password         = true # made and renewed by RDS, so that it stands in no state
  master_user_secret_kms_key_id       = var.kms_key.key_id
  iam_database_authentication_enabled = true
  ca_cert_identifier                  = "rds-ca-rsa2048-g1"
  db_subnet_group_name                = var.subnet_group
  vpc_security_group_ids              = [aws_security_group.this.id]
  publicly_accessible                 = false
  multi_az                            = true
  backup_retention_period             = 35
  copy_tags_to_snapshot               = true
  delete_automated_backups            = false
  deletion_protection                 = true
  final_snapshot_identifier           = "${var.name}-final"
  auto_minor_version_upgrade          = true
  monitoring_interval                 = 60
  monitoring_role_arn                 = var.monitoring_role_arn
  performance_insights_enabled        = true
  performance_insights_kms_key_id     = var.kms_key.arn
  enabled_cloudwatch_logs_exports     = var.engine.logs
  tags                                = var.tags
}
