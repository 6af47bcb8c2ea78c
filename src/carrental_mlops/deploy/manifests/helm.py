"""The only module that knows Helm: render, lint, install, upgrade, take back, remove.

Helm's engine comes as a library (`helm-python-sdk`); it reads KUBECONFIG as the command does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from carrental_mlops.assets import asset_dir
from carrental_mlops.errors import ConfigError, CrmError, PlatformError

if TYPE_CHECKING:
    from helm_python import Config

Object = dict[str, Any]
"""A Kubernetes object as plain values."""
DryRun = Literal["client", "server"]
_MOST_REVISIONS = 20
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


@dataclass(frozen=True)
class Installed:
    """What Helm did, or with a dry run would have done."""

    name: str
    namespace: str
    revision: int
    status: str
    objects: tuple[Object, ...]


def chart_dir() -> Path:
    """The chart `model-service`."""
    return asset_dir("helm") / "model-service"


def chart_version(chart: Path | None = None) -> str:
    """Version of `chart` (default: `model-service`)."""
    return str(yaml.safe_load(((chart or chart_dir()) / "Chart.yaml").read_text())["version"])


def render(values: Mapping[str, Any], name: str, namespace: str, chart: Path | None = None) -> tuple[Object, ...]:
    """Objects that `chart` (default: `model-service`) makes of `values`, in the order of its files.

    Raises:
        ConfigError: the values do not keep the chart's schema, or the chart cannot be rendered.
        CrmError: helm-python-sdk is not installed.
    """
    with _translated(f"rendering {name}"):
        from helm_python import Chart

        with Chart.load(chart or chart_dir()) as loaded:
            loaded.validate_schema(dict(values))
            texts = loaded.render(dict(values), name=name, namespace=namespace)
    return objects_of(texts[path] for path in sorted(texts) if path.endswith((".yaml", ".yml")))


def objects_of(texts: Iterator[str] | Sequence[str]) -> tuple[Object, ...]:
    """Objects of YAML texts, empty documents left out."""
    return tuple(found for text in texts for found in yaml.load_all(text, _LOADER) if found)


def lint(values: Mapping[str, Any], namespace: str, chart: Path | None = None) -> tuple[str, ...]:
    """What Helm's linter objects to, warnings too; nothing when all is well."""
    with _translated("linting the chart"):
        import helm_python

        report = helm_python.lint(chart or chart_dir(), dict(values), strict=True, namespace=namespace)
    said = [f"{message['path']}: {message['error']}" for message in report["messages"] if message["severity"] > 1]
    return (*said, *(error for error in report["errors"] if not any(error in line for line in said)))


def upgrade(
    chart: Path,
    name: str,
    namespace: str,
    values: Mapping[str, Any],
    context: str | None = None,
    dry_run: DryRun | None = None,
) -> Installed:
    """Bring `name` to `values`: installs it where it is not there. Does not wait for pods.

    A failed upgrade leaves what was there before in Helm's history; objects that it had changed stay changed.

    Args:
        chart: folder of the chart.
        name: of the Helm release: the service.
        namespace: made where it does not exist.
        values: all of them; nothing of an earlier release is kept.
        context: kubectl's context; None: the current one.
        dry_run: `server` asks the cluster about every object and changes none; `client` asks nobody.

    Raises:
        ConfigError: the values do not keep the chart's schema, which is seen before the cluster is asked, or an
            object is refused.
        PlatformError: the cluster does not answer, or another release of the name is on its way.
    """
    _hold_schema(chart, name, values)
    with _cluster(f"upgrading {name}", namespace, context) as cluster:
        there = _is_there(cluster, name)
        if there:
            made = cluster.upgrade(chart, name, dict(values), namespace=namespace, dry_run=dry_run,
                                   reset_values=True, max_history=_MOST_REVISIONS)  # fmt: skip
        else:
            made = cluster.install(chart, name, dict(values), namespace=namespace, dry_run=dry_run,
                                   create_namespace=dry_run is None)  # fmt: skip
    return _installed(made, namespace)


