"""What an image is built from and what comes with it; the build itself is in tests/e2e/test_image_built.py."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.deploy.image import supply_chain
from carrental_mlops.deploy.image.build import WantedImage, base_of, order_of
from carrental_mlops.deploy.image.builders import CHOICE, Order, build, find_builder
from carrental_mlops.deploy.image.context import prepare
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.scaffold.render import new_repo
from carrental_mlops.serving.endpoint import Identity
from carrental_mlops.serving.load import Bundle

DIGEST = "ab" * 32


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepo:
    return open_repo(new_repo("fraud-realtime", {"name": "night-image", "tier": "2"}, tmp_path).path)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    made = Bundle(folder, Identity("night-image", "3", DIGEST))
    made.write()
    return made


def with_image(repo: ModelRepo) -> ModelRepo:
    return open_repo(repo.root, None, ("deploy.image=registry.example/models/night-image",))


def test_an_image_says_of_which_service_model_package_and_commit_it_is(repo: ModelRepo, bundle: Bundle) -> None:
    order = order_of(repo, bundle, WantedImage())
    head = subprocess.run(
        ["git", "-C", repo.root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert order.name == f"localhost/night-image:3-{head[:12]}"
    assert order.labels["org.opencontainers.image.revision"] == head
    assert order.labels["crm.carrental/model-digest"] == DIGEST
    assert order.labels["crm.carrental/uncommitted"] == "false"
    assert order.labels.keys() >= {"crm.carrental/owner", "crm.carrental/package", "crm.carrental/model-version"}


def test_nothing_is_pushed_to_nowhere_or_from_a_tree_that_is_not_committed(repo: ModelRepo, bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="nowhere to push"):
        order_of(repo, bundle, WantedImage(push=True))
    named = with_image(repo)
    assert order_of(named, bundle, WantedImage(push=True)).repository == "registry.example/models/night-image"
    (repo.root / "src" / "more.py").write_text("x = 1\n")
    with pytest.raises(ConfigError, match="must be a commit"):
        order_of(named, bundle, WantedImage(push=True))


def test_the_context_holds_code_and_model_and_nothing_that_git_ignores(
    repo: ModelRepo, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carrental_mlops.deploy.image.context.wheel_into", lambda folder: None)
    ignored = repo.root / "src" / "night_image" / "__pycache__" / "service.pyc"
    ignored.parent.mkdir(exist_ok=True)
    ignored.write_bytes(b"x")
    (repo.root / "config" / "crm.yaml").chmod(0o600)
    context = prepare(repo.root, bundle, tmp_path / "context")
    held = {p.relative_to(context).as_posix(): p for p in context.rglob("*") if p.is_file()}
    assert {"Dockerfile.serving", "requirements/serving.txt", "config/crm.yaml", "bundle/bundle.json"} <= held.keys()
    assert {name.partition("/")[0] for name in held} == {
        "Dockerfile.serving",
        "bundle",
        "config",
        "requirements",
        "src",
        "wheels",
    }
    assert [name for name in held if "__pycache__" in name] == []
    assert {path.stat().st_mode & 0o777 for path in held.values()} == {0o644}


def test_no_builder_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatformError, match="looked for buildah, docker, kaniko") as told:
        find_builder()
    assert "apt-get install buildah" in told.value.fix
    monkeypatch.setenv(CHOICE, "podman")
    with pytest.raises(ConfigError, match="choose one of: buildah, docker, kaniko"):
        find_builder()


def test_a_builder_that_fails_is_told_with_what_it_was_doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "buildah"
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 125\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv(CHOICE, "buildah")
    order = Order(tmp_path, "Dockerfile.serving", "localhost/a", "1", False, tmp_path / "kept")
    with pytest.raises(PlatformError, match="`buildah bud` of localhost/a:1 failed with exit code 125"):
        build(find_builder(), order)


def test_the_list_of_parts_is_every_pin_with_its_hash_and_the_same_twice(repo: ModelRepo, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    requirements = repo.root / "requirements" / "serving.txt"
    made = supply_chain.python_sbom(requirements, first)
    assert made.read_bytes() == supply_chain.python_sbom(requirements, second).read_bytes()
    parts = json.loads(made.read_text())["components"]
    pinned = [line for line in requirements.read_text().splitlines() if "==" in line]
    assert len(parts) == len(pinned)
    assert all(part["version"] and part["externalReferences"][0]["hashes"] for part in parts)


def test_provenance_names_what_was_built_and_what_went_in(repo: ModelRepo, bundle: Bundle, tmp_path: Path) -> None:
    order = order_of(repo, bundle, WantedImage())
    base = base_of(repo.root / "Dockerfile.serving")
    model = {"name": "night-image", "version": "3", "digest": DIGEST}
    made = supply_chain.predicate(order.labels, base, model, "buildah")
    path = supply_chain.write_provenance(order.repository, f"sha256:{'cd' * 32}", made, tmp_path)
    told = json.loads(path.read_text())
    assert told["subject"] == [{"name": "localhost/night-image", "digest": {"sha256": "cd" * 32}}]
    went_in = {part["name"]: part["digest"] for part in told["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert went_in["model"] == {"sha256": DIGEST}
    assert went_in["base"]["sha256"] in base
    assert went_in["repo"] == {"gitCommit": order.labels["org.opencontainers.image.revision"]}


@pytest.mark.parametrize(("key", "mend"), [("", "COSIGN_KEY=FILE"), ("cosign.key", "mend what cosign names")])
def test_a_signature_that_fails_names_the_key_where_none_was_given(
    key: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "cosign"
    stand_in.write_text("#!/bin/sh\necho no such issuer >&2\nexit 1\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COSIGN_KEY", key)
    with pytest.raises(PlatformError, match="no such issuer") as failed:
        supply_chain.sign("registry.example.com/a@sha256:1", tmp_path, False)
    assert mend in failed.value.fix
