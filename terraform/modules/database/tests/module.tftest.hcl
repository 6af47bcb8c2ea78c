mock_provider "aws" {
  mock_resource "aws_db_instance" {
    defaults = { master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:mocked" }] }
  }
}

variables {
  name                     = "mlops-prod-mlflow"
  database                 = "mlflow"
  size                     = { class = "db.m7g.large", storage_gb = 100 }
  vpc_id                   = "vpc-0123456789abcdef0"
  subnet_group             = "mlops-prod"
  client_security_group_id = "sg-0123456789abcdef0"
  monitoring_role_arn      = "arn:aws:iam::111122223333:role/monitoring"
  tags                     = { owner = "mlops@example.com" }
  settings                 = { log_statement = "ddl" }

  kms_key = {
    arn    = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
    key_id = "11111111-2222-3333-4444-555555555555"
  }

  engine = {
    name          = "postgres"
    version       = "16"
    family        = "postgres16"
    port          = 5432
    tls_parameter = "rds.force_ssl"
    logs          = ["postgresql"]
  }
}

run "a_connection_without_tls_is_refused" {
  assert {
    condition     = contains([for p in aws_db_parameter_group.this.parameter : "${p.name}=${p.value}"], "rds.force_ssl=1")
    error_message = "The database answers without TLS."
  }
}

run "the_database_outlives_mistakes" {
  assert {
    condition     = aws_db_instance.this.deletion_protection && aws_db_instance.this.multi_az && aws_db_instance.this.backup_retention_period == 35
    error_message = "The database can be deleted, or is not backed up."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && !aws_db_instance.this.publicly_accessible
    error_message = "The password stands in the state, or the internet reaches the database."
  }
}
