"""What a merge request of a campaign says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from carrental_mlops.deploy.ci.comment import shortened
from carrental_mlops.fleet.branch import Upgrade
from carrental_mlops.fleet.campaign_state import Entry
from carrental_mlops.upgrade.upgrade_text import merge_request_text


def title(made: Upgrade) -> str:
    """Of the merge request."""
    return f"Upgrade carrental-mlops {made.outcome.version_from} to {made.outcome.version_to}"


def merge_request(made: Upgrade, branch: str) -> str:
    """What the team has to do, then the whole report: files, ledger, overrides."""
    text = "\n".join([*_todo(made, branch), "", merge_request_text(made.outcome, made.overrides, None)])
    return shortened(text, f"Cut here; all of it: `crm upgrade --to {made.outcome.version_to} --dry-run`")


def _todo(made: Upgrade, branch: str) -> Iterator[str]:
    to, broken, kept = made.outcome.version_to, made.broken, made.outcome.unmerged
    yield f"`crm fleet upgrade` opened this for carrental-mlops {to}. The branch is yours: push to it as you like."
    if broken:
        yield ""
        yield f"**{len(broken)} of your overrides do not fit {to}** or may not; this stays a draft until they do:"
        yield ""
        for one in broken:
            yield f"- {one.place} `{one.hook or one.cls}`: {one.otherwise}"
        yield ""
        yield f"Mend them on `{branch}`: the report below says each place and its edit."
    if made.rewritten:
        yield ""
        yield "Rewritten by the codemod, in this commit; look at them:"
        yield ""
        yield from (f"- `{path}`" for path in made.rewritten)
    if kept:
        yield ""
        yield f"**{len(kept)} files are as you had them**, since your text and the new one are in conflict:"
        yield ""
        yield from (f"- `{path}`" for path in kept)
        yield ""
        yield "What they lack stands below under Declined and in `.crm-ledger.json`. Take it over here by hand, or"
        yield f"merge it on a branch of your own with `crm upgrade --to {to}`; if not, it comes back next time."
    if not broken and not kept:
        yield "It merges clean, and none of your overrides breaks. Your pipeline says the rest."


def line(entry: Entry) -> str:
    """Where a repo is, in words."""
    if entry.step == "failed":
        return f"failed: {entry.why}"
    if entry.step == "current":
        return "has it"
    if entry.step == "closed":
        return "closed by a person"
    what = {
        "clean": "clean",
        "conflicts": f"{entry.conflicts} in conflict",
        "breaks": f"{entry.breaks} overrides break",
    }
    parts = [what.get(entry.verdict, ""), entry.step if entry.step != "waiting" else ""]
    parts += [f"pipeline {entry.pipeline}"] if entry.number is not None and entry.pipeline != "none" else []
    parts += [f"ran {entry.ran_s:.0f} s"] if entry.ran_s is not None else []
    return ", ".join(part for part in parts if part) or "not begun"


def run_time(version: str, entries: Sequence[Entry]) -> str:
    """How many repos ran under the version and how long; empty where none did."""
    ran = [one.ran_s for one in entries if one.ran_s is not None]
    return f"run under {version}: {len(ran)} repos, {sum(ran):.0f} s in all" if ran else ""
