"""Our rules over a Terraform plan: what the module makes keeps all of them, and each can be broken."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.deploy.infra.policy import REGIONS, check_plan, losses

PLAN = json.loads((Path(__file__).parent / "model_service_plan.json").read_text(encoding="utf-8"))
"""`terraform show -json` of a fresh repo's staging, its resources alone."""


def _changed(kind: str, **values: Any) -> dict[str, Any]:
    """The plan with `values` in the first resource of type `kind`."""
    plan: dict[str, Any] = copy.deepcopy(PLAN)
    found = next(one for one in plan["resource_changes"] if one["type"] == kind)
    found["change"]["after"].update(values)
    return plan


def _policy(kind: str, attribute: str, **values: Any) -> dict[str, Any]:
    """The plan with `values` in the first statement of a policy."""
    plan: dict[str, Any] = copy.deepcopy(PLAN)
    after = next(one for one in plan["resource_changes"] if one["type"] == kind)["change"]["after"]
    policy = json.loads(after[attribute])
    policy["Statement"][0].update(values)
    after[attribute] = json.dumps(policy)
    return plan


def _rules(plan: dict[str, Any]) -> set[str]:
    return {finding.rule for finding in check_plan(plan)}


def test_a_fresh_repo_s_plan_breaks_no_rule() -> None:
    assert len(PLAN["resource_changes"]) > 30
    assert check_plan(PLAN) == ()


@pytest.mark.parametrize(
    ("plan", "rule"),
    [
        (_changed("aws_sns_topic", tags={}, tags_all={}), "tags"),
        (_changed("aws_ecr_repository", image_tag_mutability="MUTABLE"), "encryption-and-access"),
        (_changed("aws_kms_key", enable_key_rotation=False), "encryption-and-access"),
        (_changed("aws_s3_bucket_public_access_block", block_public_acls=False), "buckets"),
        (_changed("aws_s3_bucket_versioning", versioning_configuration=[{"status": "Suspended"}]), "buckets"),
        (_changed("aws_cloudwatch_metric_alarm", alarm_actions=["arn:aws:sns:us-east-1:1:x"]), "region"),
        (_policy("aws_iam_role_policy", "policy", Action=["s3:*"]), "least-privilege"),
        (_policy("aws_iam_role_policy", "policy", Resource=["*"]), "least-privilege"),
        (_policy("aws_iam_role_policy", "policy", Action=["iam:PassRole"], Resource=["*"]), "least-privilege"),
        (_policy("aws_s3_bucket_policy", "policy", Effect="Allow", Condition=None), "public"),
        (_policy("aws_iam_role", "assume_role_policy", Condition={}), "trust"),
        (_policy("aws_iam_role", "assume_role_policy", Condition={"StringLike": {"x:sub": "*"}}), "trust"),
    ],
)
def test_a_broken_rule_is_found(plan: dict[str, Any], rule: str) -> None:
    assert rule in _rules(plan)


def test_a_bucket_without_its_public_access_block_is_found() -> None:
    plan = copy.deepcopy(PLAN)
    kind = "aws_s3_bucket_public_access_block"
    plan["resource_changes"] = [one for one in plan["resource_changes"] if one["type"] != kind]
    assert "buckets" in _rules(plan)


def test_a_role_that_writes_models_and_approvals_is_found() -> None:
    plan = copy.deepcopy(PLAN)
    for one in plan["resource_changes"]:
        if one["type"] == "aws_iam_role_policy" and '"trainer"' in one["address"]:
            one["change"]["after"]["policy"] = one["change"]["after"]["policy"].replace("/evidence/*", "/approvals/*")
    assert next(f.said for f in check_plan(plan) if f.rule == "separation") == "writes models and approvals"


def test_a_subject_that_may_train_and_approve_is_found() -> None:
    plan = copy.deepcopy(PLAN)
    roles = [one["change"]["after"] for one in plan["resource_changes"] if one["type"] == "aws_iam_role"]
    trainer = next(after for after in roles if after["name"].endswith("-trainer"))
    approver = next(after for after in roles if after["name"].endswith("-approver"))
    approver["assume_role_policy"] = trainer["assume_role_policy"]
    assert "separation" in _rules(plan)


def test_a_trainer_s_pattern_that_lets_the_approver_in_is_found() -> None:
    plan = copy.deepcopy(PLAN)
    roles = [one["change"]["after"] for one in plan["resource_changes"] if one["type"] == "aws_iam_role"]
    trainer = next(after for after in roles if after["name"].endswith("-trainer"))
    trainer["assume_role_policy"] = trainer["assume_role_policy"].replace(
        "fraud-payments:ref_type:branch:ref:main", "*"
    )
    assert next(f.object for f in check_plan(plan) if f.rule == "separation") == "project_path:ds/*"


def test_a_policy_that_the_plan_does_not_show_is_found() -> None:
    plan = copy.deepcopy(PLAN)
    change = next(one for one in plan["resource_changes"] if one["type"] == "aws_iam_role_policy")["change"]
    change["after_unknown"]["policy"] = True
    assert "policy-unseen" in _rules(plan)


def test_a_door_open_to_the_internet_is_found() -> None:
    rule = {"cidr_ipv4": "0.0.0.0/0", "from_port": 443, "to_port": 443}
    change = {"actions": ["create"], "after": rule, "after_unknown": {}}
    one = {"address": "x", "mode": "managed", "type": "aws_vpc_security_group_ingress_rule", "change": change}
    assert _rules({"resource_changes": [one]}) == {"open-door"}


def test_what_holds_data_is_not_replaced_unnoticed() -> None:
    plan = copy.deepcopy(PLAN)
    bucket = next(one for one in plan["resource_changes"] if one["type"] == "aws_s3_bucket")
    assert losses(plan) == ()
    bucket["change"]["actions"] = ["delete", "create"]
    assert losses(plan) == (bucket["address"],)


def test_terraform_and_crm_yaml_allow_the_same_regions() -> None:
    from carrental_mlops.assets import asset_dir

    text = (asset_dir("terraform") / "modules" / "place" / "variables.tf").read_text(encoding="utf-8")
    listed = text.partition("allowed_regions")[2].partition("[")[2].partition("]")[0]
    assert tuple(json.loads(f"[{listed}]")) == REGIONS
