variable "service" {
  type        = string
  description = "Name of the service, as in crm.yaml."

  validation {
    condition     = can(regex("^[a-z0-9][-a-z0-9]{1,38}[a-z0-9]$", var.service))
    error_message = "service: 3 to 40 lower-case letters, digits and hyphens."
  }
}

variable "env" {
  type        = string
  description = "Environment, as in crm.yaml."

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{1,15}$", var.env))
    error_message = "env: 2 to 16 lower-case letters, digits and _."
  }
}

variable "tier" {
  type        = number
  description = "1 takes money or blocks customers, 2 is seen by customers, 3 is internal."

  validation {
    condition     = contains([1, 2, 3], var.tier)
    error_message = "tier: 1, 2 or 3."
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
  description = "Of the data that the service sees; a tag."

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
  description = "OIDC provider of the EKS cluster; its pods take the service's role through it (IRSA)."

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/.+$", var.cluster_oidc_provider_arn))
    error_message = "cluster_oidc_provider_arn: arn:aws:iam::<account>:oidc-provider/<issuer without https://>."
  }
}

variable "cluster_name" {
  type        = string
  description = "EKS cluster."
}

variable "namespace" {
  type        = string
  description = "Kubernetes namespace of the service."
}

variable "service_account" {
  type        = string
  description = "Kubernetes service account of the pods; default: the service's name."
  default     = null
}

variable "ci_oidc_provider_arn" {
  type        = string
  description = "OIDC provider of the CI (GitLab or GitHub); its jobs take the four roles through it."

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/.+$", var.ci_oidc_provider_arn))
    error_message = "ci_oidc_provider_arn: arn:aws:iam::<account>:oidc-provider/<issuer without https://>."
  }
}

variable "ci_audience" {
  type        = string
  description = "Audience of the CI's tokens."
  default     = "sts.amazonaws.com"
}

variable "ci_subjects" {
  type = object({
    reader   = list(string)
    trainer  = list(string)
    approver = list(string)
    deployer = list(string)
  })
  description = "`sub` claims of the CI's token that may take each role; only the reader's may hold a *."

  validation {
    condition     = !can(regex("[*?]", join("", concat(var.ci_subjects.trainer, var.ci_subjects.approver, var.ci_subjects.deployer))))
    error_message = "ci_subjects: a role that writes wants whole subjects, without * or ?."
  }

  validation {
    condition     = alltrue([for s in var.ci_subjects.reader : can(regex("^[^*?]{8,}[*]?$", s))])
    error_message = "ci_subjects.reader: at most one *, at the end, after the project's name."
  }

  validation {
    condition     = length(setintersection(var.ci_subjects.trainer, var.ci_subjects.approver)) == 0
    error_message = "ci_subjects: who trains may not approve; give the approver a protected environment of its own."
  }

  validation {
    condition     = var.tier > 1 || length(setintersection(var.ci_subjects.deployer, var.ci_subjects.approver)) == 0
    error_message = "ci_subjects: in tier 1 who deploys may not approve."
  }
}

variable "permissions_boundary" {
  type        = string
  description = "ARN of the policy that bounds every role here, where the account has one."
  default     = null
}

variable "secrets" {
  type        = set(string)
  description = "Names of secrets; their values are put in by hand or by rotation and never stand in Terraform."
  default     = []
}

variable "rotation_lambda_arn" {
  type        = string
  description = "Function that renews the secrets every 30 days; needed where `secrets` holds one."
  default     = null

  validation {
    condition     = length(var.secrets) == 0 || var.rotation_lambda_arn != null
    error_message = "rotation_lambda_arn: secrets must be renewed; name the function that does it."
  }
}

variable "alarm_emails" {
  type        = set(string)
  description = "Who is told of alarms and of the budget."
}

variable "monthly_budget_usd" {
  type        = number
  description = "Cost a month (USD) at which somebody is told; 80 % of it spent, or all of it forecast."

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd: above 0."
  }
}

variable "errors_per_5_minutes" {
  type        = number
  description = "Lines of level error in 5 minutes that raise the alarm."
  default     = 10
}

variable "minimum_pods" {
  type        = number
  description = "Fewer running pods than this raise the alarm."
  default     = 1
}

variable "log_retention_days" {
  type        = number
  description = "Days that logs are kept; they hold no value of any request."
  default     = 365

  validation {
    condition     = contains([365, 400, 545, 731, 1096], var.log_retention_days)
    error_message = "log_retention_days: 365, 400, 545, 731 or 1096."
  }
}
