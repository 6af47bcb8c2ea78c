"""Two versions of this package as source trees, and a small repo that overrides hooks."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import carrental_mlops
from carrental_mlops.scaffold.versions import Material

SOURCE = Path(carrental_mlops.__file__).parent
_PARTS = ("core", "data", "serving", "steps")
_IGNORED = shutil.ignore_patterns("__pycache__", "oip", "runtimes", "nodes")


def version(folder: Path, name: str, changelog: str = "") -> Material:
    """The sources that hold hooks, copied: what a wheel of version `name` would hold of them."""
    root = folder / name
    for part in _PARTS:
        shutil.copytree(SOURCE / part, root / "carrental_mlops" / part, ignore=_IGNORED)
    (root / "carrental_mlops" / "__init__.py").write_text(f'__version__ = "{name}"\n')
    (root / "carrental_mlops" / "_assets").mkdir()
    (root / "carrental_mlops" / "_assets" / "CHANGELOG.md").write_text(changelog)
    return Material(name, root)


def edited(material: Material, file: str, *edits: tuple[str, str]) -> None:
    """Each text replaced, once and surely, in `file` of a version."""
    path = material.package / file
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        assert text.count(old) == 1, (file, old, text.count(old))
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def declare(material: Material, *entries: str) -> None:
    """What the version's `core/deprecated.py` declares."""
    lines = "".join(f"    {entry},\n" for entry in entries)
    edited(
        material,
        "core/deprecated.py",
        ("CHANGES: tuple[Change, ...] = ()", f"CHANGES: tuple[Change, ...] = (\n{lines})"),
    )


def repo(folder: Path, **files: str) -> Path:
    """A repo of those files under `src/pay/`: `steps="…"` is `src/pay/steps.py`."""
    root = folder / "repo"
    (root / "src" / "pay").mkdir(parents=True)
    (root / "src" / "pay" / "__init__.py").write_text("")
    for name, text in files.items():
        (root / "src" / "pay" / f"{name}.py").write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return root
