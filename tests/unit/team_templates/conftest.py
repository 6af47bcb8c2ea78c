"""A folder on the path where a test installs a team's package."""

from __future__ import annotations

from pathlib import Path

import pytest
from team_packages import PACKAGE


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On `sys.path`; the team's package is allowed, and the cache is the test's own."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("CRM_TEMPLATE_PACKAGES", f"another, {PACKAGE}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder
