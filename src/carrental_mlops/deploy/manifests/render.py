"""What would be applied: a release as objects, held to our own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from carrental_mlops import __version__
from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests import helm, policy
from carrental_mlops.deploy.manifests.graph_check import check_manifests
from carrental_mlops.deploy.manifests.plain_urls import hold_tls
from carrental_mlops.deploy.manifests.values import Values, as_helm, values_of
from carrental_mlops.deploy.releases.release import ModelRef, Release
from carrental_mlops.files import whole_file

NOTHING = "0" * 64
"""Digest of what is not there yet."""


@dataclass(frozen=True)
class Rendered:
    """Values and the objects that the chart makes of them."""

    values: Values
    objects: tuple[helm.Object, ...]


def render(
    config: RepoConfig, env: str, release: Release, champion: Release | None = None, weight: int | None = None
) -> Rendered:
    """Objects of `release` in `env`; the arguments are those of `values_of`.

    Raises:
        ConfigError: a store is reached without verified TLS, the platform cannot run it, the chart cannot be
            rendered, or an object breaks a rule of ours.
    """
    hold_tls(config, env)
    values = values_of(config, env, release, champion, weight)
    objects = helm.render(as_helm(values), config.service, config.deploy.namespace)
    check_manifests(objects)
    policy.hold(objects)
    return Rendered(values, objects)


def preview_release(config: RepoConfig, env: str, model: ModelRef | None = None) -> Release:
    """A release that nobody made, `<env>-preview`: of `model`, of an image that was not built.

    Args:
        config: of `env`.
        env: environment.
        model: the champion; None: nothing is registered yet.
    """
    found = model or ModelRef(name=config.service, version="preview", digest=NOTHING)
    return Release(
        id=f"{env}-preview",
        service=config.service,
        env=env,
        image=f"{config.deploy.image or config.service}@sha256:{NOTHING}",
        model=found,
        chart=helm.chart_version(),
        values_digest=f"sha256:{NOTHING}",
        package=__version__,
        by="crm render",
        at=datetime.now(UTC),
    )


def as_yaml(objects: Sequence[Mapping[str, object]]) -> str:
    """All of them as one YAML text that `kubectl apply --filename -` takes."""
    return yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=120)


def write(rendered: Rendered, folder: Path) -> tuple[Path, ...]:
    """One file an object, `<kind>-<name>.yaml`, and `values.yaml`; other files there stay.

    Raises:
        PlatformError: the folder cannot be written.
    """
    texts = {"values.yaml": as_yaml([as_helm(rendered.values)])}
    for made in rendered.objects:
        texts[f"{made['kind']}-{made['metadata']['name']}.yaml".lower()] = as_yaml([made])
    for name, text in texts.items():
        with whole_file(folder / name) as draft:
            draft.write_text(text)
    return tuple(folder / name for name in texts)
