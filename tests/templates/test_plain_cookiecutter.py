"""Every template: whole for plain cookiecutter, no text twice, every file's owner as it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from carrental_mlops.assets import asset_dir
from carrental_mlops.scaffold.catalogue import names, template_dir
from carrental_mlops.scaffold.compose import BASE, files_of, flavours
from carrental_mlops.scaffold.render import new_repo


def contents(folder: Path) -> dict[str, bytes]:
    return {p.as_posix(): (folder / p).read_bytes() for p in files_of(folder) if p.parts[0] != ".git"}


@pytest.mark.parametrize("ci", ["gitlab", "github"])
@pytest.mark.parametrize("template", names())
def test_plain_cookiecutter_gives_the_tree_of_crm_new(template: str, ci: str, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    made = new_repo(template, {"ci": ci, "tier": "3"}, ours)
    with template_dir(template) as folder:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "cookiecutter",
                str(folder),
                "--no-input",
                "--output-dir",
                str(theirs),
                f"ci={ci}",
                "tier=3",
            ],
            check=True,
        )
    expected = contents(made.path)
    del expected[".crm.json"]
    assert contents(theirs / made.path.name) == expected


def test_no_text_stands_in_two_layers() -> None:
    sources = asset_dir("templates")
    seen: dict[bytes, Path] = {}
    for layer in (BASE, *flavours(sources)):
        for path in files_of(sources / layer):
            text = (sources / layer / path).read_bytes()
            assert not text or text not in seen, (path, seen.get(text))
            seen[text] = path


@pytest.mark.parametrize("template", names())
def test_a_repo_is_small(template: str, tmp_path: Path) -> None:
    made = new_repo(template, {}, tmp_path, dry_run=True)
    assert len(made.files) <= 32
