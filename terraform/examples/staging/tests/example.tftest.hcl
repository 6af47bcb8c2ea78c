mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_data "aws_secretsmanager_secret_version" {
    defaults = { secret_string = "not-a-real-password-0123456789" }
  }
}

run "the_example_plans" {
  command = plan

  assert {
    condition     = startswith(local.region, "eu-")
    error_message = "The example lies outside the European Union."
  }
}
