variable "name" {
  type        = string
  description = "Name of the instance."
}

variable "database" {
  type        = string
  description = "Name of the database in it."
}

variable "engine" {
  type = object({
    name          = string
    version       = string
    family        = string
    port          = number
    tls_parameter = string
    logs          = list(string)
  })
  description = "What runs, and the parameter that makes it refuse a connection without TLS."
}

variable "settings" {
  type        = map(string)
  description = "Further parameters."
  default     = {}
}

variable "size" {
  type = object({
    class      = string
    storage_gb = number
  })
  description = "Instance class, and disk at the start (GiB); it grows to five times that."
}

variable "vpc_id" {
  type        = string
  description = "Network."
}

variable "subnet_group" {
  type        = string
  description = "Subnets, in two zones at least."
}

variable "client_security_group_id" {
  type        = string
  description = "Who reaches it."
}

variable "kms_key" {
  type = object({
    arn    = string
    key_id = string
  })
  description = "Key of disk, backups, password and performance data."
}

variable "monitoring_role_arn" {
  type        = string
  description = "Role that RDS writes enhanced monitoring with."
}

variable "tags" {
  type        = map(string)
  description = "Tags of all that is made here."
}
