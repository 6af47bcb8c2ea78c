"""The scan of an image's Debian packages: what it finds, and that it never passes without its index."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.cli.main import main
from carrental_mlops.deploy.image.debian import ARCHIVE, Version, holes_in, installed_in
from carrental_mlops.errors import DataError, PlatformError

STATUS = """\
Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.0.15-1~deb12u1

Package: perl-base
Status: install ok installed
Architecture: amd64
Source: perl (5.36)
Version: 5.36.0-7+deb12u3

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
INDEX = """\
Package: libssl3
Source: openssl
Version: 3.0.14-1~deb12u2
Architecture: amd64

Package: libssl3
Source: openssl
Version: 3.0.17-1~deb12u2
Architecture: amd64

Package: perl-base
Source: perl
Version: 5.36.0-7+deb12u3
Architecture: amd64

Package: gone
Version: 2.0
Architecture: amd64
"""
RELEASE = {"usr/lib/os-release": 'NAME="Debian"\nVERSION_CODENAME=bookworm\n'}


def _layer(files: dict[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return raw.getvalue()


def _layout(folder: Path, *layers: dict[str, str]) -> Path:
    """An OCI layout of these layers."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def kept(content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    manifest = kept(json.dumps({"layers": [kept(_layer(files)) for files in layers]}).encode())
    (folder / "index.json").write_text(json.dumps({"manifests": [manifest]}))
    return folder


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(URL, folder) of a security archive on this machine."""
    folder = tmp_path_factory.mktemp("mirror")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def _publish(folder: Path, until: str = "Fri, 27 Nov 2099 00:12:41 UTC", digest: str | None = None) -> None:
    suite = folder / "dists" / "bookworm-security"
    packed, name = lzma.compress(INDEX.encode()), "main/binary-amd64/Packages.xz"
    (suite / name).parent.mkdir(parents=True, exist_ok=True)
    (suite / name).write_bytes(packed)
    line = f" {digest or hashlib.sha256(packed).hexdigest()} {len(packed)} {name}"
    (suite / "InRelease").write_text(f"Origin: Debian\nValid-Until: {until}\nSHA256:\n{line}\n")


def test_a_package_that_was_mended_since_is_found_and_the_uppermost_layer_counts(
    tmp_path: Path, mirror: tuple[str, Path]
) -> None:
    older = STATUS.replace("5.36.0-7+deb12u3", "5.36.0-7")
    installed = installed_in(
        _layout(tmp_path, {"./var/lib/dpkg/status": older, **RELEASE}, {"var/lib/dpkg/status": STATUS})
    )
    assert [p.name for p in installed.packages] == ["libssl3", "perl-base"]
    _publish(mirror[1])
    (hole,) = holes_in(installed, mirror[0])
    assert (hole.package, hole.installed, hole.mended) == ("libssl3", "3.0.15-1~deb12u1", "3.0.17-1~deb12u2")
    assert hole.see.endswith("/source-package/openssl")


def test_docker_s_form_of_an_image_and_lists_of_single_packages_are_read(tmp_path: Path) -> None:
    path, layer = tmp_path / "image.tar", _layer({"var/lib/dpkg/status.d/libssl3": STATUS, **RELEASE})
    with tarfile.open(path, "w") as archive:
        for name, content in (("manifest.json", json.dumps([{"Layers": ["a.tar.gz"]}]).encode()), ("a.tar.gz", layer)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert installed_in(path).codename == "bookworm"


def test_an_image_that_holds_no_debian_packages_is_not_passed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no list of Debian packages"):
        installed_in(_layout(tmp_path / "a", {"etc/alpine-release": "3.20"}))
    (tmp_path / "b").write_text("no image")
    with pytest.raises(DataError, match="is no image"):
        installed_in(tmp_path / "b")


@pytest.mark.parametrize(
    ("published", "said"),
    [
        ({"until": "Fri, 20 Nov 2020 00:12:41 UTC"}, "is out of date"),
        ({"digest": "0" * 64}, "is not what InRelease announces"),
        (None, "the image was not scanned"),
    ],
)
def test_without_its_whole_and_present_index_nothing_is_passed(
    published: dict[str, str] | None, said: str, tmp_path: Path, mirror: tuple[str, Path]
) -> None:
    installed = installed_in(_layout(tmp_path, {"var/lib/dpkg/status": STATUS, **RELEASE}))
    if published is not None:
        _publish(mirror[1], **published)
    with pytest.raises(PlatformError, match=said):
        holes_in(installed, mirror[0] if published is not None else "http://127.0.0.1:9")


def test_an_architecture_that_the_index_lacks_is_not_passed(tmp_path: Path, mirror: tuple[str, Path]) -> None:
    _publish(mirror[1])
    riscv = STATUS.replace("amd64", "riscv64")
    with pytest.raises(PlatformError, match="announces no main/binary-riscv64"):
        holes_in(installed_in(_layout(tmp_path, {"var/lib/dpkg/status": riscv, **RELEASE})), mirror[0])


@pytest.mark.parametrize(("archive", "code"), [("{url}", 4), ("http://127.0.0.1:9", 3), ("http://elsewhere", 1)])
def test_the_command_refuses_a_hole_and_fails_without_the_archive(
    archive: str, code: int, tmp_path: Path, mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "crm.yaml").write_text("service: a\n")
    folder = tmp_path / ".crm" / "images" / "3-abc"
    _layout(folder / "oci", {"var/lib/dpkg/status": STATUS, **RELEASE})
    (folder / "image.json").write_text(json.dumps({"image": "localhost/a@sha256:1"}))
    _publish(mirror[1])
    monkeypatch.setenv(ARCHIVE, archive.format(url=mirror[0]))
    assert main(["image", "scan", "--repo", str(tmp_path)]) == code
    told = capsys.readouterr()
    assert ("libssl3" in told.out) is (code == 4)
    assert "Fix: " in told.err


VERSIONS = ("0", "1.0", "1.0~rc1", "1.0-1", "1.0-1~deb12u1", "1.0-1+deb12u1", "1:0.9", "2.36-9+deb12u10",
            "2.36-9+deb12u9", "1.0a", "1.0+b1", "1.2.3~~", "1.2.3~", "1.2.3", "1.0-01", "00.1",
            "9.0.0-1-2")  # fmt: skip


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg, which the order is compared with, is not here")
def test_versions_stand_in_dpkg_s_own_order() -> None:
    pairs = [(a, b) for n, a in enumerate(VERSIONS) for b in VERSIONS[n + 1 :]]
    script = "".join(f"dpkg --compare-versions {a} lt {b} && echo y || echo n\n" for a, b in pairs)
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert [Version(a) < Version(b) for a, b in pairs] == [answer == "y" for answer in told]
