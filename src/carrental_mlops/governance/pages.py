"""The pages of `docs/reference/findings/`: one a code, and their list.

`python -m carrental_mlops.governance.pages docs` writes them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from carrental_mlops.governance.rule import Code
from carrental_mlops.governance.rules import CODES
from carrental_mlops.governance.tiers import BLOCKS

FOLDER = "reference/findings"
FAMILIES: Mapping[str, str] = {
    "1": "Configuration and waivers",
    "2": "Files of the template",
    "3": "Hooks and pipelines",
    "4": "Features and their sources",
    "5": "Deployment",
    "6": "Secrets and supply chain",
    "7": "Evidence",
    "8": "Documents and owners",
}


def page(code: Code) -> str:
    """The page of one code, in Markdown."""
    tiers = [str(tier) for tier, held in BLOCKS.items() if code.number[3] in held.get(code.severity, frozenset())]
    held = f"Blocks in tier {', '.join(tiers)}." if tiers else "Blocks in no tier."
    return (
        f"# {code.number}: {code.title}\n\n"
        f"{code.severity.capitalize()} · {FAMILIES[code.number[3]]} · {held}\n\n"
        f"**Otherwise:** {code.why}\n\n**Mend:** {code.mend}\n"
    )


def index() -> str:
    """The list of all codes, in Markdown."""
    parts = ["# Findings of crm check\n\n[Check a repo](../../how-to/check.md) says what to do with them.\n"]
    for family, title in FAMILIES.items():
        rows = [f"| [{c.number}]({c.number}.md) | {c.severity} | {c.title} |" for c in CODES if c.number[3] == family]
        parts.append(f"\n## {title}\n\n| code | severity | found |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def write(docs: Path) -> None:
    """Write every page and the list below `docs`; pages of codes that are gone are removed."""
    folder = docs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("CRM*.md"):
        path.unlink()
    (folder / "index.md").write_text(index(), encoding="utf-8")
    for code in CODES:
        (folder / f"{code.number}.md").write_text(page(code), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
