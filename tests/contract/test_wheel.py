"""What is shipped: the wheel built through the sdist, installed, used."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from carrental_mlops import __version__
from carrental_mlops.scaffold.compose import compose, files_of, flavours

ROOT = Path(__file__).parents[2]
KINDS = ("steps", "helm", "terraform", "requirements")
ASSETS = "carrental_mlops/_assets/"

pytestmark = pytest.mark.slow


def tracked(*folders: str) -> set[str]:
    out = subprocess.run(
        ["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return {name for name in out.split("\0") if name and (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dist/ of a copy of what git tracks, so that nobody's leftovers are shipped or missed."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    uv = [str(Path(sys.executable).with_name("uv"))]
    offline = ["--offline"] if os.environ.get("UV_OFFLINE") else []
    done = subprocess.run(
        [*uv, "build", "--quiet", *offline, "--out-dir", str(dist)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dist


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def shipped(wheel: Path, kind: str) -> dict[str, bytes]:
    start = f"{ASSETS}{kind}/"
    with zipfile.ZipFile(wheel) as archive:
        return {n.removeprefix(start): archive.read(n) for n in archive.namelist() if n.startswith(start)}


@pytest.mark.parametrize("kind", KINDS)
def test_wheel_assets_are_what_git_tracks(wheel: Path, kind: str) -> None:
    expected = {n.removeprefix(f"{kind}/"): (ROOT / n).read_bytes() for n in tracked(kind)}
    assert shipped(wheel, kind) == expected


def test_wheel_templates_are_the_composition_of_what_git_tracks(wheel: Path, tmp_path: Path) -> None:
    for name in tracked("templates"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    expected = {}
    for flavour in flavours(tmp_path / "templates"):
        made = compose(tmp_path / "templates", flavour, ROOT / "requirements", __version__, tmp_path / "out" / flavour)
        expected |= {f"{flavour}/{p.as_posix()}": (made / p).read_bytes() for p in files_of(made)}
    assert shipped(wheel, "templates") == expected


def test_wheel_carries_the_changelog(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"{ASSETS}CHANGELOG.md") == (ROOT / "CHANGELOG.md").read_bytes()


def test_sdist_builds_the_same_wheel_as_the_checkout_would(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {n.split("/", 1)[1] for n in archive.getnames() if "/" in n}
    assert tracked("templates", *KINDS, "src") <= names


def test_the_installed_wheel_renders_with_crm_and_with_plain_cookiecutter(wheel: Path, tmp_path: Path) -> None:
    """Installed into a folder of its own, away from the checkout; the libraries are this interpreter's."""
    site = tmp_path / "site"
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--target", str(site), str(wheel)], check=True
    )
    env = os.environ | {"PYTHONPATH": str(site)}
    code = (
        "import carrental_mlops; from carrental_mlops.assets import asset_dir; print(asset_dir('templates'));"
        "from carrental_mlops.cli.main import main; raise SystemExit(main(['new', '--no-input', '--dir', 'ours']))"
    )
    (tmp_path / "ours").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    templates = Path(done.stdout.splitlines()[0])
    assert templates.is_relative_to(site)
    plain = [sys.executable, "-m", "cookiecutter", str(templates / "fraud-realtime"), "--no-input", "-o", "theirs"]
    subprocess.run(plain, cwd=tmp_path, env=env, check=True)
    ours, theirs = tmp_path / "ours" / "fraud-payments", tmp_path / "theirs" / "fraud-payments"
    made = {p.as_posix() for p in files_of(ours) if p.parts[0] != ".git"} - {".crm.json"}
    assert made == {p.as_posix() for p in files_of(theirs)}
    assert all((ours / p).read_bytes() == (theirs / p).read_bytes() for p in made)
