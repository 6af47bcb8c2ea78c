"""`crm fleet`: every model repo at once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from carrental_mlops.cli.fleet_place import PLACE, fleet_at
from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json

if TYPE_CHECKING:
    from carrental_mlops.fleet.campaign import Result
    from carrental_mlops.fleet.campaign_state import Entry
    from carrental_mlops.fleet.clones import Clones
    from carrental_mlops.fleet.inventory import Fleet
    from carrental_mlops.fleet.standing import Standing

app = noun("Every model repo at once: where it stands, campaigns of upgrades, checks.")

Place = Annotated[
    str | None,
    typer.Option("--fleet", metavar="PLACE", help=f"{PLACE}; default: fleet.yaml, else this folder."),
]
Url = Annotated[str | None, typer.Option(help="Of a host of your own, for gitlab: and github:.")]
Topic = Annotated[str | None, typer.Option(help="Only repos that bear it, for gitlab: and github:.")]
Only = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Repos by name, `*` allowed; repeatable.")]
Jobs = Annotated[int, typer.Option(min=1, max=64, help="Repos at a time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Without crm check, and so without score.")]


@app.command(epilog="Example: crm fleet status --fleet ~/repos --no-check")
def status(
    source: Place = None, url: Url = None, topic: Topic = None, only: Only = None, jobs: Jobs = 2,
    no_check: NoCheck = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Where each service stands: owner, tier, versions, overrides, ledger, waivers, score, last deploy, SLO."""
    from carrental_mlops.cli.terminal import show_json

    fleet, clones = _fleet(source, url, topic, only)
    found = _standings(fleet, clones, jobs, not no_check)
    if as_json:
        show_json([one.to_json() for one in found])
    else:
        _show_status(found)


@app.command(epilog="Example: crm fleet page --fleet gitlab:data-science --out fleet.html")
def page(
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    source: Place = None, url: Url = None, topic: Topic = None, only: Only = None, jobs: Jobs = 2,
    no_check: NoCheck = False,
) -> None:  # fmt: skip
    """The same as one HTML page that needs no network: sort, filter, light and dark."""
    from carrental_mlops.fleet.page import write_page

    fleet, clones = _fleet(source, url, topic, only)
    write_page(out, _standings(fleet, clones, jobs, not no_check), fleet.source, datetime.now(UTC))
    typer.echo(f"{len(fleet.members)} services: {out}")


