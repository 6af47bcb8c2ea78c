variable "name" {
  type        = string
  description = "Before every name; such as `mlops-prod`."

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{1,18}[a-z0-9]$", var.name))
    error_message = "name: 3 to 20 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "vpc_id" {
  type        = string
  description = "Network that the platform lives in; made by the account's baseline."
}

variable "private_subnet_ids" {
  type        = list(string)
  description = "Subnets without a way from the internet, one in each of three zones."

  validation {
    condition     = length(var.private_subnet_ids) >= 3
    error_message = "private_subnet_ids: three, one in each zone."
  }
}

variable "private_route_table_ids" {
  type        = list(string)
  description = "Route tables of those subnets; S3 is reached through them."
}

variable "node_security_group_id" {
  type        = string
  description = "Security group of the cluster's nodes: the only ones that reach the stores."
}

variable "addon_versions" {
  type        = map(string)
  description = "EKS add-on to version, such as vpc-cni = v1.20.4-eksbuild.2; they go with the cluster's version."

  validation {
    condition     = alltrue([for name in ["vpc-cni", "coredns", "kube-proxy", "aws-ebs-csi-driver"] : contains(keys(var.addon_versions), name)])
    error_message = "addon_versions: vpc-cni, coredns, kube-proxy and aws-ebs-csi-driver."
  }
}

variable "databases" {
  type = object({
    class      = string
    storage_gb = number
  })
  description = "Size of MLflow's PostgreSQL and of ZenML's MySQL, each in two zones."
  default     = { class = "db.m7g.large", storage_gb = 100 }
}

variable "redis" {
  type = object({
    node_type       = string
    shards          = number
    auth_secret_arn = string
  })
  description = "Online features. The secret holds the password (16 to 128 characters), put in by hand."
}

variable "kafka" {
  type = object({
    instance_type = string
    storage_gb    = number
  })
  description = "Audit events and streams, three brokers."
  default     = { instance_type = "kafka.m7g.large", storage_gb = 500 }
}

variable "opensearch" {
  type = object({
    instance_type   = string
    storage_gb      = number
    master_role_arn = string
  })
  description = "Logs and request audit, three data nodes and three masters; the role administers it."
}

variable "athena_scan_limit_gb" {
  type        = number
  description = "A query that reads more is stopped (GB)."
  default     = 500
}

variable "env" {
  type        = string
  description = "Environment, as in crm.yaml."

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{1,15}$", var.env))
    error_message = "env: 2 to 16 lower-case letters, digits and _."
  }
}

variable "allowed_regions" {
  type        = list(string)
  description = "Regions that personal data may lie in: those of the European Union."
  default     = ["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"]
}

variable "region" {
  type        = string
  description = "Region of the provider that this module is given."

  validation {
    condition     = contains(var.allowed_regions, var.region)
    error_message = "region: outside the European Union, or not in allowed_regions."
  }
}

variable "owner" {
  type        = string
  description = "Who answers for the service; a tag."

  validation {
    condition     = length(trimspace(var.owner)) > 0
    error_message = "owner: a team or mail address."
  }
}

variable "cost_centre" {
  type        = string
  description = "Who pays; a tag."

  validation {
    condition     = length(trimspace(var.cost_centre)) > 0
    error_message = "cost_centre: may not be empty."
  }
}

variable "data_class" {
  type        = string
  description = "Of the most sensitive data that lies here; a tag."

  validation {
    condition     = contains(["public", "internal", "confidential", "personal"], var.data_class)
    error_message = "data_class: public, internal, confidential or personal."
  }
}

variable "bucket_prefix" {
  type        = string
  description = "Before the bucket's name, which is unique in all of AWS; such as the company's name."
}

variable "access_log_bucket" {
  type        = string
  description = "Bucket of the same account and region that takes the access logs."
}

variable "cluster_oidc_provider_arn" {
  type        = string
  description = "OIDC provider of the EKS cluster; add-ons take their roles through it (IRSA)."

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/.+$", var.cluster_oidc_provider_arn))
    error_message = "cluster_oidc_provider_arn: arn:aws:iam::<account>:oidc-provider/<issuer without https://>."
  }
}

variable "cluster_name" {
  type        = string
  description = "EKS cluster."
}

variable "permissions_boundary" {
  type        = string
  description = "ARN of the policy that bounds every role here, where the account has one."
  default     = null
}
