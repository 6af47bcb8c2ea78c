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

run "without_a_batch_job_it_has_no_role" {
  assert {
    condition     = length(aws_iam_role.batch) == 0 && length(aws_iam_role_policy.batch) == 0 && !strcontains(aws_kms_key.this.policy, "-batch")
    error_message = "A role that nobody takes is there."
  }
}

run "the_batch_job_reads_its_rows_and_writes_its_answers_and_no_more" {
  variables {
    service = merge(var.service, { batch = {
      reads    = ["s3://rows/fraud/*", "s3://rows/day.parquet", "s3://other-rows/*"]
      writes   = ["s3://answers/fraud/*.parquet"]
      key_arns = ["arn:aws:kms:eu-central-1:111122223333:key/of-the-rows"]
    } })
  }

  assert {
    condition = jsondecode(aws_iam_role.batch["batch"].assume_role_policy).Statement[0].Condition.StringEquals == {
      "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF:aud" = "sts.amazonaws.com"
      "oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF:sub" = "system:serviceaccount:models:fraud-payments-batch"
    }
    error_message = "Another service account could take the role, the service's own for one."
  }

  assert {
    condition = toset(flatten([for s in jsondecode(aws_iam_role_policy.batch["batch"].policy).Statement : [for a in s.Action : [for r in s.Resource :
      join(" ", concat([a, r], try(s.Condition.StringLike["s3:prefix"], [])))
      ]] if !strcontains(join("", s.Action), "secretsmanager")])) == toset([
      "s3:ListBucket arn:aws:s3:::carrental-fraud-payments-prod-artefacts models/*",
      "s3:GetObject arn:aws:s3:::carrental-fraud-payments-prod-artefacts/models/*",
      "s3:ListBucket arn:aws:s3:::rows day.parquet* fraud/*",
      "s3:ListBucket arn:aws:s3:::other-rows *",
      "s3:GetObject arn:aws:s3:::rows/fraud/*",
      "s3:GetObject arn:aws:s3:::rows/day.parquet",
      "s3:GetObject arn:aws:s3:::other-rows/*",
      "s3:PutObject arn:aws:s3:::answers/fraud/*.parquet",
      "s3:AbortMultipartUpload arn:aws:s3:::answers/fraud/*.parquet",
      "kms:Decrypt arn:aws:kms:eu-central-1:111122223333:key/of-the-rows",
      "kms:GenerateDataKey arn:aws:kms:eu-central-1:111122223333:key/of-the-rows",
    ])
    error_message = "The batch job's role allows something else than what it is given."
  }

  assert {
    condition     = toset([for s in jsondecode(aws_kms_key.this.policy).Statement : s.Sid if strcontains(jsonencode(s.Principal), "role/fraud-payments-prod-batch")]) == toset(["Readers"])
    error_message = "The batch job cannot read models by our key, or may write with it."
  }

  assert {
    condition     = aws_iam_role_policy.pod.policy == jsonencode({ Version = "2012-10-17", Statement = local.pod_reads })
    error_message = "The service's own role has changed by the batch job."
  }
}

run "a_batch_job_may_not_write_a_whole_bucket" {
  command         = plan
  expect_failures = [var.service]

  variables {
    service = merge(var.service, { batch = { reads = [], writes = ["s3://answers/*"] } })
  }
}

run "answers_lie_in_another_bucket_than_the_artefacts" {
  command         = plan
  expect_failures = [aws_iam_role.batch]

  variables {
    service = merge(var.service, { batch = { reads = [], writes = ["s3://carrental-fraud-payments-prod-artefacts/answers/*"] } })
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
