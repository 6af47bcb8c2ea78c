"""A model repo as `crm new` makes it, copied for each test, and a small copy of OSV's data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from osv_records import osv_record

from carrental_mlops.governance.check import check
from carrental_mlops.scaffold.render import new_repo


@pytest.fixture(scope="session")
def fresh_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `crm new` makes, once searched for secrets, which copies of it need not be again; nobody edits it."""
    made = new_repo("fraud-realtime", {"name": "fraud-payments"}, tmp_path_factory.mktemp("fresh")).path
    check(made, only=["CRM601"])
    return made


@pytest.fixture
def repo(fresh_repo: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(fresh_repo, tmp_path / "fraud-payments"))


@pytest.fixture(autouse=True)
def osv(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that CRM_OSV names, with one record of today about a package that nobody has."""
    folder = tmp_path_factory.mktemp("osv")
    (folder / "PYSEC-1.json").write_text(json.dumps(osv_record("PYSEC-1", "nobody-has-this", "9.9")))
    monkeypatch.setenv("CRM_OSV", str(folder))
    return folder
