"""Names that the chart, the cluster and Prometheus share: tracks of a rollout, parts of a release, keys of labels."""

from __future__ import annotations

from typing import Final, Literal, get_args

TrackName = Literal["champion", "canary", "shadow", "ab"]
TRACKS: tuple[TrackName, ...] = get_args(TrackName)
CHAMPION: Final = "champion"
CANARY: Final = "canary"
SHADOW: Final = "shadow"
PARTS = ("predictor", "transformer", "explainer")
"""Names that KServe gives to a release's pods."""
BATCH = "batch"
"""Part of the batch job's pods, which belong to no track."""

NAME = "app.kubernetes.io/name"
"""The service."""
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "crm"
_OURS = "crm.carrental/"
ENV, RELEASE, TRACK, PART = f"{_OURS}env", f"{_OURS}release", f"{_OURS}track", f"{_OURS}part"
OWNER, COST_CENTRE, TIER, DATA_CLASS = f"{_OURS}owner", f"{_OURS}cost-centre", f"{_OURS}tier", f"{_OURS}data-class"
MODEL_VERSION, MODEL_DIGEST = f"{_OURS}model-version", f"{_OURS}model-digest"
PACKAGE, UNCOMMITTED, SWITCHED_AT = f"{_OURS}package", f"{_OURS}uncommitted", f"{_OURS}switched-at"


def in_prometheus(label: str) -> str:
    """The key of a pod's label as Prometheus has it, such as `crm_carrental_track`.

    Source: kubernetes_sd_config of Prometheus: what is no letter, digit or `_` becomes `_`.
    """
    return "".join(letter if letter.isalnum() else "_" for letter in label)


PROMETHEUS_TRACK, PROMETHEUS_RELEASE = in_prometheus(TRACK), in_prometheus(RELEASE)
