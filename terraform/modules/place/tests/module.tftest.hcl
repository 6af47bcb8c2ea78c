mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
}

variables {
  name = "fraud-payments"

  place = {
    env                       = "prod"
    region                    = "eu-central-1"
    owner                     = "risk-ds@example.com"
    cost_centre               = "4711"
    data_class                = "personal"
    bucket_prefix             = "carrental"
    access_log_bucket         = "carrental-prod-access-logs"
    cluster_name              = "carrental-prod"
    cluster_oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"
    permissions_boundary      = null
  }
}

run "everything_gets_the_tags" {
  assert {
    condition = output.place.tags == {
      service     = "fraud-payments"
      env         = "prod"
      owner       = "risk-ds@example.com"
      cost-centre = "4711"
      data-class  = "personal"
      managed-by  = "crm"
    }
    error_message = "A tag is missing."
  }

  assert {
    condition     = output.place.account == "111122223333" && output.place.cluster_issuer == "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"
    error_message = "Another account or issuer."
  }
}

run "a_region_outside_the_european_union_is_refused" {
  command         = plan
  expect_failures = [var.place]

  variables {
    place = merge(var.place, { region = "us-east-1" })
  }
}

run "zurich_and_london_are_outside_the_european_union" {
  command         = plan
  expect_failures = [var.place]

  variables {
    place = merge(var.place, { region = "eu-central-2" })
  }
}

run "a_provider_in_another_region_is_refused" {
  command         = plan
  expect_failures = [output.place]

  variables {
    place = merge(var.place, { region = "eu-west-1" })
  }
}

run "an_empty_owner_is_refused" {
  command         = plan
  expect_failures = [var.place]

  variables {
    place = merge(var.place, { owner = " " })
  }
}

run "a_cluster_is_named_by_its_whole_provider" {
  command         = plan
  expect_failures = [var.place]

  variables {
    place = merge(var.place, { cluster_oidc_provider_arn = "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF" })
  }
}
