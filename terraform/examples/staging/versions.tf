terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # The lock is a file beside the state, <key>.tflock; the bucket exists before (docs/how-to/infrastructure.md).
  backend "s3" {
    bucket       = "carrental-staging-terraform-state"
    key          = "platform/staging.tfstate"
    region       = "eu-central-1"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = local.region
  allowed_account_ids = [local.account]
}
