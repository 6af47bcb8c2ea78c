"""The chart with Helm's own engine: every pair that can be, in every environment."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from rendered_repos import NEW, OLD, as_operators_make_it, config_of, pairs, with_everything

from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.manifests.schema import schema_file, schema_text
from carrental_mlops.deploy.manifests.values import as_helm, digest_of, values_of
from carrental_mlops.errors import ConfigError

pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")
PAIRS = list(pairs())


def _id(pair: dict[str, Any]) -> str:
    kind = pair.get("rollout", {}).get("kind", "direct")
    return f"{pair['platform']}-{pair['shape']}-{kind}" + ("-serverless" if pair.get("serverless") else "")


@pytest.fixture(params=PAIRS, ids=_id)
def pair(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One shape on one platform in one rollout."""
    given: dict[str, Any] = request.param
    return given


def of_kind(objects: Any, kind: str) -> list[dict[str, Any]]:
    """Objects of one kind."""
    return [made for made in objects if made["kind"] == kind]


def _leaves_replicas_to_the_scaler(made: dict[str, Any]) -> None:
    """Without a `kedaSpec` Seldon's operator takes the replicas that it finds for its own, and writes without end."""
    predictors = made["spec"].get("predictors", ())
    specs = [spec for one in predictors for spec in one["componentSpecs"]]
    assert all(spec["kedaSpec"] == {"triggers": []} for spec in specs)
    assert not any("replicas" in one for one in (made["spec"], *predictors, *specs))


@pytest.mark.parametrize("env", ["local", "staging", "prod"])
def test_each_pair_renders_in_each_environment_and_breaks_no_rule(pair: dict[str, Any], env: str) -> None:
    rendered = render(with_everything(env, **pair), env, NEW, OLD)
    main = of_kind(rendered.objects, "SeldonDeployment") + of_kind(rendered.objects, "InferenceService")
    assert len(main) == 1
    assert main[0]["metadata"]["labels"]["crm.carrental/env"] == env
    _leaves_replicas_to_the_scaler(main[0])
    assert len(of_kind(rendered.objects, "CronJob")) == 1
    names = [(made["kind"], made["metadata"]["name"]) for made in rendered.objects]
    assert len(names) == len(set(names))
    assert all(made["metadata"]["namespace"] == "models" for made in rendered.objects)


def test_each_pair_passes_helms_linter(pair: dict[str, Any]) -> None:
    values = as_helm(values_of(with_everything(**pair), "prod", NEW, OLD))
    assert helm.lint(values, "models") == ()


def test_the_linter_objects_to_values_that_the_models_do_not_know() -> None:
    values = as_helm(values_of(config_of(), "prod", NEW))
    assert any("replicas" in said for said in helm.lint({**values, "replicas": 3}, "models"))


@pytest.fixture(scope="module")
def in_production() -> list[dict[str, Any]]:
    """Each object of every pair in production once, as the operators make them."""
    alone = {_id({**pair, "rollout": {}}): pair for pair in PAIRS}  # a rollout changes no pod but its labels
    made = [
        one
        for pair in alone.values()
        for one in as_operators_make_it(render(with_everything(**pair), "prod", NEW, OLD).objects)
    ]
    return list({json.dumps({**one, "metadata": {}}, sort_keys=True): one for one in made}.values())


@pytest.mark.parametrize("version", ["1.30.0", "1.33.0", "1.37.0"])
def test_core_objects_and_pods_are_valid_at_three_kubernetes_versions(
    version: str, in_production: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = pytest.importorskip("kubernetes_validate.utils")
    validate = utils.validate
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))  # reads a file each time
    for made in in_production:
        validate(made, version, strict=True)
    assert len(in_production) > 30
    assert any(made["kind"] == "CronJob" for made in in_production)


def test_the_strict_validation_would_see_an_unknown_field_of_a_pod() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    made = as_operators_make_it(render(config_of(), "prod", NEW).objects)[-1]
    made["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(made, "1.33.0", strict=True)


def test_the_charts_schema_is_that_of_the_models() -> None:
    assert schema_file().read_text() == schema_text(), "python -m carrental_mlops.deploy.manifests.schema"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tracks", []),
        ("platform", "knative"),
        ("service", "Fraud_Payments"),
        ("grace_s", "40"),
        ("graph", {"name": "a", "type": "MODLE", "children": []}),
    ],
)
def test_helm_refuses_values_that_the_models_refuse(key: str, value: Any) -> None:
    values = as_helm(values_of(config_of(), "prod", NEW))
    with pytest.raises(ConfigError, match=key):
        helm.render({**values, key: value}, "fraud-payments", "models")


def test_helm_refuses_an_image_without_digest() -> None:
    values = as_helm(values_of(config_of(), "prod", NEW))
    values["tracks"][0]["image"] = "registry.example.com/fraud-payments:latest"
    with pytest.raises(ConfigError, match="image"):
        helm.render(values, "fraud-payments", "models")


def test_the_digest_of_values_is_that_of_their_content_alone() -> None:
    one, same, other = (values_of(config_of(cost_centre=c), "prod", NEW) for c in ("4711", "4711", "4712"))
    assert digest_of(one) == digest_of(same) != digest_of(other)
    assert digest_of(one).startswith("sha256:")


def test_values_that_break_the_schema_are_the_user_s_to_mend_and_no_cluster_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    values = {**as_helm(values_of(config_of(), "prod", NEW)), "service": 3}
    with pytest.raises(ConfigError, match="'/service': got number, want string"):
        helm.upgrade(helm.chart_dir(), "fraud", "models", values)
