"""What a campaign would merge, run under the new version: imports, contracts, cases of the defaults, the repo's tests.

The repo's code runs in a process of its own that gets no token of a host: `python -m carrental_mlops.fleet.dynamic`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import get_args

from carrental_mlops.fleet.branch import Upgrade
from carrental_mlops.fleet.hosting import without_tokens
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade import codemod
from carrental_mlops.upgrade.dynamic_check import Check, DynamicResult, run
from carrental_mlops.upgrade.override_report import OverrideFinding, Verdict

_LIMIT_S = 600.0
_SPARE_S = 60.0
"""For the process around the run to end by itself."""
_TOLD = 400
_ORDER: tuple[Verdict, ...] = get_args(Verdict)


def run_apart(repo: Path, new: Material) -> DynamicResult:
    """`dynamic_check.run` in a process without a host's token; what went wrong stands in `problems`."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crm-fleet-") as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", __name__, str(repo), new.version, str(new.root), str(answer)]
        try:
            done = subprocess.run(  # noqa: S603 - this Python, our module
                command, env=without_tokens(os.environ), capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=_LIMIT_S + _SPARE_S,
            )  # fmt: skip
            said = done.stderr.strip()[-_TOLD:] or f"it ended with {done.returncode}"
        except subprocess.TimeoutExpired:
            said = f"it took longer than {_LIMIT_S:.0f} s"
        if answer.is_file():
            return _from_json(answer.read_text(encoding="utf-8"))
    return DynamicResult(new.version, "no environment", time.monotonic() - began, problems=(said,))


class Trials:
    """Which repos are run, and what that says of them.

    Args:
        most: how many repos at most, those that are taken first; None: all. One that overrides no hook is not run:
            what the version does to it, its own pipeline says; nor one whose sources show a break already.
        before: how many ran in earlier calls of the same campaign.
        run_it: runs a folder under a version.
    """

    def __init__(
        self, most: int | None, before: int = 0, run_it: Callable[[Path, Material], DynamicResult] = run_apart
    ) -> None:
        self._left = None if most is None else most - before
        self._run, self._lock = run_it, Lock()

    def tried(self, root: Path, made: Upgrade, new: Material) -> Upgrade:
        """The upgrade with what its run said; the same where it is not to be run. The work tree stays as it is."""
        if not self._takes(made):
            return made
        with tempfile.TemporaryDirectory(prefix="crm-fleet-") as folder:
            repo = _checked_out(root, made.commit or "HEAD", Path(folder))
            found = self._run(repo, new)
        return replace(made, overrides=replace(made.overrides, findings=_judged(made, found), dynamic=found))

    def _takes(self, made: Upgrade) -> bool:
        overriding = any(finding.hook for finding in made.overrides.findings)
        unwritten = made.rewritten and not made.commit  # a dry run keeps no commit that holds what was rewritten
        if not overriding or unwritten or any(finding.verdict == "break" for finding in made.broken):
            return False
        with self._lock:
            if self._left is None:
                return True
            self._left -= 1
            return self._left >= 0


def _judged(made: Upgrade, found: DynamicResult) -> tuple[OverrideFinding, ...]:
    """The findings as the run leaves them, the worst first; what the codemod mends stays as the sources show it."""
    mended = [f for f in made.overrides.findings if made.rewritten and f.mend == codemod.COMMAND]
    rest = [f for f in made.overrides.findings if f not in mended]
    seen = [*rest, *(replace(f, verdict="look") for f in mended)]
    findings = [*mended, *(found.judged(f) for f in rest), *found.beyond(seen)]
    return tuple(sorted(findings, key=lambda f: (_ORDER.index(f.verdict), f.place, f.hook)))


def _checked_out(root: Path, commit: str, folder: Path) -> Path:
    """The files of a commit, with the repo's own environment beside them."""
    git, repo, index = Git(root), folder / "repo", folder / "index"
    repo.mkdir()
    git.out("read-tree", commit, index=index)
    git.out("checkout-index", "--all", f"--prefix={repo}/", index=index)
    environment = root / ".venv"
    if environment.is_dir() and not (repo / ".venv").exists():
        (repo / ".venv").symlink_to(environment.resolve(), target_is_directory=True)
    return repo


def _from_json(text: str) -> DynamicResult:
    told = json.loads(text)
    for name in ("imports", "checks", "tests"):
        told[name] = tuple(Check(**one) for one in told[name])
    told["overrides"] = tuple((cls, hook, place) for cls, hook, place in told["overrides"])
    return DynamicResult(**{**told, "problems": tuple(told["problems"])})


if __name__ == "__main__":
    _repo, _version, _root, _answer = sys.argv[1:]
    _found = run(Path(_repo), Material(_version, Path(_root)), limit_s=_LIMIT_S)
    Path(_answer).write_text(json.dumps(_found.to_json()), encoding="utf-8")
