output "endpoint" {
  description = "host:port."
  value       = aws_db_instance.this.endpoint
}

output "secret_arn" {
  description = "Secret with the administrator's password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
