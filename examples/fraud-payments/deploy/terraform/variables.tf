# Managed by crm. Their values come from config/<env>.yaml through `crm infra`; the module says what each means.

variable "service" {
  type = string
}

variable "env" {
  type = string
}

variable "tier" {
  type = number
}

variable "owner" {
  type = string
}

variable "cost_centre" {
  type = string
}

variable "data_class" {
  type = string
}

variable "region" {
  type = string
}

variable "account" {
  type = string
}

variable "namespace" {
  type = string
}

variable "bucket_prefix" {
  type = string
}

variable "access_log_bucket" {
  type = string
}

variable "cluster_name" {
  type = string
}

variable "cluster_oidc_provider_arn" {
  type = string
}

variable "ci_oidc_provider_arn" {
  type = string
}

variable "ci_audience" {
  type = string
}

variable "ci_subjects" {
  type = object({
    reader   = list(string)
    trainer  = list(string)
    approver = list(string)
    deployer = list(string)
  })
}

variable "permissions_boundary" {
  type = string
}

variable "secrets" {
  type = set(string)
}

variable "rotation_lambda_arn" {
  type = string
}

variable "alarm_emails" {
  type = set(string)
}

variable "monthly_budget_usd" {
  type = number
}

variable "minimum_pods" {
  type = number
}
