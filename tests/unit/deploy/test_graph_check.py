"""What a cluster accepts of a graph, and our check refuses with place and mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.deploy.manifests.graph_check import check_graph, check_manifests, check_nodes
from carrental_mlops.deploy.manifests.shapes import graph_of
from carrental_mlops.errors import ConfigError

CONFIG = """\
service: payments
package: payments
owner: a@example.com
tier: 3
environments: [local]
columns: {id: payment_id, time: paid_at, label: is_fraud, entities: []}
latency_class: batch
slo: {rps: 1, error_rate: 0.01}
deploy:
  nodes:
"""
OURS = "carrental_mlops.serving.nodes"
MEAN = f"name: a, kind: combiner, uses: '{OURS}:Mean'"
WEIGHTED = f"name: a, kind: combiner, uses: '{OURS}:Weighted'"


def model(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "MODEL", **more}


def test_a_graph_that_can_run_names_its_nodes_outermost_first() -> None:
    router = {"name": "bandit", "type": "ROUTER", "children": [model("a"), model("b")]}
    assert check_graph({"name": "features", "type": "TRANSFORMER", "children": [router]}) == (
        "features", "bandit", "a", "b",
    )  # fmt: skip


CIRCLE: dict[str, Any] = {"name": "features", "type": "TRANSFORMER"}
CIRCLE["children"] = [CIRCLE]


@pytest.mark.parametrize(
    ("graph", "what", "mend"),
    [
        ({"name": "a", "type": "MODLE"}, "unknown type 'MODLE'", "MODEL"),
        ({"name": "a", "type": "COMBINER"}, "combiner without children", "put its models behind it"),
        ({"name": "a", "type": "ROUTER", "children": [model("b")]}, "router with 1 children", "two or more"),
        ({"name": "a", "type": "TRANSFORMER"}, "nothing is behind", "put the model behind it"),
        (model("a", children=[model("b"), model("c")]), "the first one's answer is given", "combiner or a router"),
        ({"name": "a", "type": "COMBINER", "children": [model("b"), model("b")]}, "is there twice", "name of its own"),
        (CIRCLE, "runs in a circle: features -> features", "take `features` out"),
        (model("Model_A"), "the name is 'Model_A'", "lower-case"),
        ({"name": "a", "type": "TRANSFORMER", "children": ["b"]}, "children[0] is 'b'", "name, type, children"),
    ],
)
def test_a_graph_that_cannot_run_is_refused(graph: dict[str, Any], what: str, mend: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_graph(graph, "prod")
    assert refused.value.what.startswith("prod") and what in refused.value.what and mend in refused.value.fix


def test_a_rendered_graph_is_held_to_its_containers() -> None:
    spec = {"graph": model("a"), "name": "champion", "componentSpecs": [{"spec": {"containers": [{"name": "a"}]}}]}
    manifest: dict[str, Any] = {"kind": "SeldonDeployment", "metadata": {"name": "x"}, "spec": {"predictors": [spec]}}
    assert check_manifests([{"kind": "Service"}, manifest]) == 1
    spec["componentSpecs"] = []
    with pytest.raises(ConfigError, match="predictor champion: node `a` has no container"):
        check_manifests([manifest])


def repo(root: Path, *lines: str) -> Path:
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(CONFIG + "".join(f"    - {{{line}}}\n" for line in lines))
    package = root / "src" / "own_graph_nodes"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f"from {OURS} import Combiner\n\nclass Highest(Combiner):\n    def combined(self, *, scores):\n"
        "        return scores.max(axis=0)\n\nclass Plain:\n    pass\n"
    )
    return root


def test_nodes_of_the_package_and_of_the_repo_are_held(tmp_path: Path) -> None:
    root = repo(
        tmp_path,
        "name: highest, kind: combiner, uses: 'own_graph_nodes:Highest', settings: {threshold: 0.5}",
        f"name: b, kind: model, uses: '{OURS}:OneModel', settings: {{bundle: b}}",
    )
    assert len(check_nodes(root).deploy.nodes) == 2


@pytest.mark.parametrize(
    ("line", "what", "mend"),
    [
        ("name: a, kind: splitter, uses: 'x:Y'", "`deploy.nodes.0.kind` is 'splitter'", "router"),
        ("name: a, kind: combiner, uses: mean", "`uses` is `mean`", "module:Class"),
        ("name: a, kind: combiner, uses: 'nowhere:Mean'", "cannot be imported", "mend `uses`"),
        (f"name: a, kind: combiner, uses: '{OURS}:Means'", "has no `Means`", "Mean"),
        ("name: a, kind: combiner, uses: 'own_graph_nodes:Plain'", "is no node", "derive it"),
        (f"name: a, kind: router, uses: '{OURS}:Mean'", "is a combiner, `kind` says router", "kind: combiner"),
        (f"{MEAN}, settings: {{treshold: 1}}", "no setting `treshold`", "threshold"),
        (WEIGHTED, "wants the setting `weights`", "add `weights:`"),
        (f"{MEAN}, settings: {{threshold: 2}}", "less than or equal to 1", "edit"),
        (f"{WEIGHTED}, settings: {{weights: '1, 2'}}", "2 weights for 1", "one for each"),
        (f"name: a, kind: router, uses: '{OURS}:ThompsonRouter'", "`children` is 2, the graph has 1", "children: 1"),
        (f"name: f, kind: transformer, uses: '{OURS}:FeatureTransformer'", "read stored features itself", "request"),
        (f"name: payments, kind: combiner, uses: '{OURS}:Mean'", "`payments` is there twice", "name of its own"),
    ],
)  # fmt: skip
def test_a_node_that_cannot_be_is_refused_at_its_line(tmp_path: Path, line: str, what: str, mend: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_nodes(repo(tmp_path, line))
    assert "config/crm.yaml:11" in refused.value.what and what in refused.value.what and mend in refused.value.fix


def test_an_explainer_that_would_explain_without_the_transformers_features_is_refused(tmp_path: Path) -> None:
    transformer = f"name: f, kind: transformer, uses: '{OURS}:FeatureTransformer'"
    explainer = f"name: e, kind: explainer, uses: '{OURS}:ShapExplainer'"
    root = repo(tmp_path, transformer, explainer)
    with pytest.raises(ConfigError, match="would explain without them"):
        check_nodes(root, sets=("serving.features.source=request",))


def test_a_route_to_a_child_that_is_not_there_is_refused(tmp_path: Path) -> None:
    route = f"name: r, kind: router, uses: '{OURS}:HeaderRouter', settings: {{header: x, routes: 'new=2'}}"
    second = f"name: b, kind: model, uses: '{OURS}:OneModel'"
    with pytest.raises(ConfigError, match="`new` goes to child 2"):
        check_nodes(repo(tmp_path, route, second))


def test_the_example_of_the_how_to_page_is_accepted(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "graphs.md"
    example = page.read_text(encoding="utf-8").split("```yaml\n")[1].partition("```")[0]
    root = repo(tmp_path)
    (root / "config" / "crm.yaml").write_text(CONFIG.partition("deploy:")[0] + example)
    config = check_nodes(root)
    graph = graph_of(config.deploy, config.service).model_dump()
    assert check_graph(graph) == ("features", "mean", "payments", "cautious")
