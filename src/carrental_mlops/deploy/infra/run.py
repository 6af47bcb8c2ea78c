"""`crm infra`: plan, apply, destroy of one environment; what a cut-off apply left is found again."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from carrental_mlops.assets import asset_dir
from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.infra.policy import check_plan, losses
from carrental_mlops.deploy.infra.record import Begun, Folder, Made, PlannedChange, PlanRecord, cut_off
from carrental_mlops.deploy.infra.terraform import StateLocked, Terraform, find_terraform
from carrental_mlops.deploy.infra.values import backend_of, variables_of
from carrental_mlops.errors import ConfigError, GateRefused, PlatformError
from carrental_mlops.files import file_digest, folder_digest, locked, whole_file

SOURCE = Path("deploy/terraform")
"""Of a model repo: its `.tf` files."""
_IDENTITIES = {
    "aws_s3_bucket": "bucket",
    "aws_ecr_repository": "name",
    "aws_iam_role": "name",
    "aws_cloudwatch_log_group": "name",
    "aws_kms_alias": "name",
    "aws_secretsmanager_secret": "name",
    "aws_budgets_budget": "name",
}
"""Types whose name is taken once, so that making one again fails; each with the attribute that is its name."""


@dataclass(frozen=True)
class PlanOutcome:
    """What a plan found."""

    record: PlanRecord
    cut_off: Begun | None
    """An apply before it that was cut off."""
    adopted: tuple[str, ...]
    """Addresses of what that apply had made and the state did not know."""


@dataclass(frozen=True)
class Infra:
    """The infrastructure of one service in one environment.

    Args:
        root: the model repo.
        config: as of `env`.
        env: not the first environment.
    """

    root: Path
    config: RepoConfig
    env: str

    @cached_property
    def folder(self) -> Folder:
        """What lies between a plan and its apply."""
        return Folder(self.root / ".crm" / "terraform" / self.env)

    @cached_property
    def _terraform(self) -> Terraform:
        source = self.root / SOURCE
        if not (source / "main.tf").is_file():
            raise ConfigError(f"no {SOURCE}/main.tf in {self.root}", "copy it from a fresh repo: crm new")
        path = self.folder.path
        return Terraform(find_terraform(), source, path / "data", path / "variables.tfvars.json")

    def plan(self, destroy: bool = False) -> PlanOutcome:
        """Plan, check the plan against our rules, and keep both for `apply`.

        Raises:
            ConfigError: the overlay lacks something, or Terraform refuses a value.
            StateLocked: another apply holds the lock, or one that was cut off left it.
            PlatformError: no terraform, no credentials, AWS does not answer; an apply of this folder still runs.
        """
        variables = variables_of(self.config, self.env)
        with locked(self.folder.path / "lock", timeout_s=1):
            before = self._before()
            self._prepare(variables)
            try:
                adopted = self._adopt(before) if before else ()
                self.folder.forget_plan()
                self._terraform.plan(self.folder.plan, destroy)
            except StateLocked as error:
                raise self._named(error, before) from error
            record = self._record(self._terraform.show(self.folder.plan), variables, destroy)
            self.folder.keep(record)
            self.folder.end()
        return PlanOutcome(record, before, adopted)

    def apply(self, digest: str | None = None, allow_loss: bool = False) -> PlanRecord:
        """Apply the plan that lies here, and no other.

        Args:
            digest: of the plan that was agreed to, or its first 8 letters at least.
            allow_loss: whether what holds data or keys may be deleted or replaced.

        Raises:
            ConfigError: no plan, another plan, a plan that loses data, or the state has changed since.
            GateRefused: the plan breaks a rule.
            PlatformError: Terraform failed on the way; what it had made is in the state.
        """
        with locked(self.folder.path / "lock", timeout_s=1):
            if (begun := self.folder.begun()) is not None:
                self._refuse_unmended(begun)
            record = self.agreed(digest, allow_loss)
            try:
                self._terraform.apply(self.folder.plan, lambda pid: self.folder.begin(record, pid))
            except StateLocked as error:
                self.folder.end()
                raise self._named(error, None) from error
            except PlatformError as error:
                if "was killed" not in error.what:
                    self.folder.end()
                self.folder.forget_plan()
                raise
            self.folder.end()
            self.folder.forget_plan()
        return record

    def agreed(self, digest: str | None, allow_loss: bool) -> PlanRecord:
        """The plan that lies here, if it may be applied; see `apply`."""
        record = self.folder.planned(self.env, digest)
        if record.refused:
            raise GateRefused("the plan breaks rules:\n  " + "\n  ".join(record.refused), f"mend {SOURCE}, plan again")
        if record.losses and not (allow_loss or record.destroys):
            raise ConfigError(
                f"the plan deletes or replaces {', '.join(record.losses)}, with all it holds",
                "mend what causes it, or agree: --allow-loss",
            )
        return record

    def unlock(self, lock: str) -> None:
        """Release a lock that a cut-off apply left.

        Raises:
            PlatformError: that apply still runs here, or there is no such lock.
        """
        begun = self._before()
        if begun is None:
            sys.stderr.write("no apply of this folder was cut off: the lock may be another machine's\n")
        self._prepare(variables_of(self.config, self.env))
        self._terraform.unlock(lock)

    def _before(self) -> Begun | None:
        begun = self.folder.begun()
        if begun is not None and not cut_off(begun):
            raise PlatformError(
                f"an apply of {self.env} has run since {begun.at:%H:%M} UTC (process {begun.process.get('crm.pid')})",
                "wait for it to end",
                retryable=True,
            )
        return begun

    def _refuse_unmended(self, begun: Begun) -> None:
        self._before()
        raise PlatformError(
            f"an apply of {self.env} was cut off; it began at {begun.at:%Y-%m-%d %H:%M} UTC",
            f"crm infra plan --env {self.env}",
        )

    def _named(self, error: StateLocked, before: Begun | None) -> StateLocked:
        """`error` with the command that releases the lock."""
        unlock = f"crm infra unlock --env {self.env} --lock {error.lock}"
        if before is not None:
            what = f"{error.what}; the apply of {before.at:%Y-%m-%d %H:%M} UTC was cut off and left it"
            return StateLocked(what, f"{unlock}, then: crm infra plan --env {self.env}", False, error.lock)
        fix = f"wait for it to end; if it was cut off: {unlock}"
        return StateLocked(error.what, fix, True, error.lock)

    def _prepare(self, variables: Mapping[str, Any]) -> None:
        modules = self.root / ".crm" / "terraform" / "modules"
        with locked(modules.with_suffix(".lock")):
            shipped = asset_dir("terraform") / "modules"
            if not modules.is_dir() or folder_digest(modules) != folder_digest(shipped):
                shutil.rmtree(modules, ignore_errors=True)
                shutil.copytree(shipped, modules)
        with whole_file(self._terraform.variables) as draft:
            draft.write_text(json.dumps({"crm": variables}, indent=2) + "\n", encoding="utf-8")
        self._terraform.init(backend_of(self.config, self.env))

    def _record(self, shown: Mapping[str, Any], variables: Mapping[str, Any], destroy: bool) -> PlanRecord:
        return PlanRecord(
            digest=file_digest(self.folder.plan),
            at=datetime.now(UTC),
            destroys=destroy,
            changes=_changes(shown),
            makes=_makes(shown, str(variables["account"])),
            losses=losses(shown),
            refused=() if destroy else tuple(map(str, check_plan(shown))),
        )

    def _adopt(self, before: Begun) -> tuple[str, ...]:
        """Take into the state what the cut-off apply made in its last seconds, before it could note it."""
        known = self._terraform.addresses()
        adopted = []
        for made in before.record.makes:
            if made.address not in known and self._terraform.adopt(made.address, made.identity):
                sys.stderr.write(f"found again: {made.address}\n")
                adopted.append(made.address)
        return tuple(adopted)


def _changes(shown: Mapping[str, Any]) -> tuple[PlannedChange, ...]:
    names = {("no-op",): None, ("read",): None, ("create",): "create", ("update",): "update", ("delete",): "delete"}
    told: Sequence[Mapping[str, Any]] = shown.get("resource_changes", ())
    found = ((one["address"], names.get(tuple(one["change"]["actions"]), "replace")) for one in told)
    return tuple(PlannedChange(address=address, action=action) for address, action in found if action)


def _makes(shown: Mapping[str, Any], account: str) -> tuple[Made, ...]:
    found = []
    for one in shown.get("resource_changes", ()):
        name = _IDENTITIES.get(one["type"])
        if name and one["change"]["actions"] == ["create"]:
            with suppress(KeyError):
                identity = str(one["change"]["after"][name])
                full = f"{account}:{identity}" if one["type"] == "aws_budgets_budget" else identity
                found.append(Made(address=one["address"], identity=full))
    return tuple(found)
