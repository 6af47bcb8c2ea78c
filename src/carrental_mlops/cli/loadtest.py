"""`crm loadtest`: k6 against a running service, and a verdict."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.core.repo import ModelRepo
    from carrental_mlops.loadtest import Outcome
    from carrental_mlops.loadtest.rows import Rows
    from carrental_mlops.loadtest.scenario import Scenario
    from carrental_mlops.loadtest.target import Target
    from carrental_mlops.loadtest.tune import Search

app = verb()


@app.command(epilog="Example: crm loadtest --profile load --rows data/payments.parquet")
def loadtest(
    url: Annotated[str | None, typer.Argument(help="The service; default: this machine, `serving.port`.")] = None,
    profile: Annotated[
        Literal["smoke", "load", "stress", "soak", "spike"], typer.Option(help="What to ask, and for how long.")
    ] = "smoke",
    rows: Annotated[
        Path | None, typer.Option(help="Rows to send (.parquet, .csv, .jsonl); default: the repo's own source.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option(help="Of all steps, such as 90s or 10m; default: the profile's.")
    ] = None,
    rps: Annotated[float | None, typer.Option(min=1, help="Instead of the SLO's requests a second.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the reports; default: .crm/loadtests/<id>.")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Find what one replica holds, and size the release.")] = False,
    peak: Annotated[
        float | None, typer.Option(min=1, help="Requests a second to size for; default: the SLO's.")
    ] = None,
    headroom: Annotated[float, typer.Option(min=0, max=0.9, help="Share of a replica left free at the peak.")] = 0.3,
    write: Annotated[bool, typer.Option("--write", help="Write the sizes into the environment's file.")] = False,
    env: Env = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the k6 script, send nothing.")] = False,
    repo: Repo = None,
) -> None:
    """Load a running service and judge it by the SLO of crm.yaml; a missed SLO exits 5.

    With --tune: find the knee of one replica, first with clients that wait, then by arrival rates.
    """
    import os

    from carrental_mlops.config.repo import overlay_of
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.loadtest import Limits, scenario_of
    from carrental_mlops.loadtest.k6 import script
    from carrental_mlops.loadtest.scenario import seconds_of
    from carrental_mlops.loadtest.target import Target, target_at, token_of
    from carrental_mlops.loadtest.tune import Search

    found = open_repo(repo, env, sets or ())
    limits = Limits.of(found.config.slo)
    scenario = scenario_of(profile, limits, seconds_of(duration) if duration else None, rps)
    address = url or f"http://127.0.0.1:{found.config.serving.port}"
    if dry_run:
        typer.echo(script(scenario, Target(address.rstrip("/"), found.config.service, "", "", ()), "dry-run"))
        return
    target = target_at(address, found.config.service, token_of(os.environ))
    given = _from_file(rows) if rows else _of_repo(found)
    if tune:
        search = Search(target, limits, given, tell=lambda line: typer.echo(line, err=True))
        _tune(found, search, peak or limits.rps, headroom, overlay_of(found.root, found.config, env), write, as_json)
    else:
        _run(found, scenario, target, given, out, as_json)


def _run(repo: ModelRepo, scenario: Scenario, target: Target, rows: Rows, out: Path | None, as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.loadtest import LoadTest, run_load_test
    from carrental_mlops.loadtest.report import as_json as figures

    typer.echo(
        f"{scenario.profile}: {len(scenario.steps)} steps, {scenario.seconds:.0f} s, rows {rows.source}", err=True
    )
    folder = out or repo.root / ".crm" / "loadtests"
    test = LoadTest(target, scenario, repo.config.slo.rps, rows, folder, exact=out is not None)
    outcome = run_load_test(test)
    if as_json:
        show_json({**figures(outcome.record), "report": str(outcome.folder / "report.html")})
    else:
        _show(outcome)
    if refusal := outcome.refusal():
        raise refusal


def _tune(repo: ModelRepo, search: Search, peak: float, headroom: float, overlay: Path, write: bool, js: bool) -> None:
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.config.edit import set_values
    from carrental_mlops.files import whole_file
    from carrental_mlops.loadtest.sizing import sizing_of
    from carrental_mlops.loadtest.tune import write_evidence

    knee = search.knee()
    sizing = sizing_of(knee, peak, headroom)
    evidence = write_evidence(search, knee, sizing, repo.root / "releases" / "evidence")
    values = {**sizing.overlay(), "deploy.sizing.evidence": str(evidence.relative_to(repo.root)),
              "deploy.sizing.at": datetime.now(UTC).isoformat(timespec="seconds")}  # fmt: skip
    if write:
        text = set_values(overlay, values)
        with whole_file(overlay) as draft:
            draft.write_text(text, encoding="utf-8")
    if js:
        show_json({"knee": asdict(knee), "sizing": asdict(sizing), "evidence": str(evidence), "values": values})
        return
    typer.echo(f"one replica holds {knee.held_rps} requests/s and misses at {knee.missed_rps}")
    typer.echo(f"{peak:g} requests/s with {headroom:.0%} free: {sizing.minimum} to {sizing.maximum} replicas")
    for key, value in values.items():
        typer.echo(f"  {key}: {value}")
    typer.echo(f"written to {overlay}" if write else f"--write writes this to {overlay}")


def _show(outcome: Outcome) -> None:
    from carrental_mlops.cli.terminal import show_table

    head = ("step", "due/s", "sent", "good", "dropped", "p50 ms", "p95 ms", "p99 ms", "late p99 ms")
    lines = [
        (
            m.step.name,
            m.step.rps,
            m.sent,
            m.good,
            m.dropped,
            *(f"{v:.3g}" for v in (m.p50_ms, m.p95_ms, m.p99_ms, m.late_p99_ms)),
        )
        for m in outcome.record.run.measured
    ]
    show_table(head, lines)
    for note in outcome.record.notes():
        typer.echo(note)
    typer.echo(f"SLO {'held' if outcome.record.verdict.passed else 'missed'}: {outcome.folder / 'report.html'}")


def _from_file(path: Path) -> Rows:
    from carrental_mlops.loadtest.rows import from_file

    return from_file(path)


def _of_repo(repo: ModelRepo) -> Rows:
    """Rows of the repo's own source that keep its contract; made-up ones where the source cannot be read."""
    from carrental_mlops.errors import CrmError
    from carrental_mlops.loadtest.rows import made_up
    from carrental_mlops.serving.load import service_of

    try:
        return _ingested(repo)
    except CrmError as error:
        typer.echo(f"the repo's source cannot be read, so rows are made up: {error.what}", err=True)
        return made_up(service_of(repo.root, repo.config).schema)


def _ingested(repo: ModelRepo) -> Rows:
    import pyarrow as pa

    from carrental_mlops.cli.terminal import log_on_stderr
    from carrental_mlops.core.runner import run_in_process
    from carrental_mlops.loadtest.rows import MOST, Rows

    pipeline = repo.pipeline("training")
    last = "validate" if "validate" in pipeline.slots() else "ingest"
    with log_on_stderr():
        summary = run_in_process(pipeline, repo.step_configs(pipeline), repo.context(), until=last)
    frame = summary.load(last)
    sample = frame.sample(min(MOST, len(frame)), random_state=repo.config.seed)
    rows = pa.Table.from_pandas(sample, preserve_index=False).to_pylist()
    return Rows(rows, f"sampled from the repo's source (`{last}`)")
