# Tables of past requests and features, asked by Athena; and what Airflow reads its DAGs from.

module "query_results" {
  source = "../bucket"

  name              = "${local.place.bucket_prefix}-${var.name}-queries"
  tags              = local.place.tags
  kms_key_arn       = aws_kms_key.this.arn
  access_log_bucket = local.place.access_log_bucket
  noncurrent_days   = 7
  expire            = { "results/" = 30 }
}

module "airflow" {
  source = "../bucket"

  name              = "${local.place.bucket_prefix}-${var.name}-airflow"
  tags              = local.place.tags
  kms_key_arn       = aws_kms_key.this.arn
  access_log_bucket = local.place.access_log_bucket
}

resource "aws_glue_catalog_database" "this" {
  name        = replace("${var.name}_ml", "-", "_")
  description = "Tables of features, requests and predictions of ${var.name}"
  tags        = local.place.tags
}

resource "aws_athena_workgroup" "this" {
  name        = var.name
  description = "Queries of the model teams; a query that reads too much is stopped"
  tags        = local.place.tags

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.athena_scan_limit_gb * 1000 * 1000 * 1000

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location       = "s3://${module.query_results.name}/results/"
      expected_bucket_owner = local.place.account

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = aws_kms_key.this.arn
      }
    }
  }
}
