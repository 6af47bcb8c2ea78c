mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_data "aws_secretsmanager_secret_version" {
    defaults = { secret_string = "not-a-real-password-0123456789" }
  }
}

# A plan has passed every check of both modules.
run "the_example_plans" {
  command = plan
}
