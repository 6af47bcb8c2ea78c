"""A fleet of model repos for the upgrade benchmark: releases made by editing our template, seeded edits of teams."""

from __future__ import annotations

import difflib
import json
import os
import random
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.scaffold.rendering import Rendered, Rendering
from carrental_mlops.scaffold.versions import Material, material

FLAVOUR = "fraud-realtime"
TEMPLATES = (FLAVOUR, "fraud-nightly")
"""The second is the first without the notebook, and with lines of its own."""
_REPO = "{{cookiecutter.name}}"
_CI = "{% if cookiecutter.ci == 'gitlab' %}.gitlab-ci.yml{% endif %}"
_COMMENT = {".md": "<!-- {} -->"}
_SUFFIXED = (".py", ".yaml", ".yml", ".toml", ".tf", "Makefile")


@dataclass(frozen=True)
class Release:
    """What a version does to the template before it."""

    version: str
    lines: Mapping[str, tuple[float, ...]]
    """File to where in it (fraction of its length) a line changes, in turn by a word at its end or a line before it."""
    renamed: Mapping[str, str]
    deleted: tuple[str, ...]
    added: tuple[str, ...]


RELEASES = (
    Release(
        "1.1.0",
        {
            "Makefile": (0.3, 0.8), "README.md": (0.5,), "config/crm.yaml": (0.4,), "pyproject.toml": (0.6,),
            "requirements/dev.txt": (0.1, 0.5, 0.9), "requirements/serving.txt": (0.4,), _CI: (0.2, 0.7),
            "src/{{cookiecutter.package}}/features.py": (0.5,), "tests/test_training.py": (0.5,),
        },
        {"notebooks/explore.py": "notebooks/01_explore.py"},
        ("MLproject",),
        ("docs/runbook.md",),
    ),
    Release(
        "1.2.0",
        {
            "Makefile": (0.5,), "config/prod.yaml": (0.5,), "config/crm.yaml": (0.8,), "pyproject.toml": (0.3,),
            "requirements/dev.txt": (0.3, 0.7), "requirements/pipelines.txt": (0.2, 0.6), _CI: (0.4, 0.9),
            "src/{{cookiecutter.package}}/pipelines.py": (0.7,), "Dockerfile.serving": (0.5,), ".gitignore": (0.5,),
            "deploy/terraform/main.tf": (0.6,), "tests/conftest.py": (0.5,),
        },
        {"Dockerfile.pipelines": "docker/pipelines.Dockerfile", "tests/test_contracts.py": "tests/test_contract.py"},
        (".dockerignore",),
        ("docs/on-call.md", "config/dev-notes.yaml"),
    ),
)  # fmt: skip
_OVERRIDES = {
    hook: f"    def {hook}(self, *, {given}):\n        return super().{hook}({given}={given})\n"
    for hook, given in (("feature_columns", "rows"), ("sample_weight", "rows"), ("estimator", "seed"))
}


def versions(folder: Path) -> list[Material]:
    """1.0.0, which is this checkout's template, then each release, as unpacked wheels."""
    first = folder / "1.0.0"
    shutil.copytree(material().root, first, ignore=shutil.ignore_patterns("__pycache__", ".crm-sha256"))
    templates = first / "carrental_mlops" / "_assets" / "templates"
    shutil.copytree(templates / FLAVOUR, templates / TEMPLATES[1])
    shutil.rmtree(templates / TEMPLATES[1] / _REPO / "notebooks")
    readme = templates / TEMPLATES[1] / _REPO / "README.md"
    readme.write_text(readme.read_text() + "\nIt runs once a night.\n")
    made = [_numbered(Material("1.0.0", first))]
    for release in RELEASES:
        root = folder / release.version
        shutil.copytree(made[-1].root, root)
        for name in TEMPLATES:
            _release(root / "carrental_mlops" / "_assets" / "templates" / name / _REPO, release)
        made.append(_numbered(Material(release.version, root)))
    _change_default(made[-1].package / "steps" / "train.py")
    return made


def _numbered(version: Material) -> Material:
    """Its templates pin its own number, as those of a wheel do."""
    for name in TEMPLATES:
        path = version.template(name) / "cookiecutter.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "_crm_version": version.version}, indent=2))
    return version


