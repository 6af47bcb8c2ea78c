resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group
  retention_in_days = var.service.log_retention_days
  kms_key_id        = aws_kms_key.this.arn
  tags              = local.tags
}

resource "aws_sns_topic" "alarms" {
  name              = "${local.name}-alarms"
  kms_master_key_id = aws_kms_key.this.arn
  tags              = local.tags
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = "arn:aws:sns:${local.place.region}:${local.place.account}:${local.name}-alarms"
        Condition = { StringEquals = { "aws:SourceAccount" = local.place.account } }
      },
      {
        Sid       = "ScansOfItsImages"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = "arn:aws:sns:${local.place.region}:${local.place.account}:${local.name}-alarms"
        Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:events:${local.place.region}:${local.place.account}:rule/${local.name}-vulnerable-image" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.service.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# The service logs JSON lines with `level`.
resource "aws_cloudwatch_log_metric_filter" "errors" {
  name           = "${local.name}-errors"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.level = \"error\" }"

  metric_transformation {
    namespace     = "crm/${local.place.env}"
    name          = "${var.service.name}-errors"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${local.name}-errors"
  alarm_description   = "${local.name} logs errors. crm diagnose ${var.service.name} --env ${local.place.env} --since 1h"
  namespace           = "crm/${local.place.env}"
  metric_name         = "${var.service.name}-errors"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.service.errors_per_5_minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

# Stands beside Prometheus' own alerts: it fires also when the cluster and its Prometheus are gone.
resource "aws_cloudwatch_metric_alarm" "pods" {
  alarm_name          = "${local.name}-pods"
  alarm_description   = "${local.name} runs fewer than ${var.service.minimum_pods} pods. crm status --env ${local.place.env}"
  namespace           = "ContainerInsights"
  metric_name         = "service_number_of_running_pods"
  dimensions          = { ClusterName = local.place.cluster_name, Namespace = var.service.namespace, Service = var.service.name }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = var.service.minimum_pods
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

resource "aws_cloudwatch_event_rule" "vulnerable_image" {
  name        = "${local.name}-vulnerable-image"
  description = "A scan of an image found something critical."
  tags        = local.tags

  event_pattern = jsonencode({
    source        = ["aws.ecr"]
    "detail-type" = ["ECR Image Scan"]
    detail        = { "repository-name" = [local.name], "finding-severity-counts" = { CRITICAL = [{ numeric = [">", 0] }] } }
  })
}

resource "aws_cloudwatch_event_target" "vulnerable_image" {
  rule = aws_cloudwatch_event_rule.vulnerable_image.name
  arn  = aws_sns_topic.alarms.arn
}

resource "aws_budgets_budget" "this" {
  name         = local.name
  budget_type  = "COST"
  limit_amount = tostring(var.service.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = local.tags

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:service$%s", var.service.name)]
  }

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type         = notification.key
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      comparison_operator       = "GREATER_THAN"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }
}
