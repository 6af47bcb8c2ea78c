mock_provider "aws" {}

variables {
  name              = "carrental-artefacts"
  kms_key_arn       = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
  access_log_bucket = "carrental-access-logs"
  tags              = { owner = "mlops@example.com" }
  archive           = { "models/" = 90 }
  expire            = { "tmp/" = 7 }
}

run "the_bucket_is_private_encrypted_versioned_and_logged" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "The bucket can be made public."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn
    error_message = "Objects are not encrypted by our key."
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
    error_message = "A deleted object is gone."
  }

  assert {
    condition     = aws_s3_bucket_logging.this.target_bucket == "carrental-access-logs"
    error_message = "Nobody sees who read what."
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Sid == "TlsOnly"
    error_message = "Objects can be read without TLS."
  }

  assert {
    condition     = toset(aws_s3_bucket_lifecycle_configuration.this.rule[*].id) == toset(["noncurrent", "archive-models", "expire-tmp"])
    error_message = "A lifecycle rule is missing."
  }
}
