variable "name" {
  type        = string
  description = "Of the service, or `platform`; a tag."
}

variable "place" {
  type = object({
    env                       = string # as in crm.yaml
    region                    = string # of the provider that the module is given
    owner                     = string # who answers for it: a team or mail address; a tag
    cost_centre               = string # who pays; a tag
    data_class                = string # of the most sensitive data there; a tag
    bucket_prefix             = string # before names of buckets, which are unique in all of AWS; such as the company's name
    access_log_bucket         = string # of the same account and region; takes the access logs
    cluster_name              = string # the EKS cluster
    cluster_oidc_provider_arn = string # its pods take their roles through it (IRSA)
    permissions_boundary      = string # ARN of the policy that bounds every role, or null
    allowed_regions = optional(list(string),
    ["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"]) # of the European Union
  })
  description = "Where things lie, whose they are, and the cluster that uses them."

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{1,15}$", var.place.env))
    error_message = "place.env: 2 to 16 lower-case letters, digits and _."
  }

  validation {
    condition     = contains(var.place.allowed_regions, var.place.region)
    error_message = "place.region: outside the European Union, or not in allowed_regions."
  }

  validation {
    condition     = length(trimspace(var.place.owner)) > 0 && length(trimspace(var.place.cost_centre)) > 0
    error_message = "place.owner, place.cost_centre: may not be empty."
  }

  validation {
    condition     = contains(["public", "internal", "confidential", "personal"], var.place.data_class)
    error_message = "place.data_class: public, internal, confidential or personal."
  }

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/.+$", var.place.cluster_oidc_provider_arn))
    error_message = "place.cluster_oidc_provider_arn: arn:aws:iam::<account>:oidc-provider/<issuer without https://>."
  }
}
