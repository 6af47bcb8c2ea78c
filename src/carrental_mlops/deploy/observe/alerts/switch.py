"""Alerts on the kill switch: the model does not answer, or the switch cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """Something else than the model answers; a switch file that is ignored."""
    on = f"max by (namespace, model, to) (crm_switched{q.sel()})"
    yield Alert(
        "Switched",
        f"{on} == 1",
        "30m",
        "later",
        "something else than the model has answered for half an hour ({{ $labels.to }})",
        _ON,
        (c.query(on), c.switch_state(), c.diagnose()),
    )
    broken = f"max by (namespace, model, pod) (crm_switch_broken{q.sel()})"
    yield Alert(
        "SwitchBroken",
        f"{broken} == 1",
        "1m",
        "now",
        "{{ $labels.pod }} cannot read the kill switch and keeps what it had",
        _BROKEN,
        (c.query(f"sort_desc({broken})"), c.switch_state(), c.logs()),
    )


_ON = (
    Cause("somebody switched and its end has not come", "`crm switch` says who, why and until when", "ask them"),
    Cause("an exercise was forgotten", "its reason says so", "`crm switch --off`"),
    Cause("what it was switched for is not mended", "the alert of that night fires still", "see that alert"),
)
_BROKEN = (
    Cause("the ConfigMap was edited by hand", "the log names the line", "write it with `crm switch`, or `--off`"),
    Cause("a newer `crm` wrote it than the service has", "the log names a key", "deploy the service with that package"),
    Cause("the volume is not mounted", "the pod's events say so", "`crm deploy` again"),
)
