"""`crm infra`: plan, apply, destroy, unlock, cost, subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.deploy.infra.record import PlanRecord
    from carrental_mlops.deploy.infra.run import Infra, PlanOutcome

app = noun("What a service needs on AWS, by Terraform.")

Env = Annotated[str, typer.Option("--env", help="An environment of crm.yaml after the first.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show it, change nothing.")]


@app.command(epilog="Example: crm infra plan --env staging")
def plan(env: Env, sets: Sets = None, as_json: Json = False, dry_run: DryRun = False, repo: Repo = None) -> None:
    """Plan, check the plan against our rules, and keep it for `apply`; a broken rule exits 4."""
    from carrental_mlops.errors import GateRefused

    infra = _infra(env, sets, repo)
    outcome = infra.plan()
    _show(env, outcome, as_json)
    if dry_run:
        infra.folder.forget_plan()
    if outcome.record.refused:
        raise GateRefused("the plan breaks rules:\n  " + "\n  ".join(outcome.record.refused), "mend deploy/terraform")


@app.command(epilog="Example: crm infra apply --env staging --digest 3f9a61c2")
def apply(
    env: Env,
    digest: Annotated[str | None, typer.Option(help="Of the plan that was agreed to; 8 letters or more.")] = None,
    allow_loss: Annotated[bool, typer.Option("--allow-loss", help="Delete or replace even what holds data.")] = False,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    repo: Repo = None,
) -> None:
    """Apply the plan that `crm infra plan` made, and no other."""
    infra = _infra(env, sets, repo)
    if dry_run:
        _tell(env, infra.agreed(digest, allow_loss), as_json, "would apply")
    else:
        _tell(env, infra.apply(digest, allow_loss), as_json, "applied")


@app.command(epilog="Example: crm infra destroy --env staging --confirm fraud-payments")
def destroy(
    env: Env,
    confirm: Annotated[str | None, typer.Option(help="The service's name, so that it is this one.")] = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    repo: Repo = None,
) -> None:
    """Delete all of it; a bucket or a registry that still holds something refuses."""
    from carrental_mlops.errors import ConfigError

    infra = _infra(env, sets, repo)
    if not dry_run and confirm != infra.config.service:
        raise ConfigError(f"this deletes {infra.config.service} in {env}", f"--confirm {infra.config.service}")
    outcome = infra.plan(destroy=True)
    if dry_run:
        infra.folder.forget_plan()
        _tell(env, outcome.record, as_json, "would destroy")
    else:
        _tell(env, infra.apply(outcome.record.digest), as_json, "destroyed")


@app.command(epilog="Example: crm infra unlock --env staging --lock 7e0a41c9-7c1f-8d5c-9d3d-2f6d2f6a9f11")
def unlock(
    env: Env,
    lock: Annotated[str, typer.Option(help="Id of the lock, as `crm infra plan` names it.")],
    sets: Sets = None,
    dry_run: DryRun = False,
    repo: Repo = None,
) -> None:
    """Release the lock that a cut-off apply left in the state."""
    infra = _infra(env, sets, repo)
    if not dry_run:
        infra.unlock(lock)
    typer.echo(f"{'would release' if dry_run else 'released'} {lock}; next: crm infra plan --env {env}")


@app.command(epilog="Example: crm infra cost --env prod")
def cost(env: Env, sets: Sets = None, as_json: Json = False, repo: Repo = None) -> None:
    """What the service costs a month, from a dated table of list prices; nothing is asked of AWS."""
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.deploy.infra.prices import estimate

    found = estimate(_infra(env, sets, repo).config)
    if as_json:
        show_json(found.as_json())
        return
    rows = [
        (f"{i.what}{'' if i.confirmed else ' *'}", i.quantity, f"{i.least_usd:.2f}", f"{i.most_usd:.2f}")
        for i in found.items
    ]
    show_table(("what", "how much", "least USD", "most USD"), [*rows, ("total", "", *found.totals())])
    for note in found.notes:
        typer.echo(note)


@app.command(epilog="Example: crm infra subjects --ci gitlab --project ds/fraud-payments")
def subjects(
    project: Annotated[str, typer.Option(help="group/project; where GitHub names it by ids, owner@id/repository@id.")],
    ci: Annotated[Literal["gitlab", "github"], typer.Option(help="Whose tokens the jobs have.")] = "gitlab",
    branch: Annotated[str, typer.Option(help="That is released from.")] = "main",
    as_json: Json = False,
) -> None:
    """Print `deploy.infra.ci_subjects`: which jobs of the pipeline may take which IAM role."""
    import yaml

    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.deploy.infra.subjects import GITLAB_COMPONENTS, subjects_of

    told = {"deploy": {"infra": {"ci_subjects": subjects_of(ci, project, branch).model_dump(mode="json")}}}
    show_json(told) if as_json else typer.echo(yaml.safe_dump(told, sort_keys=False, width=200), nl=False)
    hints = {
        "gitlab": f"set the project's ci_id_token_sub_claim_components to {', '.join(GITLAB_COMPONENTS)} (GitLab 18.7"
        " or later), and protect the environments approval, staging and prod",
        "github": "protect the environments approval and prod; repositories since July 2026: owner@id/repository@id",
    }
    typer.echo(hints[ci], err=True)


def _infra(env: str, sets: list[str] | None, repo: Repo) -> Infra:
    from carrental_mlops.config import load, repo_config
    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.deploy.infra.run import Infra

    root = find_repo(repo)
    return Infra(root, repo_config(load(root, env, sets or ())), env)


def _show(env: str, outcome: PlanOutcome, as_json: bool) -> None:
    if before := outcome.cut_off:
        typer.echo(
            f"the apply of {before.at:%Y-%m-%d %H:%M} UTC was cut off; of what it had made, "
            f"{len(outcome.adopted)} objects unknown to the state were found again; the plan holds what is left",
            err=True,
        )
    _tell(env, outcome.record, as_json, "planned", outcome)


def _tell(env: str, record: PlanRecord, as_json: bool, word: str, outcome: PlanOutcome | None = None) -> None:
    from carrental_mlops.cli.terminal import show_json, show_table

    if as_json:
        cut = outcome.cut_off.at if outcome and outcome.cut_off else None
        adopted = list(outcome.adopted) if outcome else []
        told = record.model_dump(mode="json", exclude={"makes"})
        show_json({"env": env, "state": word, **told, "cut_off": cut, "adopted": adopted})
        return
    if not record.changes:
        typer.echo("No changes: AWS is as the configuration says")
        return
    show_table(("action", "address"), [(change.action, change.address) for change in record.changes])
    typer.echo(f"{word}: {len(record.changes)} changes, plan sha256:{record.digest}")
    if word == "planned" and not record.refused:
        loss = " --allow-loss" if record.losses else ""
        typer.echo(f"next: crm infra apply --env {env} --digest {record.digest[:12]}{loss}")
