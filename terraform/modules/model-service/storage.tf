# models/ and evidence/ are the trainer's, approvals/ the approver's, releases/ the deployer's; nobody writes another's.
module "artefacts" {
  source = "../bucket"

  name              = local.bucket
  tags              = local.tags
  kms_key_arn       = aws_kms_key.this.arn
  access_log_bucket = local.place.access_log_bucket
  archive           = { "models/" = 90 }
  expire            = { "tmp/" = 7 }

  statements = [for prefix, role in { models = "trainer", evidence = "trainer", approvals = "approver", releases = "deployer" } : {
    Sid       = "Only${title(role)}Writes${title(prefix)}"
    Effect    = "Deny"
    Principal = "*"
    Action    = ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"]
    Resource  = ["${local.bucket_arn}/${prefix}/*"]
    Condition = { ArnNotEquals = { "aws:PrincipalArn" = local.role_arn[role] } }
  }]
}

resource "aws_ecr_repository" "this" {
  name                 = local.name
  image_tag_mutability = "IMMUTABLE"
  tags                 = local.tags

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Layers without a tag: 14 days"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "The newest 200 images, so that each release of a year can be taken back to"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 200 }
        action       = { type = "expire" }
      },
    ]
  })
}