def _release(template: Path, release: Release) -> None:
    for file, places in release.lines.items():
        path = template / file
        lines = path.read_text().splitlines(keepends=True)
        for number, place in enumerate(sorted(places, reverse=True)):
            said = f"release {release.version} {Path(file).name.split(' ')[-1][:20]} {number}"
            at = int(place * len(lines))
            if number % 2 or not _suffixed(file, lines[at]):
                lines.insert(at, _comment(file, said) + "\n")
            else:
                lines[at] = f"{lines[at].rstrip()}  # {said}\n"
        path.write_text("".join(lines))
    for old, new in release.renamed.items():
        if (template / old).exists():
            (template / new).parent.mkdir(parents=True, exist_ok=True)
            (template / old).rename(template / new)
    for file in release.deleted:
        (template / file).unlink()
    for file in release.added:
        (template / file).parent.mkdir(parents=True, exist_ok=True)
        (template / file).write_text("".join(f"# release {release.version} {file} {n}\n" for n in range(12)))


def _change_default(path: Path) -> None:
    """The newest version's default of a hook that teams override does its work in another way."""
    text = path.read_text()
    head, mark, rest = text.partition("def sample_weight(")
    assert mark and "        return None\n" in rest, path
    path.write_text(
        head + mark + rest.replace("        return None\n", "        weights = None\n        return weights\n", 1)
    )


def _suffixed(file: str, line: str) -> bool:
    line = line.rstrip()
    return (
        file.endswith(_SUFFIXED) and bool(line) and not line.endswith("\\") and '"""' not in line and "{%" not in line
    )


def _comment(file: str, said: str) -> str:
    return _COMMENT.get(Path(file).suffix, "# {}").format(said)


@dataclass(frozen=True)
class Edit:
    """One edit of a team."""

    where: str
    """`near` a change of the template, in a `moved` file (renamed or deleted by it), or `elsewhere`."""
    kind: str
    path: str
    line: int = 0
    said: str = ""
    """A text that is nowhere else."""
    gone: str = ""
    """A line that was removed."""


Sides = tuple[Mapping[str, Rendered], Mapping[str, Rendered]]


def sides(template: str, old: Material, new: Material, answers: Mapping[str, str]) -> Sides:
    """Both versions of a kind of repo, rendered."""
    one, other = (Rendering(version.template(template)).rendered(answers) for version in (old, new))
    return one, other


def edits(seed: int, rendered: Sides) -> list[Edit]:
    """One to six edits: 40 % within 3 lines of a template change, 10 % in files that it renames or deletes."""
    rng = random.Random(seed)
    old, new = rendered
    texts = {p: f.content.decode().splitlines() for p, f in old.items() if p.endswith(".txt") or f.content.strip()}
    moved = sorted(path for path in texts if path not in new)
    changed = {p: found for p in sorted(texts) if p in new and (found := _changed(texts[p], new[p].content))}
    taken: set[tuple[str, int]] = set()
    made: list[Edit] = []
    for number in range(rng.randint(1, 6)):
        where = rng.choices(["near", "moved", "elsewhere"], [0.4, 0.1, 0.5])[0]
        edit = None
        while edit is None:  # one edit a place, so that each can be looked for
            edit = _edit(rng, where, f"team-{seed:05d}-{number}", texts, changed, moved)
            near = {(edit.path, edit.line + n) for n in (-1, 0, 1)} | {(edit.path, -9)}
            whole = edit.kind in ("rename", "mode")
            if near & taken or (whole and any(path == edit.path for path, _ in taken)):
                edit = None
        made.append(edit)
        taken |= {(edit.path, edit.line), *([(edit.path, -9)] if whole else [])}
    return made


def _edit(
    rng: random.Random,
    where: str,
    said: str,
    texts: Mapping[str, list[str]],
    changed: Mapping[str, list[tuple[int, int]]],
    moved: list[str],
) -> Edit:
    if where == "near":
        path = rng.choice(list(changed))
        start, end = rng.choice(changed[path])
        line = min(max(rng.randint(start - 3, max(end - 1, start) + 3), 0), len(texts[path]) - 1)
        return _edit_at(where, rng.choice(["insert", "replace", "insert", "remove"]), path, line, said, texts)
    path = rng.choice(moved if where == "moved" else sorted(texts))
    kind = rng.choices(["insert", "replace", "remove", "new", "rename", "mode"], [50, 20, 10, 10, 5, 5])[0]
    kind = "insert" if where == "moved" and kind == "new" else kind
    return _edit_at(where, kind, path, rng.randrange(len(texts[path])), said, texts)


