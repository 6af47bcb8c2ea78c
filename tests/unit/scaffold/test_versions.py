from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from carrental_mlops import __version__
from carrental_mlops.errors import ConfigError, PlatformError, TemplateError
from carrental_mlops.scaffold.compose import files_of
from carrental_mlops.scaffold.versions import Material, cache_folder, material


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CRM_WHEELS", str(tmp_path / "wheels"))
    return tmp_path / "cache"


def wheel(folder: Path, version: str, text: str = "hello") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"carrental_mlops-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrental_mlops/__init__.py", f'__version__ = "{version}"\nraise SystemExit("run")\n')
        template = "carrental_mlops/_assets/templates/churn"
        archive.writestr(f"{template}/cookiecutter.json", '{"name": "x"}')
        archive.writestr(f"{template}/{{{{cookiecutter.name}}}}/a.txt", text)
        script = zipfile.ZipInfo(f"{template}/{{{{cookiecutter.name}}}}/run.sh")
        script.external_attr = 0o100755 << 16
        archive.writestr(script, "#!/bin/sh\n")
        archive.writestr("carrental_mlops/_assets/CHANGELOG.md", f"## {version}\n")
    return path


def test_the_checkout_is_laid_out_as_its_wheel() -> None:
    found = material()
    assert found.version == __version__
    assert (found.package / "cli" / "main.py").is_file()
    assert "fraud-realtime" in found.templates()
    assert {p.parts[0] for p in files_of(found.template("fraud-realtime"))} == {
        "cookiecutter.json",
        "{{cookiecutter.name}}",
    }
    assert found.changelog.startswith("# Changelog")
    assert (found.assets / "steps" / "train" / "step.yaml").is_file()


def test_a_wheel_of_the_folder_is_read_and_not_run(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "0.0.9")
    found = material("0.0.9")
    assert found.templates() == ["churn"]
    assert found.changelog == "## 0.0.9\n"
    inside = found.template("churn") / "{{cookiecutter.name}}"
    assert [bool(p.stat().st_mode & 0o100) for p in sorted(inside.iterdir())] == [False, True]
    with pytest.raises(TemplateError, match=r"no template `chrn`.*\nFix: rename it to `churn`"):
        found.template("chrn")


def test_what_was_changed_in_the_cache_is_stored_anew(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "0.0.9")
    text = material("0.0.9").template("churn") / "{{cookiecutter.name}}" / "a.txt"
    text.write_text("spoilt")
    assert material("0.0.9").root == text.parents[5]
    assert text.read_text() == "hello"


def test_a_wheel_made_anew_under_the_same_version_is_another_entry(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "0.0.9")
    before = material("0.0.9")
    wheel(tmp_path / "wheels", "0.0.9", "bye")
    assert material("0.0.9").root != before.root


def test_a_version_that_is_gone_is_refused_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises((ConfigError, PlatformError), match=r"0\.0\.7"):
        material("0.0.7")
    assert list(cache_folder().iterdir()) == []


@pytest.mark.parametrize("version", ["../1.0", "", "latest", "1.0/..", "-1"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match="is not a version"):
        material(version)


def test_a_damaged_wheel_is_refused_by_its_path(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "0.0.9").write_bytes(b"PK not a zip")
    with pytest.raises(ConfigError, match=r"carrental_mlops-0\.0\.9-py3-none-any\.whl is no wheel"):
        material("0.0.9")


def test_a_wheel_without_templates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "carrental_mlops-0.0.8-py3-none-any.whl", "w") as archive:
        archive.writestr("carrental_mlops/__init__.py", "")
    with pytest.raises(ConfigError, match="holds no templates"):
        material("0.0.8")


def test_any_folder_of_that_layout_is_material(tmp_path: Path) -> None:
    assert Material("1.0", tmp_path).changelog == ""
