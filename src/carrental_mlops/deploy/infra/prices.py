"""What a service costs a month, from `prices.yaml`: list prices, dated and sourced; nothing is asked of AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.deploy import Resources
from carrental_mlops.config.frozen import Frozen

TABLE = Path(__file__).with_name("prices.yaml")
_ALARMS, _METRICS = 2, 1
"""Of the module `model-service`."""
_LOG_MONTHS = 12
_UNITS: Mapping[str, float] = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class Node(Frozen):
    """What one machine offers."""

    cpu: float
    memory_gib: float
    gpu: int = 0


class Prices(Frozen):
    """The table."""

    as_of: date
    confirmed: dict[str, dict[str, date]] = {}
    """Region to the name of a price to the day on which its source was read; every other is from memory."""
    hours_a_month: float
    sources: dict[str, str]
    node: Node
    gpu_node: Node
    regions: dict[str, dict[str, float]]
    """Region to the name of a price, as in `sources`, to USD."""


@dataclass(frozen=True)
class Item:
    """One line of an estimate."""

    what: str
    quantity: str
    least_usd: float
    """A month, with the fewest replicas."""
    most_usd: float
    """A month, with the most replicas all the time."""
    source: str
    confirmed: str | None = None
    """Day on which the source was read (ISO 8601); None: the price is from memory."""


@dataclass(frozen=True)
class Estimate:
    """What a service costs a month (USD, without tax)."""

    region: str
    as_of: date
    items: tuple[Item, ...]
    notes: tuple[str, ...]

    def totals(self) -> tuple[str, str]:
        """Least and most, in USD with cents."""
        return f"{sum(i.least_usd for i in self.items):.2f}", f"{sum(i.most_usd for i in self.items):.2f}"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        least, most = self.totals()
        return {
            "region": self.region,
            "as_of": self.as_of.isoformat(),
            "least_usd_a_month": float(least),
            "most_usd_a_month": float(most),
            "items": [vars(item) for item in self.items],
            "notes": list(self.notes),
        }


def read_prices(path: Path = TABLE) -> Prices:
    """The table in `path`."""
    import yaml

    return Prices.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def estimate(config: RepoConfig, prices: Prices | None = None) -> Estimate:
    """What the service of `config` costs a month, its share of the nodes included.

    A pod costs the largest of its shares of a node's CPU, memory and GPUs. Left out: traffic, requests to S3 and KMS,
    the EKS cluster and what `modules/platform` makes, which all services share.

    Args:
        config: as of the environment that is asked about.
        prices: default: the table that is shipped.
    """
    prices = prices or read_prices()
    region = config.deploy.aws.region
    known = region if region in prices.regions else max(prices.regions, key=lambda r: prices.regions[r]["node_hour"])
    items = tuple(_items(config, prices, known))
    return Estimate(region, prices.as_of, items, tuple(_notes(config, prices, items, known)))


def _items(config: RepoConfig, prices: Prices, region: str) -> Iterator[Item]:
    deploy, infra, price = config.deploy, config.deploy.infra, prices.regions[region]
    few, many = deploy.autoscale.minimum, deploy.autoscale.maximum
    pods = [("model", deploy.resources), *((node.name, node.resources) for node in deploy.nodes)]
    for name, resources in pods:
        kind = "gpu_node_hour" if resources.gpu else "node_hour"
        share = _share(resources, prices.gpu_node if resources.gpu else prices.node)
        month = share * price[kind] * prices.hours_a_month
        yield Item(f"pods: {name}", f"{few} to {many} x {share:.3g} node", few * month, many * month,
                   *_origin(prices, kind, region))  # fmt: skip

    def line(what: str, name: str, least: float, most: float | None = None, unit: str = "GB") -> Item:
        most = least if most is None else most
        told = f"{least:g} {unit}" if least == most else f"{least:g} to {most:g} {unit}"
        return Item(what, told, least * price[name], most * price[name], *_origin(prices, name, region))

    yield line("audit volumes", "disk_gb_month", few * deploy.audit_volume_gb, many * deploy.audit_volume_gb)
    yield line("artefacts", "storage_gb_month", infra.artefacts_gb)
    yield line("images", "image_gb_month", infra.artefacts_gb)
    yield line("logs, taken in", "log_gb", infra.logs_gb)
    yield line("logs, kept a year", "log_gb_month", _LOG_MONTHS * infra.logs_gb)
    yield line("metrics", "metric_month", _METRICS, unit="")
    yield line("alarms", "alarm_month", _ALARMS, unit="")
    yield line("key", "key_month", 1, unit="")
    yield line("secrets", "secret_month", len(infra.secrets), unit="")


def _origin(prices: Prices, name: str, region: str) -> tuple[str, str | None]:
    day = prices.confirmed.get(region, {}).get(name)
    return prices.sources[name], day.isoformat() if day else None


def _share(wanted: Resources, node: Node) -> float:
    """Of one node; Kubernetes places by requests, so that the scarcest of them decides."""
    shares = [_number(wanted.cpu) / node.cpu, _number(wanted.memory) / 2**30 / node.memory_gib]
    return max([*shares, wanted.gpu / node.gpu] if node.gpu else shares)


def _number(quantity: str) -> float:
    """CPUs or bytes of a Kubernetes quantity."""
    number, unit = re.fullmatch(r"([0-9.]+)(\w*)", quantity).groups()  # type: ignore[union-attr] # config checked it
    return float(number) * _UNITS.get(unit, 1)


def _notes(config: RepoConfig, prices: Prices, items: tuple[Item, ...], known: str) -> Iterator[str]:
    memory = "" if all(item.confirmed for item in items) else " (* from memory, not confirmed at the source)"
    yield (
        f"List prices of {prices.as_of}{memory}, USD without tax; traffic, requests and what services share are left "
        "out."
    )
    if known != config.deploy.aws.region:
        yield f"The table has no {config.deploy.aws.region}: the prices are those of {known}, the dearest that it has."
    most, budget = sum(item.most_usd for item in items), config.deploy.infra.monthly_budget_usd
    if most > budget:
        yield f"At most replicas it costs more than deploy.infra.monthly_budget_usd ({budget:g} USD)."
