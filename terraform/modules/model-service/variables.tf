variable "place" {
  type        = any
  description = "Where it lies, whose it is, which cluster: the object of ../place, which checks it."
}

variable "service" {
  type = object({
    name                 = string           # as in crm.yaml
    tier                 = number           # 1 takes money or blocks customers, 2 is seen by customers, 3 is internal
    namespace            = string           # in Kubernetes
    service_account      = optional(string) # of the pods; null: the service's name
    ci_oidc_provider_arn = string           # of GitLab or GitHub; jobs take the four roles through it
    ci_audience          = optional(string, "sts.amazonaws.com")

    ci_subjects = object({ # `sub` claims of the CI's token that may take each role
      reader   = list(string)
      trainer  = list(string)
      approver = list(string)
      deployer = list(string)
    })

    secrets              = set(string) # names; values are put in by hand or by rotation and never stand in Terraform
    rotation_lambda_arn  = string      # renews the secrets every 30 days; null where there is none
    alarm_emails         = set(string) # who is told of alarms and of the budget
    monthly_budget_usd   = number      # somebody is told when 80 % is spent, or all of it forecast
    minimum_pods         = number      # fewer running pods raise the alarm
    errors_per_5_minutes = optional(number, 10)
    log_retention_days   = optional(number, 365) # logs hold no value of any request

    batch = optional(object({              # the batch job beside the service; null: none
      reads    = set(string)               # s3://bucket/key, or s3://bucket/prefix* : rows
      writes   = set(string)               # s3://bucket/prefix/* : answers, in another bucket than the artefacts
      key_arns = optional(set(string), []) # KMS keys of those buckets
    }))
  })
  description = "One service, as crm.yaml and the environment's overlay say; `crm infra` fills it."

  validation {
    condition     = can(regex("^[a-z0-9][-a-z0-9]{1,38}[a-z0-9]$", var.service.name))
    error_message = "service.name: 3 to 40 lower-case letters, digits and hyphens."
  }

  validation {
    condition     = contains([1, 2, 3], var.service.tier)
    error_message = "service.tier: 1, 2 or 3."
  }

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/.+$", var.service.ci_oidc_provider_arn))
    error_message = "service.ci_oidc_provider_arn: arn:aws:iam::<account>:oidc-provider/<issuer without https://>."
  }

  validation {
    condition     = !can(regex("[*?]", join("", concat(var.service.ci_subjects.trainer, var.service.ci_subjects.approver, var.service.ci_subjects.deployer))))
    error_message = "service.ci_subjects: a role that writes wants whole subjects, without * or ?."
  }

  validation {
    condition     = alltrue([for s in var.service.ci_subjects.reader : can(regex("^[^*?]{8,}[*]?$", s))])
    error_message = "service.ci_subjects.reader: at most one *, at the end, after the project's name."
  }

  validation {
    condition     = length(setintersection(var.service.ci_subjects.trainer, var.service.ci_subjects.approver)) == 0
    error_message = "service.ci_subjects: who trains may not approve; docs/how-to/infrastructure.md says how each CI tells them apart."
  }

  validation {
    condition     = var.service.tier > 1 || length(setintersection(var.service.ci_subjects.deployer, var.service.ci_subjects.approver)) == 0
    error_message = "service.ci_subjects: in tier 1 who deploys may not approve."
  }

  validation {
    condition     = length(var.service.secrets) == 0 || var.service.rotation_lambda_arn != null
    error_message = "service.rotation_lambda_arn: secrets must be renewed; name the function that does it."
  }

  validation {
    condition     = var.service.monthly_budget_usd > 0
    error_message = "service.monthly_budget_usd: above 0."
  }

  validation {
    condition     = contains([365, 400, 545, 731, 1096], var.service.log_retention_days)
    error_message = "service.log_retention_days: 365, 400, 545, 731 or 1096."
  }

  validation {
    condition     = alltrue([for url in try(var.service.batch.reads, []) : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?]*[*]?$", url))])
    error_message = "service.batch.reads: s3://bucket/key, or s3://bucket/prefix* with its one * at the end."
  }

  validation {
    condition     = alltrue([for url in try(var.service.batch.writes, []) : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?]+/[^/?]*$", url))])
    error_message = "service.batch.writes: s3://bucket/folder/*; a whole bucket is no prefix."
  }

  validation {
    condition     = alltrue([for arn in try(var.service.batch.key_arns, []) : can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-zA-Z-]+$", arn))])
    error_message = "service.batch.key_arns: arn:aws:kms:<region>:<account>:key/<id>, each a whole one."
  }
}
