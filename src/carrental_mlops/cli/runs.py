"""`crm runs`: what past runs left in MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json, Repo, StoreOf

if TYPE_CHECKING:
    from carrental_mlops.integrations.mlflow import RunRecord

app = noun("Stored runs: list, compare, diff.")


@app.command("list", epilog="Example: crm runs list --limit 5 --metric average_precision")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    metric: Annotated[
        list[str] | None, typer.Option(help="Show STEP.NAME, or NAME where one step has it; repeatable.")
    ] = None,
    env: StoreOf = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """The latest runs, newest first."""
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.integrations.mlflow import metric_name, runs

    found = runs(*_store(repo, env), limit)
    chosen = [metric_name(name, found) for name in metric or []]
    if as_json:
        show_json([asdict(run) for run in found])
        return
    rows = [(*_line(run), *(_number(run.metrics.get(name)) for name in chosen)) for run in found]
    show_table(("run", "pipeline", "env", "status", "started (UTC)", "seconds", *chosen), rows)


@app.command(epilog="Example: crm runs compare 3f2a9c 7b04d1")
def compare(first: str, second: str, env: StoreOf = None, as_json: Json = False, repo: Repo = None) -> None:
    """Metrics, params, data and code of two runs side by side; an id may be shortened to its last 6 characters."""
    _compare(first, second, _store(repo, env), as_json, everything=True)


@app.command(epilog="Example: crm runs diff 3f2a9c 7b04d1")
def diff(first: str, second: str, env: StoreOf = None, as_json: Json = False, repo: Repo = None) -> None:
    """What differs between two runs: metrics, params, data, code; an id may be its last 6 characters."""
    _compare(first, second, _store(repo, env), as_json, everything=False)


def _compare(first: str, second: str, store: tuple[str, str], as_json: bool, everything: bool) -> None:
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.integrations.mlflow import find_run

    a, b = find_run(*store, first), find_run(*store, second)
    rows = [row for row in _sides(a, b) if everything or row[2] != row[3]]
    if as_json:
        show_json([dict(zip(("kind", "name", a.run_id, b.run_id), row, strict=True)) for row in rows])
        return
    show_table(("", "name", a.run_id, b.run_id), [(kind, name, _number(x), _number(y)) for kind, name, x, y in rows])


def _sides(a: RunRecord, b: RunRecord) -> Iterator[tuple[str, str, Any, Any]]:
    kinds: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
        "metric": (a.metrics, b.metrics),
        "param": (a.params, b.params),
        "data": (a.datasets, b.datasets),
        "code": (a.code(), b.code()),
        "tag": (a.own_tags(), b.own_tags()),
    }
    for kind, (left, right) in kinds.items():
        for name in sorted({*left, *right}):
            yield kind, name, left.get(name), right.get(name)


def _store(repo: Path | None, env: str | None) -> tuple[str, str]:
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.integrations.mlflow import tracking_uri

    found = open_repo(repo, env)
    return tracking_uri(found.root, found.config.mlflow.tracking_uri), found.config.service


def _line(run: RunRecord) -> tuple[str, ...]:
    from datetime import UTC, datetime

    started = datetime.fromtimestamp(run.started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    return run.run_id, run.pipeline, run.env, run.status, started, _number(run.seconds)


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
