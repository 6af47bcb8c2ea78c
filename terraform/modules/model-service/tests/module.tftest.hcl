mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_resource "aws_kms_key" {
    defaults = {
      arn    = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
      key_id = "11111111-2222-3333-4444-555555555555"
    }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:fraud-payments-prod-alarms" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mocked" }
  }
}

variables {
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

  service = {
    name                 = "fraud-payments"
    tier                 = 1
    namespace            = "models"
    ci_oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/gitlab.example.com"
    secrets              = ["redis-url", "audit-key"]
    rotation_lambda_arn  = "arn:aws:lambda:eu-central-1:111122223333:function:rotate"
    alarm_emails         = ["risk-ds@example.com"]
    monthly_budget_usd   = 500
    minimum_pods         = 2

    ci_subjects = {
      reader   = ["project_path:ds/fraud-payments:*"]
      trainer  = ["project_path:ds/fraud-payments:ref_type:branch:ref:main"]
      approver = ["project_path:ds/approvals:ref_type:branch:ref:main"]
      deployer = ["project_path:ds/fraud-payments:ref_type:tag:ref:release"]
    }
  }
}

run "stores_are_encrypted_versioned_and_private" {
  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && one(aws_ecr_repository.this.encryption_configuration).encryption_type == "KMS"
    error_message = "Images can be replaced, or are not encrypted by our key."
  }

  assert {
    condition     = local.bucket == "carrental-fraud-payments-prod-artefacts"
    error_message = "The bucket has another name."
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_cloudwatch_log_group.this.kms_key_id == aws_kms_key.this.arn
    error_message = "The key is not renewed, or logs are not encrypted by it."
  }
}

run "pods_take_their_role_by_their_own_service_account_alone" {
  assert {
    condition = jsondecode(aws_iam_role.pod.assume_role_policy).Statement[0].Condition.StringEquals == {
      "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF:aud" = "sts.amazonaws.com"
      "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF:sub" = "system:serviceaccount:models:fraud-payments"
    }
    error_message = "Another service account could take the role."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.pod.policy, "Put") && !strcontains(aws_iam_role_policy.pod.policy, "\"*\"")
    error_message = "The pods' role writes, or reaches everything."
  }
}

run "only_the_approver_writes_approvals" {
  assert {
    condition = [for role, policy in aws_iam_role_policy.ci : role if anytrue([
      for s in jsondecode(policy.policy).Statement : anytrue([for a in s.Action : strcontains(a, "Put")]) && anytrue([for r in s.Resource : strcontains(r, "approvals")])
    ])] == ["approver"]
    error_message = "Another role than the approver's may write approvals."
  }

  assert {
    condition = toset([for s in local.role_statements.approver : join(",", s.Resource) if anytrue([for a in s.Action : strcontains(a, "Put")])]) == toset([
      "arn:aws:s3:::carrental-fraud-payments-prod-artefacts/approvals/*",
    ])
    error_message = "The approver writes something else than approvals."
  }
}

run "only_registry_login_names_every_resource" {
  assert {
    condition = toset(flatten([for role, policy in aws_iam_role_policy.ci : [
      for s in jsondecode(policy.policy).Statement : s.Action if contains(s.Resource, "*")
    ]])) == toset(["ecr:GetAuthorizationToken"])
    error_message = "A policy reaches every resource."
  }
}

run "everything_carries_the_tags" {
  assert {
    condition = alltrue([for tags in [aws_ecr_repository.this.tags, aws_kms_key.this.tags, aws_iam_role.pod.tags, aws_cloudwatch_log_group.this.tags, aws_budgets_budget.this.tags] :
    alltrue([for key in ["owner", "service", "cost-centre", "data-class", "env"] : contains(keys(tags), key)])])
    error_message = "A tag is missing."
  }
}

run "the_budget_tells_before_it_is_spent" {
  assert {
    condition     = toset([for n in aws_budgets_budget.this.notification : "${n.notification_type} ${n.threshold}"]) == toset(["ACTUAL 80", "FORECASTED 100"])
    error_message = "Nobody is told in time."
  }

  assert {
    condition     = toset(one(aws_budgets_budget.this.cost_filter).values) == toset(["user:service$fraud-payments"])
    error_message = "The budget counts something else than this service."
  }
}

run "logs_are_kept_for_a_year" {
  command         = plan
  expect_failures = [var.service]

  variables {
    service = merge(var.service, { log_retention_days = 90 })
  }
}

run "who_trains_may_not_approve" {
  command         = plan
  expect_failures = [var.service]

  variables {
    service = merge(var.service, { ci_subjects = merge(var.service.ci_subjects, {
      approver = ["project_path:ds/fraud-payments:ref_type:branch:ref:main"]
    }) })
  }
}

run "in_tier_1_who_deploys_may_not_approve" {
  command         = plan
  expect_failures = [var.service]

  variables {
    service = merge(var.service, { ci_subjects = merge(var.service.ci_subjects, {
      deployer = ["project_path:ds/approvals:ref_type:branch:ref:main"]
    }) })
  }
}

run "a_writing_role_names_whole_subjects" {
  command         = plan
  expect_failures = [var.service]

  variables {
    service = merge(var.service, { ci_subjects = merge(var.service.ci_subjects, { trainer = ["project_path:ds/*"] }) })
  }
}

run "secrets_without_renewal_are_refused" {
  command         = plan
  expect_failures = [var.service]

  variables {
    service = merge(var.service, { rotation_lambda_arn = null })
  }
}
