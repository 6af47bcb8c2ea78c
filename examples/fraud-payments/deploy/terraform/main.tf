# Managed by crm: `crm infra` fills `crm` from config/<env>.yaml and brings the module, which says what each value means.
# Files of your own go beside this one.
terraform {
  backend "s3" {}
}

variable "crm" {
  type = any
}

provider "aws" {
  region              = var.crm.region
  allowed_account_ids = [var.crm.account]
}

module "service" {
  source = "../../.crm/terraform/modules/model-service"

  place   = var.crm
  service = var.crm
}

output "service" {
  description = "role_arns, image and the rest of what crm.yaml and the CI need."
  value       = module.service
}
