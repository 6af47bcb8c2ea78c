"""Only the plan that was agreed to is applied; a cut-off apply is told from one that runs; what crm.yaml must say."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.infra.record import Folder, PlanRecord, cut_off
from carrental_mlops.deploy.infra.run import Infra
from carrental_mlops.deploy.infra.terraform import StateLocked, refusal_of
from carrental_mlops.deploy.infra.values import variables_of
from carrental_mlops.errors import ConfigError, GateRefused

LOCKED = """
Error: Error acquiring the state lock

Error message: operation error S3: PutObject, https response error StatusCode: 412
Lock Info:
  ID:        cbe30575-760f-2734-0a11-2f6d2f6a9f11
  Path:      carrental-staging-terraform-state/fraud-payments/staging.tfstate
  Operation: OperationTypeApply
  Who:       ci@runner
  Version:   1.11.4
  Created:   2026-11-21 20:53:01.1 +0000 UTC
"""


def _planned(root: Path, **values: Any) -> Infra:
    columns = {"id": "id", "time": "at", "label": "y", "entities": ["id"]}
    told = {"service": "fraud", "package": "fraud", "owner": "a@example.com", "tier": 1, "columns": columns, "slo": {}}
    infra = Infra(root, RepoConfig.model_validate(told), "staging")
    infra.folder.path.mkdir(parents=True)
    infra.folder.plan.write_bytes(b"plan")
    digest = hashlib.sha256(b"plan").hexdigest()
    infra.folder.keep(PlanRecord(digest=digest, at=datetime.now(UTC), **values))
    return infra


def test_the_plan_that_was_agreed_to_may_be_applied(tmp_path: Path) -> None:
    infra = _planned(tmp_path)
    digest = hashlib.sha256(b"plan").hexdigest()
    assert infra.agreed(f"sha256:{digest}", False) == infra.agreed(digest[:8], False) == infra.agreed(None, False)


def test_another_a_changed_or_a_missing_plan_is_refused(tmp_path: Path) -> None:
    infra = _planned(tmp_path)
    for digest in ("0" * 12, hashlib.sha256(b"plan").hexdigest()[:4]):
        with pytest.raises(ConfigError, match="crm infra plan --env staging"):
            infra.agreed(digest, False)
    infra.folder.plan.write_bytes(b"another")
    with pytest.raises(ConfigError, match="is not the plan"):
        infra.agreed(None, False)
    infra.folder.forget_plan()
    with pytest.raises(ConfigError, match="no plan of staging"):
        infra.agreed(None, False)


def test_a_plan_that_breaks_a_rule_or_loses_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="allows everybody"):
        _planned(tmp_path / "a", refused=("x: a policy allows everybody (public)",)).agreed(None, True)
    infra = _planned(tmp_path / "b", losses=("aws_s3_bucket.this",))
    with pytest.raises(ConfigError, match="--allow-loss"):
        infra.agreed(None, False)
    assert infra.agreed(None, True).losses


def test_an_apply_that_was_killed_is_told_from_one_that_runs(tmp_path: Path) -> None:
    folder, record = Folder(tmp_path), PlanRecord(digest="a", at=datetime.now(UTC))
    assert folder.begun() is None
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder.begin(record, running.pid)
    begun = folder.begun()
    assert begun is not None and not cut_off(begun)
    running.kill()
    running.wait()
    assert cut_off(begun)
    folder.begin(record, os.getpid())
    folder.end()
    assert folder.begun() is None


def test_a_held_lock_is_told_by_its_holder_and_its_id() -> None:
    error = refusal_of("plan", LOCKED)
    assert isinstance(error, StateLocked) and error.retryable
    assert error.lock == "cbe30575-760f-2734-0a11-2f6d2f6a9f11"
    assert "ci@runner" in error.what and "2026-11-21 20:53" in error.what


@pytest.mark.parametrize(
    ("said", "code", "what", "exit_code"),
    [
        ("Error: Saved plan is stale", 1, "the state has changed", 1),
        ("Error: No valid credential sources found", 1, "no credentials", 3),
        ("", -9, "was killed", 3),
        ("│ Error: creating IAM Role (x): AccessDenied\n│ \n", 1, "creating IAM Role (x): AccessDenied", 3),
    ],
)
def test_terraform_s_errors_are_told_in_our_words(said: str, code: int, what: str, exit_code: int) -> None:
    error = refusal_of("apply", said, code)
    assert what in error.what and error.exit_code == exit_code


def test_what_the_overlay_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config/staging.yaml does not say deploy.infra.state_bucket"):
        _planned(tmp_path).plan()


def test_terraform_knows_every_value_that_it_is_given_and_is_given_every_value_it_needs() -> None:
    """A conversion to an object drops what the object does not name, without a word."""
    from carrental_mlops.assets import asset_dir

    named, needed = set(), set()
    for module in ("place", "model-service"):
        text = (asset_dir("terraform") / "modules" / module / "variables.tf").read_text(encoding="utf-8")
        given = text.partition("type = object({")[2].partition("\n  })")[0]
        named |= (found := set(re.findall(r"^    (\w+) +=", given, re.M)))
        needed |= found - set(re.findall(r"^    (\w+) += optional\(", given, re.M))
    told = {"service": "fraud", "package": "fraud", "owner": "a@example.com", "tier": 1, "slo": {},
            "columns": {"id": "id", "time": "at", "label": "y", "entities": ["id"]}}  # fmt: skip
    provider = "arn:aws:iam::111122223333:oidc-provider/x"
    infra = {"state_bucket": "state", "access_log_bucket": "logs", "bucket_prefix": "carrental", "cluster": "c",
             "cluster_oidc_provider_arn": provider, "ci_oidc_provider_arn": provider,
             "ci_subjects": {role: [role] for role in ("reader", "trainer", "approver", "deployer")}}  # fmt: skip
    deploy = {"cost_centre": "4711", "aws": {"account": "111122223333"}, "infra": infra}
    given_by_crm = set(variables_of(RepoConfig.model_validate({**told, "deploy": deploy}), "staging"))
    assert given_by_crm - named == {"account"}  # the provider's
    assert needed - given_by_crm == set()
