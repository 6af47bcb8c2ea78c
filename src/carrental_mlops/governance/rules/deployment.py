"""Family 5: what each environment would be given, rendered and held to policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from carrental_mlops.config import RepoConfig, Section
from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView

POLICY = Code(
    "CRM501", Severity.ERROR, "a rendered object breaks a rule of ours",
    "`crm deploy` refuses it; a cluster might take it and run it as root, without limits, open to everybody.",
    "Mend `deploy` in the overlay of that environment; `crm render --env ENV` prints the object.",
)  # fmt: skip
PLAIN = Code(
    "CRM502", Severity.ERROR, "a store is reached without verified TLS",
    "Personal data and passwords cross the network in the clear, or to whoever answers.",
    "Write the URL that the finding names; `crm deploy` refuses it otherwise.",
)  # fmt: skip
NOT_RENDERED = Code(
    "CRM503", Severity.ERROR, "an environment cannot be rendered",
    "Nothing can be deployed there.",
    "Edit the key that is named; docs/how-to/deploy-values.md says what fits together.",
)  # fmt: skip
NO_IMAGE = Code(
    "CRM504", Severity.WARNING, "an environment names no image repository",
    "`crm image build --env ENV` does not know where to push.",
    "Write `deploy: {image: registry.example.com/team/service}` into its overlay.",
)  # fmt: skip
ALONE = Code(
    "CRM505", Severity.WARNING, "a service that customers see runs as one replica in production",
    "Each drain of a node and each new release interrupts it.",
    "Set `deploy.autoscale.minimum` to 2 at least; `crm loadtest --tune` says what is right.",
)  # fmt: skip
AT_ONCE = Code(
    "CRM506", Severity.WARNING, "a tier 1 service takes over all requests at once",
    "A model that is wrong in production alone decides about every customer before anybody sees it.",
    "Set `deploy.rollout.kind` of the last environment to canary, shadow or ab.",
)  # fmt: skip
NO_RENDERER = Code(
    "CRM509", Severity.ERROR, "nothing was rendered",
    "Nobody knows whether what would be deployed keeps the policy.",
    "`uv pip install 'carrental-mlops[deploy]'`, which brings Helm's engine.", passing=True,
)  # fmt: skip
CODES = (POLICY, PLAIN, NOT_RENDERED, NO_IMAGE, ALONE, AT_ONCE, NO_RENDERER)


def _find(view: RepoView) -> Iterator[Finding]:
    deployed = dict(list(view.configs.items())[1:])
    if deployed and find_spec("helm_python") is None:
        yield NO_RENDERER.found(
            "helm-python-sdk is not installed, so nothing was rendered", "uv pip install 'carrental-mlops[deploy]'"
        )
    for env, (section, config) in deployed.items():
        yield from _values(view, env, section, config)
        if find_spec("helm_python") is not None:
            yield from _rendered(env, section, config)


def _values(view: RepoView, env: str, section: Section, config: RepoConfig) -> Iterator[Finding]:
    from carrental_mlops.deploy.manifests.plain_urls import plain_urls

    for wrong in plain_urls(config, env):
        path, line = _place(section, wrong.object)
        yield PLAIN.found(f"{env}: `{wrong.object}`: {wrong.said}", f"mend it in config/{env}.yaml", path, line)
    last = view.config is not None and env == view.config.last
    if config.deploy.image is None:
        yield NO_IMAGE.found(f"{env}: `deploy.image` is not set", f"set it in config/{env}.yaml", f"config/{env}.yaml")
    if last and config.tier < 3 and config.deploy.autoscale.minimum < 2 and not config.deploy.serverless:
        path, line = _place(section, "deploy.autoscale.minimum")
        yield ALONE.found(f"{env}: one replica is enough for `deploy.autoscale`", "minimum: 2", path, line)
    if last and config.tier == 1 and config.deploy.rollout.kind == "direct":
        path, line = _place(section, "deploy.rollout.kind")
        yield AT_ONCE.found(f"{env}: `deploy.rollout.kind` is direct", "kind: canary", path, line)


def _rendered(env: str, section: Section, config: RepoConfig) -> Iterator[Finding]:
    path, line = _place(section, "deploy")
    try:
        objects = rendered(config, env)
    except ConfigError as error:
        yield NOT_RENDERED.found(f"{env}: {error.what}", error.fix, path, line)
    except CrmError as error:
        yield NO_RENDERER.found(f"{env}: {error.what}", error.fix)
    else:
        yield from against_policy(env, objects, path, line)


def rendered(config: RepoConfig, env: str) -> Sequence[Mapping[str, Any]]:
    """The objects of `env`, of an image and a model that are not there yet.

    Raises:
        ConfigError: the platform cannot run it, or the chart cannot be rendered.
    """
    from carrental_mlops.deploy.manifests import helm
    from carrental_mlops.deploy.manifests.graph_check import check_manifests
    from carrental_mlops.deploy.manifests.render import preview_release
    from carrental_mlops.deploy.manifests.values import as_helm, values_of

    values = values_of(config, env, preview_release(config, env))
    objects = helm.render(as_helm(values), config.service, config.deploy.namespace)
    check_manifests(objects)
    return objects


def against_policy(env: str, objects: Sequence[Mapping[str, Any]], path: str, line: int | None) -> Iterator[Finding]:
    """What of `objects` breaks a rule; `path` and `line` are where `deploy` of `env` is written."""
    from carrental_mlops.deploy.manifests import policy

    for wrong in policy.check(objects):
        yield POLICY.found(f"{env}: {wrong}", f"mend `deploy` in config/{env}.yaml", path, line)


def _place(section: Section, key: str) -> tuple[str, int | None]:
    """File and line where `key` or what is above it was written."""
    parts = tuple(int(part) if part.isdigit() else part for part in key.replace("[", ".").replace("]", "").split("."))
    path, _, line = section.place(parts).partition(":")
    return path, int(line) if line.isdigit() else None


def _reads(view: RepoView) -> tuple[str, ...]:
    return view.below("config")


def _outside(_: RepoView) -> str:
    from carrental_mlops.deploy.manifests import helm

    return f"{find_spec('helm_python') is not None} {helm.chart_version()}"


RULE = Rule("deployment", CODES, _find, _reads, _outside)
