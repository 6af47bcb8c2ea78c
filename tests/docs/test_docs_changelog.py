"""Under **Hook** the changelog names every hook, and nothing else but what `core/deprecated.py` declares."""

from __future__ import annotations

import re
from pathlib import Path

from carrental_mlops.core.deprecated import CHANGES

ROOT = Path(__file__).parents[2]
DECLARED = re.compile(r"^    @hook\(.*?^    def (\w+)\(", re.M | re.S)


def test_the_changelog_names_every_hook_and_only_hooks() -> None:
    files = (ROOT / "src" / "carrental_mlops").rglob("*.py")
    declared = {name for path in files for name in DECLARED.findall(path.read_text())}
    sections = re.findall(r"^### Hook\n(.*?)(?=^##|\Z)", (ROOT / "CHANGELOG.md").read_text(), re.M | re.S)
    named = {found.rpartition(".")[2] for section in sections for found in re.findall(r"`([\w.]+)`", section)}
    changed = {name for change in CHANGES for name in (change.hook, change.old, change.new)}
    assert declared
    assert declared <= named <= declared | changed
