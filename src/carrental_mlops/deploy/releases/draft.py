"""A release before it has a number: image, model, evidence, and what the chart makes of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.config import RepoConfig
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.deploy.manifests import helm, labels
from carrental_mlops.deploy.manifests.batch import hold_pipelines
from carrental_mlops.deploy.manifests.graph_check import check_nodes
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.manifests.values import as_helm, digest_of
from carrental_mlops.deploy.releases.evidence import gate_evidence, load_test_evidence, refusals, required, waivers
from carrental_mlops.deploy.releases.identity import TRAINED_BY, Person, approvers, hold_separation
from carrental_mlops.deploy.releases.release import Evidence, ModelRef, Release, Stored, Waiver
from carrental_mlops.errors import ConfigError, GateRefused, shown_url
from carrental_mlops.integrations.code_version import code_tags
from carrental_mlops.integrations.mlflow_client import tracking_uri
from carrental_mlops.integrations.mlflow_registry import RegisteredModel, Registry

_NO_DIGEST = f"sha256:{'0' * 64}"
_OF_CI = (".crm/ci/*/summary.json", ".crm/ci/*/*/summary.json")
"""Where CI jobs hand their load tests on."""
_RECORDS = (".crm/images/*/image.json", ".crm/ci/build/image.json")
"""What `crm image build` leaves, here and as a CI job hands it on."""


@dataclass(frozen=True)
class WantedRelease:
    """What is asked of a release."""

    by: str
    image: str | None = None
    """`REPOSITORY@sha256:…`; None: the newest that was built here."""
    model: str | None = None
    """Version in the registry; None: as the image's record says."""
    canary: int | None = None
    """Share of requests (percent) beside the champion; None: as `deploy.rollout` says."""
    evidence: tuple[Path, ...] = ()
    """Further `summary.json` files of load tests."""


@dataclass(frozen=True)
class Draft:
    """All of a release but its number and what it takes over from."""

    config: RepoConfig
    env: str
    wanted: WantedRelease
    image: str
    model: ModelRef
    evidence: tuple[Evidence, ...]
    waivers: tuple[Waiver, ...]
    commit: str | None
    root: Path = Path()
    """Of the model repo."""
    trained_by: str | None = None
    """As the registry has it."""

    def refuse(self) -> None:
        """Refuse what evidence does not carry, and in the last environment of tier 1 what only its trainer approved.

        Raises:
            GateRefused: the gate or the load test is missing or said no, and nobody answers for it; nobody but who
                trained has approved, or nobody knows who trained.
            PlatformError: the CI's issuer, or the place of approvals, does not answer.
        """
        said = refusals(required(self.config, self.env), self.evidence, self.waivers)
        if said:
            raise GateRefused(
                f"{self.env}: model {self.model.name} version {self.model.version} may not be released: "
                f"{'; '.join(said)}",
                "show it (crm run training, crm loadtest --profile load), or let a person answer for it in "
                "releases/waivers.yaml: what, by, reason, expires",
            )
        if self.config.tier == 1 and self.env == self.config.last:
            hold_separation(self.trained_by, self._approvers)

    @cached_property
    def _approvers(self) -> tuple[Person, ...]:
        """Asked once: a CI's token may expire between scoring and deploying."""
        return approvers(self.root, self.env, self.config.deploy.approval, self.model, os.environ)

    def stored(self, name: str, beside: Release | None, before: str | None, at: datetime) -> Stored:
        """The release of the id `name`.

        Args:
            name: `<env>-<number>`.
            beside: the champion that goes on beside it; None: it takes all.
            before: id of the release that it takes over from.
            at: when it is made, UTC.

        Raises:
            ConfigError: the platform cannot run it, or an object breaks a rule.
        """
        release = Release(
            id=name, service=self.config.service, env=self.env, image=self.image, model=self.model,
            chart=helm.chart_version(), values_digest=_NO_DIGEST, package=__version__, by=self.wanted.by, at=at,
            commit=self.commit, evidence=self.evidence, waivers=self.waivers, before=before,
        )  # fmt: skip
        made = render(self.config, self.env, release, beside, self.wanted.canary if beside else None)
        release = release.model_copy(update={"values_digest": digest_of(made.values)})
        config = _without_passwords(self.config.model_dump(mode="json"))
        return Stored(release=release, config=config, values=as_helm(made.values), manifests=made.objects)

    @property
    def alongside(self) -> bool:
        """Whether it begins beside the champion."""
        return self.config.deploy.rollout.kind != "direct"


