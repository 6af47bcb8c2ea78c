output "role_arns" {
  description = "Role to ARN: `pod` and `batch` go to service accounts of the chart, the others to the CI's jobs."
  value       = merge({ pod = aws_iam_role.pod.arn }, { for name, role in aws_iam_role.batch : name => role.arn }, { for name, role in aws_iam_role.ci : name => role.arn })
}

output "image" {
  description = "Image repository, for deploy.image."
  value       = aws_ecr_repository.this.repository_url
}

output "artefacts" {
  description = "Where models, evidence, approvals and releases lie."
  value       = "s3://${module.artefacts.name}"
}

output "log_group" {
  description = "Log group of the pods."
  value       = aws_cloudwatch_log_group.this.name
}

output "alarm_topic" {
  description = "Topic of all alarms."
  value       = aws_sns_topic.alarms.arn
}

output "secrets" {
  description = "Secret to ARN."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "kms_key" {
  description = "Key of all that is stored."
  value       = aws_kms_key.this.arn
}
