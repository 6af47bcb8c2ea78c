from __future__ import annotations

import json
from pathlib import Path

import pytest

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.compose import REPO_FOLDER, compose, files_of, flavours


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A base with one file and two questions, and a flavour with one file more."""
    for layer, questions, name in (
        ("_base", {"name": "x", "tier": ["2", "1"]}, "README.md"),
        ("churn-batch", {"tier": ["1", "2"], "_summary": "Churn."}, "features.py"),
    ):
        folder = tmp_path / "templates" / layer / REPO_FOLDER
        folder.mkdir(parents=True)
        (folder / name).write_text("{{cookiecutter.name}}\n")
        (folder.parent / "cookiecutter.json").write_text(json.dumps(questions))
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    for name in ("pipelines.txt", "repo.txt", "serving.txt"):
        (requirements / name).write_text("numpy==2.2.0\n")
    return tmp_path


def composed(root: Path) -> Path:
    return compose(root / "templates", "churn-batch", root / "requirements", "1.2.3", root / "out")


def test_a_flavour_is_laid_over_the_base(sources: Path) -> None:
    made = composed(sources)
    assert {p.relative_to(REPO_FOLDER).as_posix() for p in files_of(made / "") if p.parts[0] == REPO_FOLDER} == {
        "README.md",
        "features.py",
        "requirements/dev.txt",
        "requirements/pipelines.txt",
        "requirements/serving.txt",
    }


def test_a_flavour_changes_a_default_and_keeps_the_order_of_questions(sources: Path) -> None:
    told = json.loads((composed(sources) / "cookiecutter.json").read_text())
    assert list(told)[:2] == ["name", "tier"]
    assert told["tier"] == ["1", "2"]
    assert told["_crm_version"] == "1.2.3"


def test_a_file_in_both_layers_is_refused(sources: Path) -> None:
    (sources / "templates" / "churn-batch" / REPO_FOLDER / "README.md").write_text("again")
    with pytest.raises(TemplateError, match="stands in the base already"):
        composed(sources)


def test_a_link_is_refused(sources: Path) -> None:
    (sources / "templates" / "churn-batch" / REPO_FOLDER / "secrets").symlink_to("/etc")
    with pytest.raises(TemplateError, match="is a link"):
        composed(sources)


def test_what_tools_leave_behind_is_left_out(sources: Path) -> None:
    junk = sources / "templates" / "_base" / REPO_FOLDER / "__pycache__"
    junk.mkdir()
    (junk / "a.pyc").write_bytes(b"\0")
    assert not [p for p in files_of(composed(sources)) if p.suffix == ".pyc"]


def test_the_base_is_no_template(sources: Path) -> None:
    assert flavours(sources / "templates") == ["churn-batch"]
