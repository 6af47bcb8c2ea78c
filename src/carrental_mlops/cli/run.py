"""`crm run`: a pipeline on ZenML or in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.core import Pipeline, RunSummary
    from carrental_mlops.core.repo import ModelRepo
    from carrental_mlops.orchestration.launch import Request

app = verb()


@app.command(epilog="Example: crm run training --engine local --set steps.train.n_estimators=50")
def run(
    pipeline: Annotated[str, typer.Argument(help="Its name; `crm pipelines list` shows all.")],
    step: Annotated[
        str | None, typer.Option(help="ZenML: this step and what it needs; local: everything up to it.")
    ] = None,
    engine: Annotated[
        Literal["zenml", "local"], typer.Option(help="local: in this process, nothing stored.")
    ] = "zenml",
    env: Env = None,
    sets: Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every step, even one whose result is stored.")
    ] = False,
    version: Annotated[
        str | None,
        typer.Option(metavar="VERSION[@DIGEST]", help="Its champion step reads this version, whoever is champion."),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write what was measured and judged here, for `crm report comment`.")
    ] = None,
    repo: Repo = None,
) -> None:
    """Run PIPELINE of the model repo; a gate that says no exits 4."""
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.orchestration.launch import Request

    found = open_repo(repo, env, sets or ())
    if version:
        found = open_repo(found.root, env, (*(sets or ()), *_named(found, pipeline, version)))
    request = Request(pipeline, engine, env, step, not no_cache)
    if dry_run:
        _plan(found, request, as_json)
    else:
        _run(found, request, as_json, record)


def _named(repo: ModelRepo, pipeline: str, named: str) -> list[str]:
    """Settings by which the champion steps of `pipeline` read the version `named`; one may have none."""
    from carrental_mlops.steps import ChampionStep

    found = repo.pipeline(pipeline)
    version, _, digest = named.partition("@")
    at = [
        f"pipelines.{found.name}.steps.{slot}" for slot, cls in found.slots().items() if issubclass(cls, ChampionStep)
    ]
    return [
        f'{one}.{key}="{value}"' for one in at for key, value in (("version", version), ("digest", digest)) if value
    ]


def _run(repo: ModelRepo, request: Request, as_json: bool, record: Path | None) -> None:
    from carrental_mlops.cli.terminal import Progress, log_on_stderr, show_json
    from carrental_mlops.orchestration.launch import launch, refusal

    pipeline = repo.pipeline(request.pipeline)
    with log_on_stderr(), Progress(pipeline.slots()) as progress:
        summary = launch(repo, request, progress)
    refused = refusal(pipeline, summary)
    if record:
        from carrental_mlops.orchestration.judged import judged

        judged(summary, refused.what if refused else None, repo).write(record)
    if as_json:
        show_json(_as_json(summary, refused.args[0] if refused else None))
    else:
        _show(summary)
    if refused:
        raise refused


def _as_json(summary: RunSummary, refused: str | None) -> dict[str, Any]:
    return {
        "pipeline": summary.pipeline,
        "run_id": summary.run_id,
        "engine": summary.engine,
        "seconds": sum(step.seconds for step in summary.steps),
        "refused": refused,
        "steps": [
            {"slot": s.slot, "status": s.status, "seconds": s.seconds, "metrics": dict(s.metrics)}
            for s in summary.steps
        ],
        "metrics": summary.metrics(),
        "urls": dict(summary.urls),
    }


def _show(summary: RunSummary) -> None:
    from carrental_mlops.cli.terminal import colour

    cached = sum(step.status == "cached" for step in summary.steps)
    seconds = sum(step.seconds for step in summary.steps)
    note = f", {cached} from the cache" if cached else ""
    typer.echo(
        f"{colour(summary.pipeline, 'bold')}: {len(summary.steps)} steps in {seconds:.1f} s{note} ({summary.run_id})"
    )
    metrics = summary.metrics()
    width = max(map(len, [*metrics, *summary.urls]), default=0)
    for name, value in metrics.items():
        typer.echo(f"  {name.ljust(width)}  {value:.6g}")
    for name, url in summary.urls.items():
        typer.echo(f"  {name.ljust(width)}  {colour(url, 'cyan')}")


def _plan(repo: ModelRepo, request: Request, as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json

    pipeline = repo.pipeline(request.pipeline)
    steps, env = _planned(repo, pipeline, request), request.env or repo.config.local
    if as_json:
        show_json({"pipeline": pipeline.name, "engine": request.engine, "env": env, "steps": steps})
        return
    typer.echo(f"would run {pipeline.name} ({pipeline.__name__}) on {request.engine} in {env}:")
    for step in steps:
        typer.echo(f"  {step['slot']}: {step['class']}")
        for key, value in step["set"].items():
            typer.echo(f"    {key} = {value!r}")


def _planned(repo: ModelRepo, pipeline: type[Pipeline], request: Request) -> list[dict[str, Any]]:
    from carrental_mlops.core.binding import SHARED
    from carrental_mlops.orchestration.launch import planned_slots

    configs, slots = repo.step_configs(pipeline), pipeline.slots()
    return [
        {
            "slot": slot,
            "class": f"{slots[slot].__module__}.{slots[slot].__name__}",
            "set": {k: v for k, v in configs[slot].model_dump(exclude_unset=True).items() if k not in SHARED},
        }
        for slot in planned_slots(pipeline, request)
    ]
