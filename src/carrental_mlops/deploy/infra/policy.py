"""Our own rules for a Terraform plan: what a plan shows and a scanner of source text cannot see, values and all.

Source of the plan's form: Terraform's JSON output format 1.2 (`terraform show -json`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from carrental_mlops.config.deploy import Aws
from carrental_mlops.deploy.manifests.policy import PolicyBreach

REGIONS: tuple[str, ...] = get_args(Aws.model_fields["region"].annotation)
"""Where data may lie."""
TAGS = ("owner", "service", "env", "cost-centre", "data-class")
HOLDS_DATA = (
    "aws_s3_bucket",
    "aws_kms_key",
    "aws_ecr_repository",
    "aws_secretsmanager_secret",
    "aws_db_instance",
    "aws_elasticache_replication_group",
    "aws_msk_cluster",
    "aws_opensearch_domain",
)
"""What cannot be made again once it is gone."""
_POLICIES = ("policy", "assume_role_policy", "access_policies", "policy_document")
_NO_RESOURCE = {"ecr:GetAuthorizationToken"}
"""Actions that take no other resource than `*`."""
_TOLD_BACK = ("aws_s3_bucket", "aws_sns_topic")
"""Types that AWS tells a policy of which stands in a resource of its own."""
_OWN = ("aws_kms_key", "aws_s3_bucket_policy")
"""Types whose policy is about the resource that it hangs on, so that `*` there is not everything."""
_VALUES: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "aws_kms_key": (("enable_key_rotation", True),),
    "aws_ecr_repository": (("image_tag_mutability", "IMMUTABLE"), ("encryption_configuration.encryption_type", "KMS")),
    "aws_db_instance": (("storage_encrypted", True), ("publicly_accessible", False), ("deletion_protection", True)),
    "aws_elasticache_replication_group": (
        ("transit_encryption_enabled", True),
        ("transit_encryption_mode", "required"),
        ("at_rest_encryption_enabled", "true"),
    ),
    "aws_msk_cluster": (
        ("encryption_info.encryption_in_transit.client_broker", "TLS"),
        ("encryption_info.encryption_in_transit.in_cluster", True),
        ("client_authentication.unauthenticated", False),
    ),
    "aws_opensearch_domain": (
        ("encrypt_at_rest.enabled", True),
        ("node_to_node_encryption.enabled", True),
        ("domain_endpoint_options.enforce_https", True),
    ),
}
_BESIDE_BUCKET = {
    "aws_s3_bucket_public_access_block": (
        ("block_public_acls", True),
        ("block_public_policy", True),
        ("ignore_public_acls", True),
        ("restrict_public_buckets", True),
    ),
    "aws_s3_bucket_server_side_encryption_configuration": (
        ("rule.apply_server_side_encryption_by_default.sse_algorithm", "aws:kms"),
    ),
    "aws_s3_bucket_versioning": (("versioning_configuration.status", "Enabled"),),
    "aws_s3_bucket_logging": (),
}


@dataclass(frozen=True)
class Planned:
    """A resource as it will be."""

    address: str
    type: str
    after: Mapping[str, Any]
    unknown: Mapping[str, Any]
    """Attributes known only after the apply."""


def check_plan(plan: Mapping[str, Any]) -> tuple[PolicyBreach, ...]:
    """What breaks a rule in a plan, as `terraform show -json` tells it; nothing when all hold."""
    found = [
        Planned(one["address"], one["type"], one["change"]["after"], one["change"].get("after_unknown") or {})
        for one in plan.get("resource_changes", ())
        if one.get("mode") == "managed" and isinstance(one["change"].get("after"), dict)
    ]
    return tuple(finding for rule in (_tags, _values, _buckets, _regions, _open_doors, _policies, _apart)
                 for finding in rule(found))  # fmt: skip


def losses(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Addresses of what holds data or keys and would be deleted or replaced."""
    changed = plan.get("resource_changes", ())
    return tuple(
        one["address"] for one in changed if one["type"] in HOLDS_DATA and "delete" in one["change"]["actions"]
    )


def _tags(found: Sequence[Planned]) -> Iterator[PolicyBreach]:
    for one in found:
        if "tags" not in one.after and "tags_all" not in one.after:
            continue
        tags = {**(one.after.get("tags") or {}), **(one.after.get("tags_all") or {})}
        if missing := [name for name in TAGS if not tags.get(name)]:
            yield PolicyBreach("tags", one.address, f"has no tag {', '.join(missing)}")


def _values(found: Sequence[Planned]) -> Iterator[PolicyBreach]:
    for one in found:
        for path, wanted in _VALUES.get(one.type, ()):
            if (value := _at(one.after, path)) != wanted:
                yield PolicyBreach("encryption-and-access", one.address, f"{path} is {value!r}, not {wanted!r}")


def _buckets(found: Sequence[Planned]) -> Iterator[PolicyBreach]:
    for bucket in (one for one in found if one.type == "aws_s3_bucket"):
        module = bucket.address.rpartition("aws_s3_bucket.")[0]
        for kind, wanted in _BESIDE_BUCKET.items():
            beside = [one for one in found if one.type == kind and one.address.startswith(f"{module}{kind}.")]
            if not beside:
                yield PolicyBreach("buckets", bucket.address, f"has no {kind}")
            for one in beside:
                for path, value in wanted:
                    if (is_now := _at(one.after, path)) != value:
                        yield PolicyBreach("buckets", one.address, f"{path} is {is_now!r}, not {value!r}")


