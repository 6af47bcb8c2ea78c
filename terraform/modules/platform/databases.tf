# MLflow keeps its runs in PostgreSQL; ZenML's server wants MySQL. Both refuse a connection without TLS.

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.private_subnet_ids
  tags       = local.place.tags
}

resource "aws_iam_role" "database_monitoring" {
  name                 = "${var.name}-database-monitoring"
  permissions_boundary = local.place.permissions_boundary
  tags                 = local.place.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.place.account } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "database_monitoring" {
  role       = aws_iam_role.database_monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

module "mlflow_database" {
  source = "../database"

  name                     = "${var.name}-mlflow"
  database                 = "mlflow"
  size                     = var.databases
  vpc_id                   = var.vpc_id
  subnet_group             = aws_db_subnet_group.this.name
  client_security_group_id = var.node_security_group_id
  kms_key                  = aws_kms_key.this
  monitoring_role_arn      = aws_iam_role.database_monitoring.arn
  tags                     = local.place.tags
  settings                 = { log_statement = "ddl", log_min_duration_statement = "1000", log_connections = "1" }

  engine = {
    name          = "postgres"
    version       = "16"
    family        = "postgres16"
    port          = 5432
    tls_parameter = "rds.force_ssl"
    logs          = ["postgresql", "upgrade"]
  }
}

module "zenml_database" {
  source = "../database"

  name                     = "${var.name}-zenml"
  database                 = "zenml"
  size                     = var.databases
  vpc_id                   = var.vpc_id
  subnet_group             = aws_db_subnet_group.this.name
  client_security_group_id = var.node_security_group_id
  kms_key                  = aws_kms_key.this
  monitoring_role_arn      = aws_iam_role.database_monitoring.arn
  tags                     = local.place.tags
  settings                 = { slow_query_log = "1" }

  engine = {
    name          = "mysql"
    version       = "8.0"
    family        = "mysql8.0"
    port          = 3306
    tls_parameter = "require_secure_transport"
    logs          = ["error", "slowquery", "general", "audit"]
  }
}
