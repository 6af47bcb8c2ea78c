locals {
  ci_issuer = split("oidc-provider/", var.service.ci_oidc_provider_arn)[1]

  read = [
    { Sid = "ListArtefacts", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [local.bucket_arn] },
    { Sid = "ReadArtefacts", Effect = "Allow", Action = ["s3:GetObject", "s3:GetObjectVersion"], Resource = ["${local.bucket_arn}/*"] },
  ]
  images = [
    {
      Sid      = "ReadImages"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:DescribeImages", "ecr:DescribeImageScanFindings"]
      Resource = [local.repository]
    },
    { Sid = "LogInToRegistry", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] }, # it takes no other resource
  ]

  find_cluster = [
    { Sid = "FindCluster", Effect = "Allow", Action = ["eks:DescribeCluster"], Resource = ["arn:aws:eks:${local.place.region}:${local.place.account}:cluster/${local.place.cluster_name}"] },
  ]

  # What pods read, whichever of the two roles they have.
  pod_reads = concat(
    [
      { Sid = "ListModels", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [local.bucket_arn], Condition = { StringLike = { "s3:prefix" = ["models/*"] } } },
      { Sid = "ReadModels", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${local.bucket_arn}/models/*"] },
    ],
    length(var.service.secrets) == 0 ? [] : [{
      Sid      = "ReadSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = [for name in var.service.secrets : "arn:aws:secretsmanager:${local.place.region}:${local.place.account}:secret:${local.place.env}/${var.service.name}/${name}-??????"]
    }],
  )

  # Each role of pods is taken by the tokens of one service account, which the chart makes.
  pod_trust = { for role, account in { pod = coalesce(var.service.service_account, var.service.name), batch = "${var.service.name}-batch" } : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.place.cluster_oidc_provider_arn }
      Condition = {
        StringEquals = {
          "${local.place.cluster_issuer}:aud" = "sts.amazonaws.com"
          "${local.place.cluster_issuer}:sub" = "system:serviceaccount:${var.service.namespace}:${account}"
        }
      }
    }]
  }) }

  role_statements = {
    reader = concat(local.read, local.images, [
      {
        Sid      = "ReadLogs"
        Effect   = "Allow"
        Action   = ["logs:FilterLogEvents", "logs:GetLogEvents", "logs:DescribeLogStreams"]
        Resource = [local.log_group_arn, "${local.log_group_arn}:*"]
      },
    ])
    trainer = concat(local.read, [
      { Sid = "WriteModels", Effect = "Allow", Action = ["s3:PutObject"], Resource = [for p in ["models", "evidence", "tmp"] : "${local.bucket_arn}/${p}/*"] },
    ])
    approver = concat(local.read, [
      { Sid = "WriteApprovals", Effect = "Allow", Action = ["s3:PutObject"], Resource = ["${local.bucket_arn}/approvals/*"] },
    ])
    deployer = concat(local.read, local.images, [
      { Sid = "WriteReleases", Effect = "Allow", Action = ["s3:PutObject"], Resource = ["${local.bucket_arn}/releases/*"] },
      {
        Sid      = "PushImages"
        Effect   = "Allow"
        Action   = ["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"]
        Resource = [local.repository]
      },
    ], local.find_cluster)
  }
}

# The pods' role: reads the service's own artefacts and secrets, writes nothing.
resource "aws_iam_role" "pod" {
  name                 = "${local.name}-pod"
  permissions_boundary = local.place.permissions_boundary
  max_session_duration = 3600
  tags                 = local.tags
  assume_role_policy   = local.pod_trust.pod
}

resource "aws_iam_role_policy" "pod" {
  name   = "own-artefacts-and-secrets"
  role   = aws_iam_role.pod.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.pod_reads })
}

# The CI's roles. The token's `sub` says which job of which project asks; no long-lived key exists.
resource "aws_iam_role" "ci" {
  for_each = local.role_statements

  name                 = "${local.name}-${each.key}"
  permissions_boundary = local.place.permissions_boundary
  max_session_duration = 3600
  tags                 = merge(local.tags, { role = each.key })

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = var.service.ci_oidc_provider_arn }
      Condition = {
        StringEquals = { "${local.ci_issuer}:aud" = var.service.ci_audience }
        StringLike   = { "${local.ci_issuer}:sub" = var.service.ci_subjects[each.key] }
      }
    }]
  })
}

resource "aws_iam_role_policy" "ci" {
  for_each = local.role_statements

  name   = each.key
  role   = aws_iam_role.ci[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}
