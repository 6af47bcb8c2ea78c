output "addresses" {
  description = "Store to where it is reached; all of it is TLS, to be verified."
  value = {
    mlflow_database = module.mlflow_database.endpoint
    zenml_database  = module.zenml_database.endpoint
    redis           = "rediss://${aws_elasticache_replication_group.this.configuration_endpoint_address}:6379"
    kafka           = aws_msk_cluster.this.bootstrap_brokers_sasl_iam
    opensearch      = "https://${aws_opensearch_domain.this.endpoint}"
  }
}

output "database_secrets" {
  description = "Database to the secret with its administrator's password."
  value       = { mlflow = module.mlflow_database.secret_arn, zenml = module.zenml_database.secret_arn }
}

output "role_arns" {
  description = "Add-on or controller to its role, for the platform charts' service accounts."
  value       = { for name, role in aws_iam_role.addon : name => role.arn }
}

output "airflow_bucket" {
  description = "Bucket that holds dags/."
  value       = module.airflow.name
}

output "athena_workgroup" {
  description = "Workgroup of the model teams."
  value       = aws_athena_workgroup.this.name
}
