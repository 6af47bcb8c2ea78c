"""The cost of a service: from a dated, sourced table, by hand-made sums."""

from __future__ import annotations

from typing import Any

import pytest

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.infra.prices import estimate, read_prices

PRICES = read_prices()


def _config(**deploy: Any) -> RepoConfig:
    columns = {"id": "id", "time": "at", "label": "y", "entities": ["id"]}
    told = {"service": "fraud", "package": "fraud", "owner": "a@example.com", "tier": 1, "columns": columns, "slo": {}}
    return RepoConfig.model_validate({**told, "deploy": deploy})


def test_every_region_has_every_price_and_every_price_a_source() -> None:
    for region, prices in PRICES.regions.items():
        assert set(prices) == set(PRICES.sources), region
        assert all(price > 0 for price in prices.values())
    assert all(source.startswith("https://aws.amazon.com/") for source in PRICES.sources.values())


def test_a_pod_costs_the_largest_of_its_shares_of_a_node() -> None:
    told = estimate(_config(resources={"cpu": "500m", "memory": "4Gi"}, autoscale={"minimum": 2, "maximum": 4}), PRICES)
    (pods,) = [item for item in told.items if item.what == "pods: model"]
    assert pods.least_usd == pytest.approx(2 * 0.5 * 0.115 * 730)  # half of the 8 GiB, though a quarter of the CPU
    assert pods.most_usd == pytest.approx(2 * pods.least_usd)


def test_a_gpu_takes_its_whole_node() -> None:
    config = _config(resources={"cpu": "1", "memory": "1Gi", "gpu": 1}, autoscale={"minimum": 1, "maximum": 1})
    (pods,) = [item for item in estimate(config, PRICES).items if item.what.startswith("pods")]
    assert pods.least_usd == pytest.approx(1.258 * 730)


def test_the_total_is_the_sum_of_its_lines_by_hand() -> None:
    config = _config(autoscale={"minimum": 2, "maximum": 2}, infra={"secrets": ["a", "b"], "rotation_lambda_arn": "x"})
    pods, disks = 2 * 0.25 * 0.115 * 730, 2 * 10 * 0.0952
    rest = 20 * 0.0245 + 20 * 0.10 + 30 * 0.63 + 360 * 0.0324 + 0.30 + 2 * 0.10 + 1 + 2 * 0.40
    assert estimate(config, PRICES).totals() == (f"{pods + disks + rest:.2f}",) * 2


def test_further_nodes_of_the_graph_are_counted() -> None:
    node = {"name": "features", "kind": "transformer", "uses": "a:B"}
    told = estimate(_config(shape="transformer", nodes=[node]), PRICES)
    assert [item.what for item in told.items][:2] == ["pods: model", "pods: features"]


def test_a_price_from_memory_is_marked_until_its_source_was_read() -> None:
    unread = PRICES.model_copy(update={"confirmed": {}})
    assert {item.confirmed for item in estimate(_config(), unread).items} == {None}
    assert "(* from memory, not confirmed at the source)" in estimate(_config()).notes[0]
    read = PRICES.model_copy(update={"confirmed": {"eu-central-1": {"node_hour": PRICES.as_of}}})
    told = {item.what: item.confirmed for item in estimate(_config(), read).items}
    assert (told["pods: model"], told["artefacts"]) == (PRICES.as_of.isoformat(), None)
    elsewhere = PRICES.model_copy(update={"confirmed": {"eu-west-1": {"node_hour": PRICES.as_of}}})
    assert {item.confirmed for item in estimate(_config(), elsewhere).items} == {None}
    every = {region: dict.fromkeys(PRICES.sources, PRICES.as_of) for region in PRICES.regions}
    whole = PRICES.model_copy(update={"confirmed": every})
    assert "from memory" not in " ".join(estimate(_config(), whole).notes)
    assert set(PRICES.confirmed) <= set(PRICES.regions)
    assert all(set(names) <= set(PRICES.sources) for names in PRICES.confirmed.values())


def test_an_unknown_region_and_a_small_budget_are_said() -> None:
    config = _config(aws={"region": "eu-south-2"}, infra={"monthly_budget_usd": 1})
    notes = " ".join(estimate(config, PRICES).notes)
    assert "no eu-south-2: the prices are those of eu-central-1" in notes
    assert "monthly_budget_usd" in notes
    assert len(estimate(_config(), PRICES).notes) == 1