def _regions(found: Sequence[Planned]) -> Iterator[PolicyBreach]:
    for one in found:
        named = set(re.findall(r"arn:aws:[a-z0-9-]+:([a-z]{2}-[a-z]+-[0-9]):", json.dumps(one.after)))
        if outside := sorted(named - set(REGIONS)):
            yield PolicyBreach("region", one.address, f"names {', '.join(outside)}, outside the European Union")


def _open_doors(found: Sequence[Planned]) -> Iterator[PolicyBreach]:
    for one in found:
        rules = [one.after] if one.type == "aws_vpc_security_group_ingress_rule" else one.after.get("ingress") or []
        if one.type not in ("aws_vpc_security_group_ingress_rule", "aws_security_group", "aws_security_group_rule"):
            continue
        text = json.dumps([one.after] if one.after.get("type") == "ingress" else rules)
        if '"0.0.0.0/0"' in text or '"::/0"' in text:
            yield PolicyBreach("open-door", one.address, "lets in the whole internet")


def _policies(found: Sequence[Planned]) -> Iterator[PolicyBreach]:
    for one in found:
        for name in _POLICIES:
            if one.unknown.get(name) is True and one.type not in _TOLD_BACK:
                yield PolicyBreach(
                    "policy-unseen", one.address, f"`{name}` is known only after the apply: make it of names"
                )
            for statement in _statements(one.after.get(name)):
                yield from _statement(one, statement)


def _statement(one: Planned, told: Mapping[str, Any]) -> Iterator[PolicyBreach]:
    if told.get("Effect") != "Allow":
        return
    actions, resources = _list(told.get("Action")), _list(told.get("Resource"))
    principals = _principals(told)
    own = one.type in _OWN
    if "*" in principals and not told.get("Condition"):
        yield PolicyBreach("public", one.address, "a policy allows everybody")
    root = own and len(principals) == 1 and principals[0].endswith(":root")
    wide = [action for action in actions if action.endswith("*")]
    if wide and not root:
        yield PolicyBreach("least-privilege", one.address, f"allows {', '.join(wide)}")
    if "*" in resources and not own and not set(actions) <= _NO_RESOURCE:
        yield PolicyBreach("least-privilege", one.address, f"allows {', '.join(actions)} on every resource")
    if "sts:AssumeRoleWithWebIdentity" in actions:
        yield from _trust(one, told)


def _trust(one: Planned, told: Mapping[str, Any]) -> Iterator[PolicyBreach]:
    tests = [(key, _list(value)) for test in (told.get("Condition") or {}).values() for key, value in test.items()]
    for claim in ("aud", "sub"):
        values = [value for key, given in tests if key.endswith(f":{claim}") for value in given]
        if not values or any(value.startswith("*") for value in values):
            yield PolicyBreach("trust", one.address, f"does not say whose token it takes (`{claim}`)")


def _apart(found: Sequence[Planned]) -> Iterator[PolicyBreach]:
    """Who trained may not alone approve: no role writes both, and no subject may take both roles."""
    writes = {folder: _writers(found, folder) for folder in ("models", "approvals")}
    both = writes["models"] & writes["approvals"]
    yield from (PolicyBreach("separation", role, "writes models and approvals") for role in sorted(both))
    subjects = {folder: _subjects(found, roles) for folder, roles in writes.items()}
    for subject in sorted({a for a in subjects["models"] for b in subjects["approvals"] if _overlap(a, b)}):
        yield PolicyBreach("separation", subject, "may take the role that trains and the one that approves")


def _overlap(one: str, other: str) -> bool:
    """Whether a pattern of StringLike lets in what the other names."""
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def _writers(found: Sequence[Planned], folder: str) -> set[str]:
    """Addresses of the roles whose inline policies write `s3://…/<folder>/`."""
    return {
        one.address.replace("aws_iam_role_policy.", "aws_iam_role.")
        for one in found
        if one.type == "aws_iam_role_policy"
        for told in _statements(one.after.get("policy"))
        if told.get("Effect") == "Allow" and any(action.startswith("s3:Put") for action in _list(told.get("Action")))
        for resource in _list(told.get("Resource"))
        if f"/{folder}/" in resource or resource.endswith((":::*", "artefacts/*"))
    }


def _subjects(found: Sequence[Planned], roles: set[str]) -> set[str]:
    return {
        subject
        for one in found
        if one.address in roles
        for told in _statements(one.after.get("assume_role_policy"))
        for test in (told.get("Condition") or {}).values()
        for key, given in test.items()
        if key.endswith(":sub")
        for subject in _list(given)
    }


def _statements(policy: Any) -> list[Mapping[str, Any]]:
    if not isinstance(policy, str) or not policy:
        return []
    return [one for one in _list(json.loads(policy).get("Statement")) if isinstance(one, dict)]


def _principals(told: Mapping[str, Any]) -> list[str]:
    given = told.get("Principal")
    if isinstance(given, dict):
        return [name for value in given.values() for name in _list(value)]
    return _list(given)


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _at(value: Any, path: str) -> Any:
    """What lies at a dotted path; a block, which a plan tells as a list of one, counts as itself."""
    for name in path.split("."):
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(name) if isinstance(value, dict) else None
    return value
