"""`.ci/changelog.py`: a change that users notice is told, a tag is the newest version."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("changelog", Path(__file__).parents[3] / ".ci" / "changelog.py")
assert _SPEC and _SPEC.loader
changelog = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(changelog)
RELEASED = "# Changelog\n\n## 0.2.0 (2026-12-01)\n\n## 0.1.0 (2026-11-01)\n"


def test_a_change_of_the_package_wants_a_line() -> None:
    assert "src/a.py and 1 more changed" in changelog.untold(["src/a.py", "templates/b", "docs/c.md"])
    assert changelog.untold(["src/a.py", "CHANGELOG.md"]) is None
    assert changelog.untold(["docs/c.md", "tests/d.py"]) is None


def test_a_tag_is_the_version_of_the_package_and_of_the_newest_dated_section() -> None:
    assert changelog.unreleased("v0.2.0", "0.2.0", RELEASED) is None
    assert "is not v0.2.0" in changelog.unreleased("v0.3.0", "0.2.0", RELEASED)
    assert "(unreleased)" in changelog.unreleased("v0.2.0", "0.2.0", "## 0.2.0 (unreleased)\n")
    assert "0.2.0 (2026" in changelog.unreleased("v0.1.0", "0.1.0", RELEASED)


def test_a_merge_request_is_compared_with_its_target() -> None:
    assert changelog.base({"CI_MERGE_REQUEST_DIFF_BASE_SHA": "abc", "CI": "1"}) == "abc"
    assert changelog.base({"GITHUB_BASE_REF": "main", "CI": "1"}) == "origin/main"
    assert changelog.base({"CI": "1"}) == "HEAD~1"
