variable "place" {
  type        = any
  description = "Where it lies, whose it is, which cluster: the object of ../place, which checks it."
}

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
