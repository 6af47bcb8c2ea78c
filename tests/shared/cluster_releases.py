"""Every shape, platform and rollout that the chart supports, as the objects that a cluster is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

from batch_jobs import IMAGE
from releases import release
from rendered_repos import EXECUTOR

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.deploy import Platform, Rollout, Shape
from carrental_mlops.config.reader import load, repo_config
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.manifests.shapes import check_supported
from carrental_mlops.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "examples/fraud-payments"
SERVICE = "fraud-payments"
_USES = "carrental_mlops.serving.nodes:Mean"
_NODES: dict[Shape, str] = {
    "single": "[]",
    "transformer": f"[{{name: features, kind: transformer, uses: '{_USES}'}}]",
    "ensemble": f"[{{name: mean, kind: combiner, uses: '{_USES}'}}, {{name: second, kind: model, uses: '{_USES}'}}]",
    "router": f"[{{name: bandit, kind: router, uses: '{_USES}'}}, {{name: second, kind: model, uses: '{_USES}'}}]",
    "multi_model": f"[{{name: by-name, kind: router, uses: '{_USES}'}}, {{name: other, kind: model, uses: '{_USES}'}}]",
}


_BATCH = (
    f"deploy.batch={{schedule: '0 3 * * *', image: '{IMAGE}'}}",
    "mlflow.tracking_uri=https://mlflow.example.com",
    "steps.predict.output=s3://answers/{run_id}.parquet",
)


@dataclass(frozen=True)
class Case:
    """One combination."""

    platform: Platform
    shape: Shape
    rollout: Rollout
    serverless: bool

    def __str__(self) -> str:
        return "-".join((self.platform, self.shape.replace("_", "-"), self.rollout, *(["knative"] * self.serverless)))

    def config(self, *more: str, env: str = "prod", namespace: str = "models") -> RepoConfig:
        """The example's configuration with this combination, and with more settings `key=value`."""
        sets = (
            f"deploy.platform={self.platform}",
            f"deploy.shape={self.shape}",
            f"deploy.nodes={_NODES[self.shape]}",
            f"deploy.orchestrator_image={EXECUTOR}",
            f"deploy.rollout.kind={self.rollout}",
            f"deploy.serverless={str(self.serverless).lower()}",
            f"deploy.namespace={namespace}",
            "deploy.route.by=none",
            *_BATCH,
            *more,
        )
        return repo_config(load(EXAMPLE, env, sets))


def supported() -> Iterator[Case]:
    """Every combination that is not refused."""
    for parts in product(get_args(Platform), get_args(Shape), get_args(Rollout), (False, True)):
        case = Case(*parts)
        try:
            check_supported(case.config().deploy)
        except ConfigError:
            continue
        yield case


def objects(config: RepoConfig, env: str = "prod", *, champion: bool = True) -> Sequence[dict[str, Any]]:
    """What the chart makes of a new release, beside the champion where the rollout keeps one."""
    before = release(f"{env}-1", "3") if champion else None
    return render(config, env, release(f"{env}-2", "4"), before).objects
