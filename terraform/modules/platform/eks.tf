locals {
  # Add-on or controller to the service account that takes its role.
  service_accounts = {
    vpc-cni            = "kube-system:aws-node"
    aws-ebs-csi-driver = "kube-system:ebs-csi-controller-sa"
    external-secrets   = "external-secrets:external-secrets"
    fluent-bit         = "logging:fluent-bit"
  }
  managed_policies = {
    vpc-cni            = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
    aws-ebs-csi-driver = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
  }
  addon_settings = {
    vpc-cni = jsonencode({ enableNetworkPolicy = "true" }) # or the services' NetworkPolicies do nothing
  }
}

resource "aws_iam_role" "addon" {
  for_each = local.service_accounts

  name                 = "${var.name}-${each.key}"
  permissions_boundary = local.place.permissions_boundary
  max_session_duration = 3600
  tags                 = local.place.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.place.cluster_oidc_provider_arn }
      Condition = {
        StringEquals = {
          "${local.place.cluster_issuer}:aud" = "sts.amazonaws.com"
          "${local.place.cluster_issuer}:sub" = "system:serviceaccount:${each.value}"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "addon" {
  for_each = local.managed_policies

  role       = aws_iam_role.addon[each.key].name
  policy_arn = each.value
}

resource "aws_iam_role_policy" "external_secrets" {
  name = "secrets-of-this-environment"
  role = aws_iam_role.addon["external-secrets"].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadSecrets"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource = ["arn:aws:secretsmanager:${local.place.region}:${local.place.account}:secret:${local.place.env}/*"]
      },
      {
        Sid       = "Decrypt"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = ["arn:aws:kms:${local.place.region}:${local.place.account}:key/*"]
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.place.region}.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_iam_role_policy" "fluent_bit" {
  name = "write-logs"
  role = aws_iam_role.addon["fluent-bit"].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "WriteServiceLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
        Resource = ["arn:aws:logs:${local.place.region}:${local.place.account}:log-group:/crm/${local.place.env}/*"]
      },
      {
        Sid      = "WriteSearch"
        Effect   = "Allow"
        Action   = ["es:ESHttpPost", "es:ESHttpPut"]
        Resource = ["arn:aws:es:${local.place.region}:${local.place.account}:domain/${var.name}/*"]
      },
    ]
  })
}

resource "aws_eks_addon" "this" {
  for_each = var.addon_versions

  cluster_name                = local.place.cluster_name
  addon_name                  = each.key
  addon_version               = each.value
  configuration_values        = lookup(local.addon_settings, each.key, null)
  service_account_role_arn    = contains(keys(local.service_accounts), each.key) ? aws_iam_role.addon[each.key].arn : null
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "PRESERVE"
  tags                        = local.place.tags
  depends_on                  = [aws_iam_role_policy_attachment.addon]
}
