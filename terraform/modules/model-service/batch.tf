# The batch job's role: reads models and rows, writes answers, each where crm.yaml names it and nowhere else.
locals {
  batch  = var.service.batch == null ? {} : { batch = var.service.batch }
  reads  = try(var.service.batch.reads, [])
  writes = try(var.service.batch.writes, [])

  read_buckets = { for bucket in distinct([for url in local.reads : split("/", trimprefix(url, "s3://"))[0]]) : bucket => [
    for url in local.reads : join("/", slice(split("/", trimprefix(url, "s3://")), 1, length(split("/", url)) - 2))
    if startswith(url, "s3://${bucket}/")
  ] }

  batch_statements = concat(
    local.pod_reads,
    [for bucket, keys in local.read_buckets : {
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = ["arn:aws:s3:::${bucket}"]
      Condition = { StringLike = { "s3:prefix" = distinct([for key in keys : "${split("*", key)[0]}*"]) } }
    }],
    length(local.reads) == 0 ? [] : [
      { Sid = "ReadRows", Effect = "Allow", Action = ["s3:GetObject"], Resource = [for url in local.reads : "arn:aws:s3:::${trimprefix(url, "s3://")}"] },
    ],
    length(local.writes) == 0 ? [] : [
      { Sid = "WriteAnswers", Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = [for url in local.writes : "arn:aws:s3:::${trimprefix(url, "s3://")}"] },
    ],
    length(try(var.service.batch.key_arns, [])) == 0 ? [] : [{
      Sid       = "KeysOfThoseBuckets"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = tolist(var.service.batch.key_arns)
      Condition = { StringEquals = { "kms:ViaService" = "s3.${local.place.region}.amazonaws.com" } }
    }],
  )
}

resource "aws_iam_role" "batch" {
  for_each = local.batch

  name                 = "${local.name}-batch"
  permissions_boundary = local.place.permissions_boundary
  max_session_duration = 3600
  tags                 = local.tags
  assume_role_policy   = local.pod_trust.batch

  lifecycle {
    precondition {
      condition     = !anytrue([for url in local.writes : startswith(url, "s3://${local.bucket}/")])
      error_message = "service.batch.writes: answers lie in another bucket than the artefacts, which every job of the CI may read."
    }
  }
}

resource "aws_iam_role_policy" "batch" {
  for_each = local.batch

  name   = "models-rows-and-answers"
  role   = aws_iam_role.batch[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.batch_statements })
}
