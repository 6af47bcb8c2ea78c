"""The pages of `docs/reference/findings/`: one a code, and their list.

`python -m carrental_mlops.governance.pages docs` writes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from carrental_mlops.governance.families import FAMILIES, family_of
from carrental_mlops.governance.rule import Code
from carrental_mlops.governance.rules import CODES
from carrental_mlops.governance.tiers import BLOCKS

FOLDER = "reference/findings"


def page(code: Code) -> str:
    """The page of one code, in Markdown."""
    tiers = [
        str(tier) for tier, held in BLOCKS.items() if family_of(code.number) in held.get(code.severity, frozenset())
    ]
    held = f"Blocks in tier {', '.join(tiers)}." if tiers else "Blocks in no tier."
    return (
        f"# {code.number}: {code.title}\n\n"
        f"{code.severity.capitalize()} · {FAMILIES[family_of(code.number)].title} · {held}\n\n"
        f"**Otherwise:** {code.why}\n\n**Mend:** {code.mend}\n\n"
        f"**`crm check --fix`** {code.fixes or 'does not mend it: a person decides.'}\n"
    )


def index() -> str:
    """The list of all codes, in Markdown."""
    parts = ["# Findings of crm check\n\n[Check a repo](../../how-to/check.md) says what to do with them.\n"]
    for digit, family in FAMILIES.items():
        rows = [
            f"| [{c.number}]({c.number}.md) | {c.severity} | {c.title} | {'yes' if c.fixes else ''} |"
            for c in CODES
            if family_of(c.number) == digit
        ]
        head = f"\n## {family.title}\n\n| code | severity | found | `--fix` |\n|---|---|---|---|\n"
        parts.append(head + "\n".join(rows) + "\n")
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
