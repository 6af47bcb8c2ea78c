"""A template held to what those of this package are held to: one line in the tests of a team's package.

from carrental_mlops.upgrade.template_check import check_template

def test_the_template() -> None:
    check_template("churn-batch", earlier=["dist/churn_batch_template-0.1.0-py3-none-any.whl"])
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from carrental_mlops.errors import CrmError, TemplateError
from carrental_mlops.scaffold.answers import complete
from carrental_mlops.scaffold.catalogue import describe, template_dir
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.ownership import RECORD, TemplatePackage, owner_of, read_record
from carrental_mlops.scaffold.render import repo_from
from carrental_mlops.scaffold.rendering import Rendering
from carrental_mlops.scaffold.team_templates import one_spelling, team_template, template_folder
from carrental_mlops.scaffold.team_versions import whole
from carrental_mlops.scaffold.versions import Material, material, unpack_wheel
from carrental_mlops.upgrade.phases import start
from carrental_mlops.upgrade.plan import plan

CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",), ("pytest", "-q"))
"""What a repo of ours holds as it is generated; each is run as `python -m …`."""
RULES = ("CRM1", "CRM2", "CRM3")
"""Codes of `crm check` that nothing in a generated repo may block on: configuration, files, hooks."""
_LINE = "\n# A line of the team.\n"


def check_template(name: str, *, earlier: Sequence[str | Path] = (), checks: Sequence[Sequence[str]] = CHECKS) -> None:
    """Render a template with each allowed answer, run the repo's own checks, and upgrade repos of earlier versions.

    Args:
        name: of an installed template, ours or a team's; being asked here, its package counts as trusted.
        earlier: wheels of the team's package in earlier versions; a repo made from each, with an edit of the team, must
            upgrade without a conflict to what is rendered now, the edit kept.
        checks: run in the generated repo with this interpreter; minutes, for they hold a training.

    Raises:
        TemplateError: the template is refused, does not give the same twice, a check fails, or an upgrade differs.
    """
    with template_dir(name, trust=True) as source, tempfile.TemporaryDirectory(prefix="crm-check-") as folder:
        _renders(source)
        made = repo_from(source, {}, Path(folder)).path
        for check in checks:
            _run(made, check)
        _rules(made)
        left = Git(made).text("status", "--porcelain")
        if left:
            raise TemplateError(f"template {name}: its checks leave behind: {left}", "name it in .gitignore")
    for wheel in earlier:
        _upgrades(name, Path(wheel))


def _renders(source: Path) -> None:
    """With the defaults twice, and with every choice once."""
    about, rendering = describe(source), Rendering(source)
    first = rendering.rendered(complete(about.questions, {}))
    if rendering.rendered(complete(about.questions, {})) != first:
        raise TemplateError(f"template {about.name} renders to another text each time", "leave out what is random")
    for question in about.questions:
        for choice in question.choices[1:]:
            rendering.rendered(complete(about.questions, {question.name: choice}))


def _run(repo: Path, check: Sequence[str]) -> None:
    env = {**os.environ, "PYTHONPATH": str(repo / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *check]
    done = subprocess.run(command, cwd=repo, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - a check
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise TemplateError(f"in a generated repo, {' '.join(check)} fails:\n{said}", "mend it in the template")


def _rules(repo: Path) -> None:
    from carrental_mlops.governance.check import check

    found = [f for f in check(repo, only=RULES, keep=False).blocking if f.code.startswith(RULES)]
    if found:
        raise TemplateError(f"in a generated repo, crm check says {found[0].code}: {found[0].what}", found[0].mend)


def _upgrades(name: str, wheel: Path) -> None:
    now = team_template(name, trust=True)
    if now is None or now.folder is None:
        raise TemplateError(f"no package has a template `{name}` that a wheel could be earlier of", "earlier=[]")
    ours, package = material(), TemplatePackage(now.distribution, now.version)
    with tempfile.TemporaryDirectory(prefix="crm-check-") as folder:
        unpacked = Path(folder) / "wheel"
        unpack_wheel(wheel, unpacked)
        before = whole(name, _package(unpacked), _inside(name, unpacked), ours)
        after = whole(name, package, now.folder, ours)
        repo = repo_from(before, {}, Path(folder)).path
        edited = _edit(repo, before, after)
        _upgrade(repo, ours, before, after)
        _as_rendered(repo, after, edited, wheel)


def _package(unpacked: Path) -> TemplatePackage:
    told = metadata.Distribution.at(next(unpacked.glob("*.dist-info")))
    return TemplatePackage(one_spelling(told.name), told.version)


def _inside(name: str, unpacked: Path) -> Path:
    folder = template_folder(name, unpacked)
    if folder is None:
        raise TemplateError(f"the wheel {unpacked} has no template `{name}`", "name an earlier wheel of this package")
    return folder


def _edit(repo: Path, before: Path, after: Path) -> str:
    """A line more in the first file of the team that both versions render alike; empty where there is none."""
    answers, asked = read_record(repo).answers, describe(after).questions
    now = complete(asked, {q.name: answers[q.name] for q in asked if q.name in answers})
    one, other = Rendering(before).rendered(answers), Rendering(after).rendered(now)
    same = [p for p, f in one.items() if owner_of(p, f.content) == "yours" and p.endswith(".py") and other.get(p) == f]
    if not same:
        return ""
    path = repo / same[0]
    path.write_bytes(path.read_bytes() + _LINE.encode())
    Git(repo).identified().out("commit", "--quiet", "--all", "--no-verify", "--message", "An edit of the team")
    return same[0]


def _upgrade(repo: Path, ours: Material, before: Path, after: Path) -> None:
    try:
        outcome = start(plan(repo, ours, ours, templates=lambda *_: (before, after)))
    except CrmError as error:
        raise TemplateError(f"a repo of an earlier version does not upgrade: {error.what}", error.fix) from error
    if outcome.unmerged:
        raise TemplateError(
            f"a repo of an earlier version conflicts with itself: {', '.join(outcome.unmerged)}",
            "mend it in the template",
        )


def _as_rendered(repo: Path, after: Path, edited: str, wheel: Path) -> None:
    rendered = Rendering(after).rendered(read_record(repo).answers)
    listed = set(Git(repo).text("ls-files", "-z").split("\0")) - {"", RECORD}
    differ = sorted(listed ^ set(rendered))
    differ += [
        path for path, file in rendered.items() if path in listed
        and (repo / path).read_bytes() != file.content + (_LINE.encode() if path == edited else b"")
    ]  # fmt: skip
    if differ:
        what = f"a repo of {wheel.name}, upgraded, is not what is rendered now: {', '.join(differ)}"
        raise TemplateError(what, "crm upgrade --dry-run in such a repo shows the merge")
