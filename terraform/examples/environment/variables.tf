variable "env" {
  type        = string
  description = "As in crm.yaml."
}

variable "account" {
  type        = string
  description = "AWS account of the environment: each has its own."
}

variable "region" {
  type        = string
  description = "Of the European Union."
  default     = "eu-central-1"
}

variable "databases" {
  type        = object({ class = string, storage_gb = number })
  description = "As the module platform takes it; so are kafka, redis_shards and opensearch."
}

variable "kafka" {
  type        = object({ instance_type = string, storage_gb = number })
  description = "Size of the brokers."
}

variable "redis_shards" {
  type        = number
  description = "Shards of Redis."
}

variable "opensearch" {
  type        = object({ instance_type = string, storage_gb = number })
  description = "Size of the data nodes."
}

variable "monthly_budget_usd" {
  type        = number
  description = "Of the service."
}
