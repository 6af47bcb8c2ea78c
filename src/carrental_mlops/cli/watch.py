"""`crm watch`: what an on-call engineer gets of a service, made from its crm.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Env, Json, Repo, Sets

app = noun("What an on-call engineer gets: alerts, rules, runbook, dashboard.")
Out = Annotated[Path | None, typer.Option(help="Write it to this file.")]


@app.command(epilog="Example: crm watch alerts --env prod")
def alerts(env: Env = None, sets: Sets = None, as_json: Json = False, repo: Repo = None) -> None:
    """List the alerts: severity, how long they must hold, what they say."""
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.observe.rules import rules_of

    found = open_repo(repo, env, sets or ())
    groups = rules_of(found.config, env or found.config.local)
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    if as_json:
        show_json(rules)
    else:
        rows = [(r["alert"], r["labels"]["severity"], r["for"], r["annotations"]["summary"]) for r in rules]
        show_table(("alert", "severity", "for", "says"), rows)


@app.command(epilog="Example: crm watch rules --env prod --out rules.yaml")
def rules(out: Out = None, env: Env = None, sets: Sets = None, repo: Repo = None) -> None:
    """Prometheus' rule file, as `promtool check rules` reads it; the chart has the same as a PrometheusRule."""
    import yaml

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.observe.rules import rules_of

    found = open_repo(repo, env, sets or ())
    groups = rules_of(found.config, env or found.config.local)
    _give(yaml.safe_dump({"groups": groups}, sort_keys=False, width=120), out)


@app.command(epilog="Example: crm watch runbook --env prod --out docs/runbook.md")
def runbook(out: Out = None, env: Env = None, sets: Sets = None, repo: Repo = None) -> None:
    """Markdown: each alert with its causes and the first three commands."""
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.observe.runbook import runbook_of

    found = open_repo(repo, env, sets or ())
    _give(runbook_of(found.config, env or found.config.local), out)


@app.command(epilog="Example: crm watch dashboard --env prod --out dashboard.json")
def dashboard(out: Out = None, env: Env = None, sets: Sets = None, repo: Repo = None) -> None:
    """Grafana's dashboard as JSON; the chart has the same as a ConfigMap."""
    import json

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.observe.dashboard import dashboard_of

    found = open_repo(repo, env, sets or ())
    _give(json.dumps(dashboard_of(found.config), indent=1) + "\n", out)


def _give(text: str, out: Path | None) -> None:
    from carrental_mlops.files import whole_file

    if out is None:
        typer.echo(text, nl=False)
        return
    with whole_file(out) as draft:
        draft.write_text(text, encoding="utf-8")
    typer.echo(str(out))
