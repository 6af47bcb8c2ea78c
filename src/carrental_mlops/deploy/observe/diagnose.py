"""One page for three in the morning: what changed since the service was well, who is suspect, what to type next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.queries import stability_index
from carrental_mlops.deploy.observe.runbook_commands import Commands
from carrental_mlops.deploy.observe.suspects import PROBES, Figure, Happening, Suspect, ThenAndNow
from carrental_mlops.deploy.releases.journal import Journal
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import CrmError


@dataclass(frozen=True)
class Page:
    """The diagnosis."""

    since: datetime
    at: datetime
    changes: tuple[Happening, ...]
    """Newest first."""
    figures: tuple[Figure, ...]
    suspects: tuple[Suspect, ...]
    """The one with the most evidence first."""
    unknown: tuple[str, ...] = ()
    """What could not be looked at, and why."""


def diagnose(
    config: RepoConfig,
    asked: ThenAndNow,
    commands: Commands,
    changes: list[Happening],
    unknown: tuple[str, ...] = (),
) -> Page:
    """The page of a service.

    Args:
        config: of the environment.
        asked: Prometheus.
        commands: with the service's names.
        changes: since it was well, as `changes_of` found them.
        unknown: what could not be looked at so far.
    """
    figures: tuple[Figure, ...] = ()
    found: list[Suspect] = []
    missed = list(unknown)
    try:
        figures = tuple(_figures(config, asked))
    except CrmError as error:
        missed.append(error.what)
    for probe in PROBES:
        try:
            found += probe(asked, figures, commands, changes)
        except CrmError as error:
            missed.append(error.what)
    if len(missed) > len(unknown):
        found += [Suspect(1, one.what, f"{one.at:%H:%M} UTC", commands.rollback()) for one in changes if one.release]
    unknown = tuple(dict.fromkeys(missed))
    since, at = (datetime.fromtimestamp(value, UTC) for value in (asked.then, asked.now))
    ordered = sorted(found, key=lambda one: -one.weight)
    return Page(
        since, at, tuple(sorted(changes, key=lambda one: one.at, reverse=True)), figures, tuple(ordered), unknown
    )


def changes_of(store: ReleaseStore, journal: Journal, env: str, since: datetime) -> list[Happening]:
    """Releases, rollouts and switches from `since` on.

    Raises:
        PlatformError: where releases are kept does not answer.
    """
    found = []
    for stored in store.releases(env, 20):
        for event in store.events(stored.release.id):
            if event.at >= since:
                model = f"model version {stored.release.model.version}"
                what = f"release {event.release} ({model}) {event.state}{': ' + event.said if event.said else ''}"
                found.append(Happening(event.at, what, event.by, event.release))
    found += [Happening(one.at, f"{one.kind}: {one.said}", one.by, one.release) for one in journal.entries(since)]
    return found


def _figures(config: RepoConfig, asked: ThenAndNow) -> Iterator[Figure]:
    queries, window = asked.queries, asked.window
    sel = queries.sel()
    yield asked.figure("traffic", "/s", queries.requests(window))
    yield asked.figure("errors", "%", queries.errors(window))
    callers = queries.sel('code=~"4..",code!="429"')
    refused = f"sum(rate(crm_requests_total{callers}[{window}]))"
    yield asked.figure("refused requests", "%", f"{refused} / sum(rate(crm_requests_total{sel}[{window}]))")
    yield asked.figure("p99", "ms", f"1000 * {queries.quantile(0.99, window)}")
    yield asked.figure("fullest queue", "%", f"max(crm_queue_fill_ratio{sel})")
    late = f"sum(rate(crm_features_late_total{sel}[{window}])) / sum(rate(crm_rows_total{sel}[{window}]))"
    yield asked.figure("late or failed feature reads", "%", late)
    stale_s = config.serving.features.stale_after_hours * 3600
    yield asked.figure("stale features", "%", f"max({queries.stale(window, stale_s)})")
    yield asked.figure("audit events lost", "/s", f"sum(rate(crm_audit_dropped_total{sel}[{window}]))")
    yield asked.figure("free disk of the audit", "%", f"min(crm_audit_free_ratio{sel})")
    shares = queries.shares(window, "namespace, model")
    offset = max(1, round(asked.now - asked.then))
    earlier = shares.replace(f"[{window}]", f"[{window}] offset {offset}s")
    drift = asked.samples(stability_index(shares, earlier, "namespace, model"))
    yield Figure("drift of scores since then", "", 0.0, drift[0].value if drift else None)
