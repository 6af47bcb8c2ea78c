"""`crm --help` against `cookiecutter --help`; `crm new` with its commit against cookiecutter and copier with theirs."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path

from measure import BIN, Row, alternate, peers_environment, wall

GIT = "git init -q . && git add -A && git -c user.name=b -c user.email=b@example.com commit -qm first"


def help_row(runs: int = 9) -> Row:
    ours, peer = alternate(
        lambda: wall([BIN / "crm", "--help"]), lambda: wall([BIN / "cookiecutter", "--help"]), runs=runs
    )
    return Row("`crm --help`", ours, "`cookiecutter --help`", peer, "<= 1.0x")


def copier_template(cookiecutter: Path, into: Path) -> Path:
    """The same template in copier's words."""
    answers = json.loads((cookiecutter / "cookiecutter.json").read_text())
    questions = {k: v[0] if isinstance(v, list) else v for k, v in answers.items() if not k.startswith("_")}
    shutil.copytree(next(p for p in cookiecutter.iterdir() if p.is_dir() and "{{" in p.name), into / "template")
    for path in sorted(into.glob("template/**/*"), reverse=True):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("cookiecutter.", "")
            path.write_text(text, encoding="utf-8")
            path = path.rename(path.with_name(path.name + ".jinja"))
        if "cookiecutter." in path.name:
            path.rename(path.with_name(path.name.replace("cookiecutter.", "")))
    lines = [
        f"{k}:\n  type: str\n  default: {json.dumps(re.sub('cookiecutter[.]', '', str(v)))}"
        for k, v in questions.items()
    ]
    (into / "copier.yml").write_text("_subdirectory: template\n" + "\n".join(lines) + "\n")
    return into


def new_rows(runs: int = 5) -> list[Row]:
    from carrental_mlops.scaffold.catalogue import template_dir

    with tempfile.TemporaryDirectory() as folder, template_dir("fraud-realtime") as template:
        base = Path(folder)
        copier = copier_template(template, base / "copier")

        def ours() -> float:
            shutil.rmtree(base / "a", ignore_errors=True)
            (base / "a").mkdir()
            return wall(
                [BIN / "crm", "new", "--template", "fraud-realtime", "--name", "bench", "--no-input"], base / "a"
            )

        def by_cookiecutter() -> float:
            shutil.rmtree(base / "b", ignore_errors=True)
            (base / "b").mkdir()
            script = f"{BIN}/cookiecutter --no-input {template} && cd * && {GIT}"
            return wall(["bash", "-ec", script], base / "b")

        def by_copier() -> float:
            shutil.rmtree(base / "c", ignore_errors=True)
            script = f"{peers_environment()}/copier copy --quiet --defaults --trust {copier} c && cd c && {GIT}"
            return wall(["bash", "-ec", script], base)

        new, cookie, cop = alternate(ours, by_cookiecutter, by_copier, runs=runs)
    return [
        Row(
            "`crm new --no-input` with its commit",
            new,
            "`cookiecutter`, `git init/add/commit`",
            cookie,
            "<= 1.1x, < 2 s",
        ),
        Row("the same", new, "`copier copy`, `git init/add/commit`", cop, "<= 1.1x"),
    ]


def rows() -> list[Row]:
    return [help_row(), *new_rows()]


if __name__ == "__main__":
    for row in rows():
        print(row.markdown())
