"""Two versions of a small template as folders, and a repo made from the first one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from carrental_mlops.scaffold.git import first_commit
from carrental_mlops.scaffold.ownership import RECORD, record
from carrental_mlops.scaffold.rendering import Rendered, Rendering
from carrental_mlops.scaffold.versions import Material

Text = str | bytes
LINES = "".join(f"line {n}\n" for n in range(1, 21))
MANAGED = "# Managed by crm.\n" + LINES


def version(
    folder: Path, number: str, files: Mapping[str, Text], questions: Mapping[str, object] | None = None
) -> Material:
    """A version whose template `small` has these files; `!` before a path makes it executable."""
    root = folder / number
    template = root / "carrental_mlops" / "_assets" / "templates" / "small"
    for path, text in files.items():
        place = template / "{{cookiecutter.name}}" / path.removeprefix("!")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode() if isinstance(text, str) else text)
        place.chmod(0o755 if path.startswith("!") else 0o644)
    told = {"name": "svc", **(questions or {}), "_crm_template": "small", "_crm_version": number, "_summary": "Small."}
    template.mkdir(parents=True, exist_ok=True)
    (template / "{{cookiecutter.name}}").mkdir(exist_ok=True)
    (template / "cookiecutter.json").write_text(json.dumps(told))
    return Material(number, root)


def repo_of(material: Material, place: Path, template: str = "small", answers: Mapping[str, str] | None = None) -> Path:
    """A committed repo as `crm new` makes it."""
    answers = answers or {"name": "svc"}
    files = Rendering(material.template(template)).rendered(answers)
    files[RECORD] = Rendered(record(files, template, material.version, answers))
    for path, file in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(file.content)
        (place / path).chmod(0o755 if file.executable else 0o644)
    first_commit(place, "first")
    return place


def git(repo: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repo, capture_output=True, check=True)
    return done.stdout.decode(errors="surrogateescape")


def commit(repo: Path, message: str = "team") -> str:
    git(repo, "add", "--all")
    git(repo, "-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "--message", message)
    return git(repo, "rev-parse", "HEAD").strip()


def snapshot(repo: Path) -> dict[str, tuple[str, bytes]]:
    """Everything in the work tree, untracked files too, and what the index says."""
    found = {"index": ("", git(repo, "ls-files", "--stage").encode(errors="surrogateescape"))}
    for path in sorted(repo.rglob("*")):
        name = path.relative_to(repo).as_posix()
        if name.split("/")[0] == ".git":
            continue
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()).encode())
        elif path.is_file():
            found[name] = (oct(path.stat().st_mode & 0o777), path.read_bytes())
    return found
