"""The page of a fleet in a real Chromium: it sorts, filters, turns dark, and asks no network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.fleet.page import write_page
from carrental_mlops.fleet.standing import Deployed, Standing, Waived

pytestmark = pytest.mark.e2e
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def fleet() -> list[Standing]:
    def one(n: int, **changed: Any) -> Standing:
        given: dict[str, Any] = {
            "service": f"service-{n}", "owner": f"team-{n % 3}@example.com", "tier": n % 3 + 1,
            "template": "fraud-realtime", "template_version": f"1.{n}.0", "package": f"1.{n}.0", "newest": "1.11.0",
            "behind_days": 10 * (11 - n), "score": 60 + 3 * n, "blocking": 2 if n < 3 else 0,
            "codes": ("CRM501",) if n < 9 else (), "slo": "held", "slo_said": ("p99 41 ms",),
            "last_train": f"2026-11-{n + 1:02d}T10:00:00+00:00",
            "last_deploy": Deployed("prod", f"prod-{n + 1}", f"2026-11-{n + 2:02d}T10:00:00+00:00"),
        }  # fmt: skip
        return Standing(f"service-{n}", f"https://git.example.com/ds/service-{n}", **{**given, **changed})

    found = [one(n) for n in range(12)]
    found[3] = one(3, slo="missed", slo_said=("p99 was 240 ms",), overrides=("TrainStep.sample_weight (src/a.py:21)",))
    found[4] = one(4, waivers=(Waived("CRM601", "Jane Doe", "2026-12-01", "a sample key"),), ledger_open=("Makefile",))
    found[5] = one(5, slo="unknown", score=None, behind_days=None, unknown={"slo": "no release", "score": "not asked"})
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page in a browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="wants playwright of PyPI")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("wants Debian's package chromium")
    path = tmp_path_factory.mktemp("page") / "fleet.html"
    write_page(path, fleet(), "repos", NOW)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 950}, color_scheme="light")
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(path.as_uri())
        yield page
        browser.close()


def _names(page: Any) -> list[str]:
    return [row.inner_text() for row in page.locator("tbody tr:visible td:first-child").all()]


def test_it_asks_for_nothing_but_itself_and_says_no_error(shown: Any) -> None:
    assert [url for url in shown.asked if not url.startswith("data:")] == [shown.url] and shown.said == []


def test_a_click_on_a_head_sorts_by_number_and_again_backwards_with_unknown_last(shown: Any) -> None:
    head = shown.get_by_role("button", name="template version")
    head.click()
    assert _names(shown) == [f"service-{n}" for n in range(12)]
    head.click()
    assert _names(shown)[:3] == ["service-11", "service-10", "service-9"]
    score = shown.get_by_role("button", name="score", exact=True)
    score.click()
    assert _names(shown)[-1] == "service-5" and _names(shown)[0] == "service-0"
    score.click()
    assert _names(shown)[-1] == "service-5" and _names(shown)[0] == "service-11"


@pytest.mark.parametrize(
    ("words", "state", "tier", "expected"),
    [
        ("sample_weight", "", "", ["service-3"]),
        ("team-1 fraud", "", "2", ["service-1", "service-10", "service-4", "service-7"]),
        ("", "missed", "", ["service-3"]),
        ("", "waiver", "", ["service-4"]),
        ("", "blocked", "", ["service-0", "service-1", "service-2"]),
        ("nobody", "", "", []),
    ],
)
def test_the_filter_leaves_what_fits(shown: Any, words: str, state: str, tier: str, expected: list[str]) -> None:
    shown.get_by_label("Filter services").fill(words)
    shown.get_by_label("State").select_option(state)
    shown.get_by_label("Tier").select_option(tier)
    assert sorted(_names(shown)) == expected
    assert shown.get_by_role("status").inner_text() == f"{len(expected)} of 12"
    shown.get_by_label("Filter services").fill("")
    shown.get_by_label("State").select_option("")
    shown.get_by_label("Tier").select_option("")


def test_it_turns_dark_by_button_and_by_the_systems_wish(shown: Any) -> None:
    def ground() -> str:
        return str(shown.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert ground() == "rgb(255, 255, 255)"
    shown.get_by_role("button", name="light or dark").click()
    assert ground() == "rgb(20, 24, 28)"
    shown.get_by_role("button", name="light or dark").click()
    assert ground() == "rgb(255, 255, 255)"
    shown.evaluate("delete document.documentElement.dataset.theme")
    shown.emulate_media(color_scheme="dark")
    assert ground() == "rgb(20, 24, 28)"


def test_details_open_and_the_page_is_not_wider_than_its_window(shown: Any, tmp_path: Path) -> None:
    shown.locator("tbody tr", has_text="service-3").locator("summary", has_text="missed").click()
    assert shown.get_by_text("p99 was 240 ms").is_visible()
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown.screenshot(path=str(tmp_path / "fleet.png"))
    assert (tmp_path / "fleet.png").stat().st_size > 10_000
