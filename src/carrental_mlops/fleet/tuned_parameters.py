"""The best parameters of a tuning run as one merge request on the repo's host: opened once, then kept up to date."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carrental_mlops.config.edit import set_values
from carrental_mlops.deploy.ci.comment import comment
from carrental_mlops.deploy.ci.run_record import RunRecord, Tuned
from carrental_mlops.errors import ConfigError
from carrental_mlops.fleet.clones import TRAILER, Clones
from carrental_mlops.fleet.hosting import Host, MergeRequest, Proposal
from carrental_mlops.fleet.inventory import Member
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry, Store

BRANCH = "crm/tuned-parameters"
"""One branch for every night, so that there is one merge request at most."""
FILE = "config/crm.yaml"
_AUTHOR = "crm <crm@localhost>"


@dataclass(frozen=True)
class Proposed:
    """What became of a tuning run's parameters."""

    did: Literal["opened", "updated", "nothing", "tried"]
    why: str = ""
    """Of `nothing`."""
    request: MergeRequest | None = None
    text: str = ""
    """Of the merge request, Markdown."""


def propose(record: RunRecord, host: Host, project: str, *, dry_run: bool = False) -> Proposed:
    """One merge request with the parameters that `record` found, on a branch of the repo's default branch as it is now.

    The branch is replaced where the last proposal still stands on it. No code of the repo runs here.

    Args:
        record: of a training that tuned.
        host: where the repo is.
        project: its path there, `group/name`.
        dry_run: push and open nothing.

    Raises:
        ConfigError: the run tuned nothing; the branch holds somebody's commits; the host or git refuses.
        PlatformError: the host does not answer.
    """
    if not record.tuned:
        raise ConfigError(
            f"run {record.run_id} tuned no setting of crm.yaml"
            + (f"; of an estimator of your own: {', '.join(record.tuned_elsewhere)}" if record.tuned_elsewhere else ""),
            "crm run training --engine local --set steps.train.tuning_trials=50 --record run.json",
        )
    if record.refused:
        return Proposed("nothing", f"the gate refused the model that they make: {record.refused}")
    found = host.project(project)
    member = Member(found.path, project=found)
    with tempfile.TemporaryDirectory(prefix="crm-propose-") as scratch:
        clones = Clones(Path(scratch), host)
        commit, changes = _commit(clones.at(member), record)
        if commit is None:
            return Proposed("nothing", f"{found.branch} has these parameters already")
        said = Proposal(BRANCH, found.branch, _title(changes), _text(record, changes), draft=False)
        if dry_run:
            return Proposed("tried", text=said.text)
        clones.push(member, commit, BRANCH)
    standing = next((one for one in host.find(found.path, BRANCH) if one.state == "opened"), None)
    if standing is None:
        return Proposed("opened", request=host.open(found.path, said), text=said.text)
    return Proposed("updated", request=host.update(found.path, standing.number, said), text=said.text)


def _commit(root: Path, record: RunRecord) -> tuple[str | None, dict[str, Tuned]]:
    """(a commit over HEAD that sets the parameters, None where HEAD has them; what it changes)."""
    changes = {key: change for key, change in record.tuned.items() if change.before != change.after}
    text = set_values(root / FILE, {key: change.after for key, change in changes.items()})
    if text == set_values(root / FILE, {}):
        return None, {}
    git = Git(root)
    with Store(git) as store:
        tree = store.tree_of("HEAD")
        files = store.files(tree)
        files[FILE] = Entry(files[FILE].mode, store.put("blob", text.encode()))
        lines = "".join(f"{key}: {change.before} to {change.after}\n" for key, change in sorted(changes.items()))
        message = f"{_title(changes)}\n\n{lines}\n{TRAILER}: {record.run_id}\n"
        seconds = git.text("log", "-1", "--format=%ct")  # of the commit below, so that the same run is the same commit
        who = f"{_AUTHOR} {seconds} +0000"
        return store.put_commit(store.put_tree(files), git.text("rev-parse", "HEAD"), who, message.encode()), changes


def _title(changes: dict[str, Tuned]) -> str:
    return f"Tuned parameters: {', '.join(sorted(key.rpartition('.')[2] for key in changes))}"


def _text(record: RunRecord, changes: dict[str, Tuned]) -> str:
    rows = [f"| `{key}` | {change.before} | {change.after} |" for key, change in sorted(changes.items())]
    table = "\n".join(["| setting | now | proposed |", "|---|---:|---:|", *rows])
    own = f"\n\nTuned too, and no setting of `{FILE}`: {', '.join(f'`{n}`' for n in record.tuned_elsewhere)}."
    figures = comment(record, {}).partition("## crm\n")[2].strip()
    return (
        f"Found by `crm run {record.pipeline}`, run {record.run_id}. The next tuning run replaces this branch as long "
        f"as nobody else commits to it.\n\n{table}{own if record.tuned_elsewhere else ''}\n\n{figures}\n"
    )