@app.command(epilog="Example: crm fleet upgrade --to 1.4.0 --canary 'fraud-*' --wave 10% --dry-run")
def upgrade(
    to: Annotated[str | None, typer.Option(help="Version to go to; default: the installed one.")] = None,
    source: Place = None, url: Url = None, topic: Topic = None, only: Only = None, jobs: Jobs = 2,
    canary: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Who goes first; repeatable.")] = None,
    wave: Annotated[
        list[str] | None, typer.Option(metavar="SIZE", help="Of the waves after the canaries: 5 or 10%; repeatable.")
    ] = None,
    stop_above: Annotated[float, typer.Option(min=0, max=1, help="Share of a wave that may fail (fraction).")] = 0.2,
    gate: Annotated[
        Literal["pipeline", "made"], typer.Option(help="What a wave's merge requests show before the next wave.")
    ] = "pipeline",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for pipelines; then it is run again.")] = 0.0,
    dynamic: Annotated[
        str | None,
        typer.Option(metavar="N|all", help="Run so many repos that override a hook under the version, the first ones."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="A new merge request where somebody closed one; --only says for whom.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option(help="State file; default: .crm/fleet/upgrade-<version>.jsonl.")
    ] = None,
    dry_run: DryRun = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Branches and merge requests to a newer version, in waves; run again, it goes on where it was.

    A repo of a folder gets a branch crm-upgrade/VERSION; its work tree stays as it is. Exit code 1: too many failed.
    """
    from carrental_mlops.fleet.campaign import Campaign, Settings
    from carrental_mlops.fleet.campaign_state import CampaignState
    from carrental_mlops.fleet.versions import Versions

    most = _most(dynamic)
    fleet, clones = _fleet(source, url, topic, only, canary)
    versions = Versions()
    new = versions.get(to or _installed())
    settings = Settings(jobs, tuple(wave or ["10%"]), stop_above, gate, wait, dynamic=most, again=again)
    campaign = Campaign(fleet, new, clones, settings, versions, _tell)
    if dry_run:
        _show_campaign(campaign.foresee(), None, as_json)
        return
    path = state or Path(".crm") / "fleet" / f"upgrade-{new.version}.jsonl"
    _show_campaign(campaign.run(CampaignState(path, new.version)), path, as_json)


@app.command(epilog="Example: crm fleet check --fleet ~/repos --only 'fraud-*'")
def check(
    source: Place = None, url: Url = None, topic: Topic = None, only: Only = None, jobs: Jobs = 2, as_json: Json = False
) -> None:
    """crm check in each repo; exits 1 where a finding blocks any of them, or one cannot be checked."""
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.errors import ExitCode
    from carrental_mlops.fleet.each import check_all

    fleet, clones = _fleet(source, url, topic, only)
    found = check_all(fleet, clones, jobs, _progress)
    if as_json:
        show_json([asdict(one) for one in found])
    else:
        show_table(("repo", "score", "findings", "blocking", "first"), [one.row() for one in found])
    if any(one.bad for one in found):
        raise typer.Exit(ExitCode.YOURS)


@app.command(
    epilog="Example: crm fleet run --only 'fraud-*' -- crm config get tier",
    context_settings={"ignore_unknown_options": False},
)
def run(
    command: Annotated[list[str], typer.Argument(help="After `--`: the program and its arguments; no shell.")],
    source: Place = None, url: Url = None, topic: Topic = None, only: Only = None, jobs: Jobs = 2,
    limit: Annotated[float, typer.Option(min=1, help="Seconds that it may take in one repo.")] = 600.0,
    dry_run: DryRun = False, as_json: Json = False,
) -> None:  # fmt: skip
    """A command in each repo's folder, without the host's token; exits 1 where it fails in any."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.errors import ExitCode
    from carrental_mlops.fleet.each import run_all

    fleet, clones = _fleet(source, url, topic, only)
    if dry_run:
        for member in fleet.members:
            typer.echo(f"{member.name}: {' '.join(command)}")
        return
    found = run_all(fleet, clones, command, jobs, limit, _progress)
    if as_json:
        show_json([asdict(one) for one in found])
    else:
        for one in found:
            typer.echo(f"{one.repo}: {one.ended}")
            typer.echo("".join(f"  {line}\n" for line in one.said.splitlines()), nl=False)
    if any(one.bad for one in found):
        raise typer.Exit(ExitCode.YOURS)


def _fleet(
    source: str | None, url: str | None, topic: str | None, only: list[str] | None, canary: list[str] | None = None
) -> tuple[Fleet, Clones]:
    default = "fleet.yaml" if Path("fleet.yaml").is_file() else "."
    fleet, clones = fleet_at(source or default, url, topic, canary or ())
    return fleet.only(only or ()), clones


def _standings(fleet: Fleet, clones: Clones, jobs: int, check: bool) -> list[Standing]:
    from carrental_mlops.fleet.each import standings
    from carrental_mlops.fleet.versions import Versions

    return standings(fleet, clones, Versions(), _installed(), jobs, check, _progress)


def _most(dynamic: str | None) -> int | None:
    from carrental_mlops.errors import ConfigError

    if dynamic == "all":
        return None
    if dynamic is not None and not dynamic.isdecimal():
        raise ConfigError(f"--dynamic {dynamic}: no number of repos", "--dynamic 30, or --dynamic all")
    return int(dynamic or 0)


def _installed() -> str:
    from carrental_mlops import __version__

    return __version__


def _progress(name: str) -> None:
    typer.echo(f"  {name}", err=True)


def _tell(entry: Entry) -> None:
    from carrental_mlops.fleet.campaign_text import line

    typer.echo(f"  {entry.repo}: {line(entry)}", err=True)


def _show_status(found: list[Standing]) -> None:
    from carrental_mlops.cli.terminal import show_table

    def said(value: object) -> object:
        return "unknown" if value is None else value

    head = ("service", "owner", "tier", "template", "package", "behind", "score", "overrides", "ledger", "waivers",
            "trained", "deployed", "SLO")  # fmt: skip
    lines = [
        (
            one.service or one.name, said(one.owner), said(one.tier),
            f"{one.template} {one.template_version}" if one.template else "unknown", said(one.package),
            "unknown" if one.behind_days is None else f"{one.behind_days} d",
            f"{one.score}{f', {one.blocking} block' if one.blocking else ''}" if one.score is not None else "unknown",
            "unknown" if "overrides" in one.unknown else len(one.overrides),
            "unknown" if "ledger" in one.unknown else f"{len(one.ledger_open)} open",
            f"{len(one.waivers)} to {one.waivers[0].until}" if one.waivers else "none",
            said(one.last_train and one.last_train[:10]),
            f"{one.last_deploy.release} {one.last_deploy.at[:10]}" if one.last_deploy else "unknown", one.slo,
        )
        for one in found
    ]  # fmt: skip
    show_table(head, lines)
    for one in found:
        for name, why in one.unknown.items():
            typer.echo(f"{one.name}: {name} unknown: {why}", err=True)


def _show_campaign(result: Result, path: Path | None, as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.errors import ExitCode
    from carrental_mlops.fleet.campaign_text import line, run_time

    if as_json:
        entries = [asdict(one) for one in result.entries]
        show_json({"version": result.version, "stopped": result.stopped, "failing": result.failing, "repos": entries})
    else:
        head = ("wave", "repo", "from", "files", "", "merge request")
        show_table(head, [(e.wave, e.repo, e.version_from, e.files, line(e), e.url) for e in result.entries])
    for said in (run_time(result.version, result.entries), result.stopped):
        if said:
            typer.echo(said, err=True)
    if path:
        typer.echo(f"state: {path}; texts beside it", err=True)
    if result.failing or any(one.step == "failed" for one in result.entries):
        raise typer.Exit(ExitCode.YOURS)
