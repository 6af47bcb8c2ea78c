"""What a page names is there: files of this checkout, modules of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "carrental_mlops"
PLACES = (ROOT, PACKAGE, ROOT / "examples" / "fraud-payments")
"""Where a page's paths start: the checkout, the package, or a model repo."""
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *(ROOT / d / "README.md" for d in ("helm", "terraform", "steps"))]
)
ROOMS = "|".join(sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()))
FILE = re.compile(
    r"(?<![\w./{}-])((?:tests|templates|benchmarks|src/carrental_mlops)/[\w./<>*-]*[\w/>*]"
    rf"|(?:{ROOMS})/[\w./<>*-]*\.py\b)"
)
MODULE = re.compile(r"\bcarrental_mlops((?:\.\w+)+)")


def absent(text: str) -> list[str]:
    """Names in `text` that lead nowhere; `<name>` and `*` stand for anything."""
    named = dict.fromkeys(re.sub(r"(<\w+>|\*)+", "*", found.rstrip("./")) for found in FILE.findall(text))
    files = [name for name in named if not any(any(place.glob(name)) for place in PLACES)]
    return files + [f"carrental_mlops{tail}" for tail in dict.fromkeys(MODULE.findall(text)) if not is_there(tail)]


def is_there(tail: str) -> bool:
    """Whether `tail` is a module, or names in one that its text holds."""
    at, parts = PACKAGE, tail.strip(".").split(".")
    while parts and (at / parts[0]).is_dir():
        at /= parts.pop(0)
    at = at / f"{parts.pop(0)}.py" if parts and (at / f"{parts[0]}.py").is_file() else at / "__init__.py"
    return at.is_file() and (not parts or re.search(rf"\b{parts[0]}\b", at.read_text()) is not None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert absent(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "name",
    [
        "tests/unit/deploy/test_gone.py",
        "`deploy/helm.py`",
        "src/carrental_mlops/<name>.toml",
        "carrental_mlops.steps.Gone",
    ],
)
def test_what_is_not_there_is_found(name: str) -> None:
    assert len(absent(f"See {name}.")) == 1


def test_modules_classes_and_patterns_that_are_there_are_let_through() -> None:
    assert (
        absent("carrental_mlops.serving.nodes:Mean, carrental_mlops.steps.TrainStep, `steps/<name>.py`, tests/unit")
        == []
    )


def test_the_first_page_leads_to_every_how_to_and_the_menu_to_every_page() -> None:
    first, menu = (ROOT / "docs" / "index.md").read_text(), (ROOT / "mkdocs.yml").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [page for page in pages if page.startswith("how-to/") and f"({page}" not in first] == []
    assert [page for page in pages if not re.search(rf"[:-] {re.escape(page)}$", menu, re.M)] == []
