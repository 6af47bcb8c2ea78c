"""The Go program that is k6 with extensions."""

from __future__ import annotations

from pathlib import Path

import pytest
from loadtest_running import crm

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.loadtest.k6_build import Extension, build, extension_of, sources


def test_a_dry_run_prints_both_files_and_builds_nothing(tmp_path: Path) -> None:
    done = crm(tmp_path, "k6", "build", "--with", "github.com/grafana/xk6-sql@v1.0.5", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert '\t_ "github.com/grafana/xk6-sql"\n' in done.stdout
    assert "\tgo.k6.io/k6 v1." in done.stdout
    assert "\tgithub.com/grafana/xk6-sql v1.0.5\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "xk6-sql",
        "github.com/grafana/xk6-sql",
        "github.com/a/b@latest",
        "github.com/a/b@1.0.0",
        '"; evil@v1.0.0',
        "@v1.0.0",
    ],
)
def test_an_extension_without_a_module_or_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="MODULE@v"):
        extension_of(text)


def test_a_module_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        sources([Extension("github.com/a/b", "v1.0.0"), Extension("github.com/a/b", "v1.1.0")])


def test_without_go_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatformError, match="no `go`"):
        build(sources([]), tmp_path / "k6")


def test_a_version_of_k6_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--k6 latest"):
        sources([], "latest")
