terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Filled by -backend-config. The lock is a file beside the state, <key>.tflock; the bucket exists before.
  backend "s3" {}
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account]
}