def draft_of(repo: ModelRepo, env: str, wanted: WantedRelease, now: datetime | None = None) -> Draft:
    """What `wanted` asks for, with the evidence that there is; nothing is refused yet.

    Raises:
        ConfigError: no image, no record of what is in it, or the registry has no such version.
        PlatformError: the registry cannot be reached.
    """
    check_nodes(repo.root, env)
    hold_pipelines(repo)
    config, records = _with_canary(repo.config, wanted.canary), image_records(repo.root)
    image = wanted.image or _newest(records)
    record = next((one for one in records if one["image"] == image), None)
    registered = _registered(repo, wanted.model, record, image)
    model = ModelRef(name=config.service, version=registered.version, digest=registered.digest)
    files = [*wanted.evidence, *(path for pattern in _OF_CI for path in repo.root.glob(pattern) if _is_load_test(path))]
    found = (gate_evidence(registered), load_test_evidence(repo.root, config.slo, model, files))
    held = waivers(repo.root, now or datetime.now(UTC))
    return Draft(config, env, wanted, image, model, tuple(one for one in found if one), _used(held, config, env),
                 code_tags(repo.root).get("git_commit"), repo.root, registered.tags.get(TRAINED_BY))  # fmt: skip


def trained_by(repo: ModelRepo, model: ModelRef) -> str | None:
    """Who trained `model`, as the registry has it; None where nobody knows.

    Raises:
        ConfigError: the registry has no such version.
        PlatformError: the registry cannot be reached.
    """
    registry = Registry(tracking_uri(repo.root, repo.config.mlflow.tracking_uri), repo.config.service)
    return registry.version(model.version).tags.get(TRAINED_BY)


def image_records(root: Path) -> list[dict[str, Any]]:
    """What `crm image build` recorded below `root`, newest first."""
    paths = sorted((p for pattern in _RECORDS for p in root.glob(pattern)), key=lambda p: p.stat().st_mtime)
    return [json.loads(path.read_text(encoding="utf-8")) for path in reversed(paths)]


def same_content(one: Stored, other: Stored) -> bool:
    """Whether both put the same into the cluster; who made them, when and why aside."""
    return (one.release.image, one.release.model, one.release.chart, one.values) == (
        other.release.image, other.release.model, other.release.chart, other.values,
    )  # fmt: skip


def _with_canary(config: RepoConfig, weight: int | None) -> RepoConfig:
    if weight is None or config.deploy.rollout.kind == "canary":
        return config
    rollout = config.deploy.rollout.model_copy(update={"kind": "canary"})
    return config.model_copy(update={"deploy": config.deploy.model_copy(update={"rollout": rollout})})


def _without_passwords(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_passwords(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_passwords(one) for one in value]
    return shown_url(value) if isinstance(value, str) and "://" in value else value


def _newest(records: Iterable[Mapping[str, Any]]) -> str:
    for one in records:
        if one["pushed"]:
            return str(one["image"])
    raise ConfigError("no image was pushed from here", "crm image build --push, or name one: --image REPO@sha256:…")


def _registered(repo: ModelRepo, version: str | None, record: Mapping[str, Any] | None, image: str) -> RegisteredModel:
    said = record["labels"] if record else {}
    told = said.get(labels.MODEL_VERSION)
    number = version or told
    if number is None:
        raise ConfigError(f"nothing here says which model is in {image}", "name its version: --version N")
    if version and told and version != told:
        raise ConfigError(f"{image} holds model version {told}, not {version}", f"--version {told}, or another image")
    registry = Registry(tracking_uri(repo.root, repo.config.mlflow.tracking_uri), repo.config.service)
    found = registry.version(str(number))
    digest = said.get(labels.MODEL_DIGEST, found.digest)
    if digest != found.digest:
        raise ConfigError(
            f"{image} holds a model of digest {digest[:12]}, but version {found.version} has {found.digest[:12]}",
            "build the image again: crm image build --push",
        )
    return found


def _used(held: tuple[Waiver, ...], config: RepoConfig, env: str) -> tuple[Waiver, ...]:
    needed = required(config, env)
    return tuple(one for one in held if one.what in needed)


def _is_load_test(path: Path) -> bool:
    try:
        return "held_rps" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
