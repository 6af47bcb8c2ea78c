"""Every console block of every page runs, in order, in a fresh folder, and prints what the page says.

How a page is read: tests/shared/console_pages.py. Pages in SLOW train models and run with `make e2e`; those in
ELSEWHERE want more than this package (servers, two versions), and the test that is named runs them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from console_pages import commands, run_page

ROOT = Path(__file__).parents[2]
SLOW = {"docs/tutorial.md", "README.md"}
ELSEWHERE = {
    "docs/tutorial-deploy.md": "tests/e2e/test_story_of_a_release.py",
    "docs/tutorial-upgrade.md": "tests/e2e/test_story_of_an_upgrade.py",
}
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, id=str(p.relative_to(ROOT)), marks=[pytest.mark.e2e] * (str(p.relative_to(ROOT)) in SLOW))
        for p in PAGES
        if commands(p) and str(p.relative_to(ROOT)) not in ELSEWHERE
    ],
)
def test_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


def test_a_page_that_runs_elsewhere_is_run_there() -> None:
    for page, test in ELSEWHERE.items():
        assert commands(ROOT / page)
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_a_wrong_page_fails(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("# Wrong\n\n```console\n$ echo one\ntwo\n```\n")
    with pytest.raises(AssertionError, match="does not print: two"):
        run_page(page, tmp_path)


def test_an_excused_block_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "excused.md"
    page.write_text("# Excused\n\nNot run by the tests: needs a cluster.\n\n```console\n$ false\n```\n")
    assert commands(page) == []


def test_a_command_goes_on_over_the_lines_that_continue_it(tmp_path: Path) -> None:
    page = tmp_path / "long.md"
    page.write_text("# Long\n\n```console\n$ cat <<'END'\n> one\n>\n>     two\n> END\none\ntwo\n```\n")
    assert [c.line for c in commands(page)] == ["cat <<'END'\none\n\n    two\nEND"]
    run_page(page, tmp_path)