def _hold_schema(chart: Path, name: str, values: Mapping[str, Any]) -> None:
    with _translated(f"values of {name}"):
        from helm_python import Chart

        with Chart.load(chart) as loaded:
            loaded.validate_schema(dict(values))


def rollback(name: str, namespace: str, revision: int, context: str | None = None) -> None:
    """Bring `name` back to what it was at `revision`; Helm counts that as a new revision.

    Raises:
        ConfigError: there is no such revision.
        PlatformError: the cluster does not answer.
    """
    with _cluster(f"rolling {name} back", namespace, context) as cluster:
        cluster.rollback(name, version=revision)


def uninstall(name: str, namespace: str, context: str | None = None, dry_run: bool = False) -> None:
    """Remove `name` and all its objects; nothing happens where it is not there.

    Raises:
        PlatformError: the cluster does not answer.
    """
    with _cluster(f"removing {name}", namespace, context) as cluster:
        cluster.uninstall(name, dry_run=dry_run, ignore_not_found=True)


def revisions(name: str, namespace: str, context: str | None = None) -> tuple[Installed, ...]:
    """Every revision that Helm remembers, oldest first, without objects; none where the service is not there.

    Raises:
        PlatformError: the cluster does not answer.
    """
    from helm_python import HelmNotFoundError

    with _cluster(f"reading the history of {name}", namespace, context) as cluster:
        try:
            return tuple(_installed(one, namespace) for one in cluster.history(name))
        except HelmNotFoundError:
            return ()


def given(name: str, namespace: str, context: str | None = None) -> dict[str, Any] | None:
    """The values of the revision that Helm put into the cluster last; None where the service is not there.

    Raises:
        PlatformError: the cluster does not answer.
    """
    from helm_python import HelmNotFoundError

    with _cluster(f"reading the values of {name}", namespace, context) as cluster:
        try:
            return dict(cluster.get_values(name) or {})
        except HelmNotFoundError:
            return None


def _is_there(cluster: Config, name: str) -> bool:
    from helm_python import HelmNotFoundError

    try:
        return any(one.get("status") != "uninstalled" for one in cluster.history(name, max_revisions=1))
    except HelmNotFoundError:
        return False


def _installed(made: Mapping[str, Any], namespace: str) -> Installed:
    objects = objects_of([made.get("manifest") or ""])
    return Installed(made["name"], namespace, int(made["revision"]), str(made.get("status", "")), objects)


@contextmanager
def _cluster(what: str, namespace: str, context: str | None) -> Iterator[Config]:
    with _translated(what):
        from helm_python import Config

        with Config(kubeconfig_path=_kubeconfig(), kube_context=context, namespace=namespace) as cluster:
            yield cluster


def _kubeconfig() -> str | None:
    """KUBECONFIG as Python has it now: Go sees the environment that the process began with."""
    given = os.environ.get("KUBECONFIG")
    return given if given and os.pathsep not in given else None


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Helm's errors as ours: what the user wrote, or what does not answer."""
    try:
        import helm_python
    except ImportError as error:
        raise CrmError(f"{what}: helm-python-sdk is not installed", "pip install 'carrental-mlops[deploy]'") from error
    try:
        yield
    except (helm_python.HelmValuesError, helm_python.HelmRenderError, helm_python.HelmChartInvalidError) as error:
        raise ConfigError(f"{what}: {error}", "crm config validate, and crm render --env E shows the rest") from error
    except helm_python.HelmNotFoundError as error:
        raise ConfigError(f"{what}: {error}", "crm release list shows what there was") from error
    except helm_python.HelmError as error:
        refused = any(word in str(error) for word in ("is invalid", "denied the request", "unknown field"))
        if refused:
            raise ConfigError(
                f"{what}: the cluster refuses an object: {error}", "crm render --env E shows it"
            ) from error
        fix = "kubectl cluster-info; is KUBECONFIG or deploy.context right?"
        raise PlatformError(f"{what}: {error}", fix, retryable=True) from error
