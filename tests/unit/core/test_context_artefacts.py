"""Files that a step writes for its run: where they lie, and how long."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from carrental_mlops.core import Context


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_artefacts_of_a_context_share_one_folder(scratch: Path) -> None:
    context = Context()
    context.artefact("report.html").write_text("<p>well</p>")
    context.artefact("card.md").write_text("# Card")
    assert {path.read_text() for path in context.artefacts.values()} == {"<p>well</p>", "# Card"}
    assert len(list(scratch.iterdir())) == 1


def test_a_context_without_artefacts_makes_no_folder(scratch: Path) -> None:
    Context().metric("rows", 1)
    assert not list(scratch.iterdir())


def test_the_folder_goes_with_its_context(scratch: Path) -> None:
    context = Context()
    context.artefact("report.html").write_text("<p>well</p>")
    other = replace(context, artefacts={})
    other.artefact("card.md").write_text("# Card")
    del context
    gc.collect()
    assert [path.name for path in scratch.rglob("*.*")] == ["card.md"]


def test_the_folder_goes_when_the_process_ends(tmp_path: Path) -> None:
    code = (
        "from carrental_mlops.core import Context; kept = Context(); path = kept.artefact('a.txt'); "
        "path.write_text('a'); print(path)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    written = Path(done.stdout.strip())
    assert written.name == "a.txt"
    assert not written.parent.exists()