def _edit_at(where: str, kind: str, path: str, line: int, said: str, texts: Mapping[str, list[str]]) -> Edit:
    there = texts[path][line]
    if kind == "remove" and (len(there) < 16 or sum(lines.count(there) for lines in texts.values()) > 1):
        kind = "insert"
    if kind == "replace" and not _suffixed(path, there):
        kind = "insert"
    return Edit(where, kind, path, line, said, there if kind == "remove" else "")


def _changed(old: list[str], new: bytes) -> list[tuple[int, int]]:
    """Ranges of the old lines that the new version changes."""
    now = new.decode().splitlines()
    first = next((n for n, (a, b) in enumerate(zip(old, now, strict=False)) if a != b), min(len(old), len(now)))
    found = difflib.SequenceMatcher(None, old[first:], now[first:], autojunk=False).get_opcodes()
    return [(first + i1, first + i2) for kind, i1, i2, _, _ in found if kind != "equal"]


def apply(repo: Path, made: list[Edit]) -> None:
    """Bring the edits into a work tree; from the bottom of a file upwards."""
    for edit in sorted(made, key=lambda e: -e.line):
        path = repo / edit.path
        if edit.kind == "new":
            place = path.with_name(f"{edit.said}.yaml")
            place.write_text(f"# {edit.said}\n")
        elif edit.kind == "rename":
            path.rename(path.with_name(f"{edit.said}-{path.name}"))
        elif edit.kind == "mode":
            path.chmod(0o755)
        else:
            lines = path.read_text().splitlines(keepends=True)
            if edit.kind == "insert":
                lines.insert(edit.line, _comment(edit.path, edit.said) + "\n")
            elif edit.kind == "replace":
                lines[edit.line] = f"{lines[edit.line].rstrip()}  # {edit.said}\n"
            else:
                del lines[edit.line]
            path.write_text("".join(lines))


def override(repo: Path, package: str, seed: int) -> list[str]:
    """None to three hooks of the training step overridden in `steps.py` and put into the pipeline; their names."""
    rng = random.Random(-seed - 1)
    names = rng.sample(sorted(_OVERRIDES), rng.randint(0, 3))
    if not names:
        return []
    source = repo / "src" / package
    steps, pipelines = source / "steps.py", source / "pipelines.py"
    if not steps.is_file() or not pipelines.is_file():
        return []
    body = "\n".join(_OVERRIDES[name] for name in names)
    steps.write_text(
        f"{steps.read_text()}\nfrom carrental_mlops.steps import TrainStep\n\n\nclass TeamTrain(TrainStep):\n{body}"
    )
    text = pipelines.read_text()
    text = text.replace("    gate = step(Gate)\n", "    train = step(TeamTrain)\n    gate = step(Gate)\n", 1)
    taken = f"from {package}.steps import TeamTrain\nfrom {package}.service"
    pipelines.write_text(text.replace(f"from {package}.service", taken, 1))
    return names


def lost(repo: Path, made: list[Edit], unmerged: Mapping[str, bytes]) -> list[str]:
    """Edits that neither the work tree holds nor a conflict shows.

    Args:
        repo: after the upgrade.
        made: what the team had done.
        unmerged: path to every side of each conflict: of the index, or a reject file.
    """
    files = _work_tree(repo)
    text = b"\n".join((*files.values(), *unmerged.values())).decode(errors="replace")
    merged = b"\n".join(content for path, content in files.items() if path not in unmerged)
    clean = set(merged.decode(errors="replace").splitlines())
    found = []
    for edit in made:
        if edit.kind in ("insert", "replace", "new", "override"):
            held = edit.said in text
        elif edit.kind == "remove":
            held = edit.gone not in clean
        elif edit.kind == "rename":
            away = edit.path not in files or edit.path in unmerged
            held = away and any(edit.said in path for path in (*files, *unmerged))
        else:
            held = bool(unmerged) or any(os.access(repo / path, os.X_OK) for path in files)
        if not held:
            found.append(f"{edit.kind} {edit.where} {edit.path}:{edit.line + 1}")
    return found


def missing(repo: Path, new: Mapping[str, Rendered]) -> list[str]:
    """Lines of the releases that a repo without conflicts does not hold."""
    text = b"\n".join(_work_tree(repo).values()).decode(errors="replace")
    whole = b"\n".join(file.content for file in new.values()).decode(errors="replace")
    wanted = set(re.findall(r"release 1\.\d\.0 [^\s]+ \d+", whole))
    return sorted(word for word in wanted if word not in text)


def _work_tree(repo: Path) -> dict[str, bytes]:
    return {
        path.relative_to(repo).as_posix(): path.read_bytes()
        for path in repo.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(repo).parts
    }
