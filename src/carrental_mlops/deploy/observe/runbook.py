"""The runbook of one service, from the same alerts that call somebody."""

from __future__ import annotations

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts import SEVERITY, Alert, alerts_of
from carrental_mlops.deploy.observe.rules import dashboard_url, team_of

_MEANING = {
    "critical": "wakes somebody",
    "warning": "waits for the working day",
    "info": "for the next planning",
}


def runbook_of(config: RepoConfig, env: str) -> str:
    """Markdown: each alert with its causes and three commands; the headings are what `runbook_url` points to.

    Args:
        config: with the overlay of `env`.
        env: environment.
    """
    tier = config.tier
    head = [
        f"# Runbook: {config.service} in {env}",
        "",
        f"Made from `crm.yaml` by carrental-mlops; not edited by hand. Owner {config.owner}, team {team_of(config)}, "
        f"tier {tier}. [Dashboard]({dashboard_url(config, env)}).",
        "",
        "The commands are run in the model repo, with access to the cluster and to Prometheus. The first one's output "
        "names the cause; no cause fits: `crm diagnose` says what changed.",
        "",
        "| alert | severity | what it says |",
        "|---|---|---|",
    ]
    alerts = alerts_of(config, env)
    rows = [
        f"| [{a.name}](#{a.name.lower()}) | {SEVERITY[a.urgency][tier - 1]} | {_plain(a.summary)} |" for a in alerts
    ]
    return "\n".join([*head, *rows, "", *(_section(alert, tier) for alert in alerts)]).rstrip() + "\n"


def _section(alert: Alert, tier: int) -> str:
    severity = SEVERITY[alert.urgency][tier - 1]
    lines = [f"## {alert.name}", "", f"{_plain(alert.summary)}. {severity.capitalize()}: {_MEANING[severity]}.", ""]
    lines += [
        "```console",
        *(f"$ {command}" for command in alert.commands),
        "```",
        "",
        "Causes, most likely first:",
        "",
    ]
    for number, cause in enumerate(alert.causes, 1):
        lines += [f"{number}. {cause.what}", f"    - shown by: {cause.shown_by}", f"    - then: {cause.then}"]
    return "\n".join([*lines, ""])


def _plain(summary: str) -> str:
    """A summary without the parts that Prometheus fills in."""
    for filled, word in (
        ("{{ $value | humanizePercentage }}", "N %"),
        ("{{ $value | humanizeDuration }}", "N minutes"),
        ("{{ $value | humanize }}", "N"),
        ("{{ $value }}", "N"),
        ("{{ $labels.pod }}", "a pod"),
        ("{{ $labels.view }}", "a view"),
        ("{{ $labels.version }}", "N"),
        ("{{ $labels.cause }}", "by cause"),
        ("{{ $labels.to }}", "rules, previous or constant"),
    ):
        summary = summary.replace(filled, word)
    return summary[0].upper() + summary[1:]
