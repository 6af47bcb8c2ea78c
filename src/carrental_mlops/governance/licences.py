"""Under which licence a locked package is: what is installed here says it, else the table of our own locks.

`python -m carrental_mlops.governance.licences` writes the table anew, from what is installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from carrental_mlops.files import whole_file
from carrental_mlops.governance.locks import normal

Verdict = Literal["allowed", "denied", "unknown"]
TABLE = Path(__file__).with_name("licences.json")
_SAID_ELSEWHERE: Mapping[str, str] = {
    "async-timeout": "Apache-2.0", "cookiecutter": "BSD-3-Clause", "huey": "MIT",
    "isoduration": "ISC", "k6": "AGPL-3.0", "skops": "MIT",
    "promql-parser": "MIT",
}  # fmt: skip
"""Of those whose metadata does not say; read in their licence files."""
_DENIED = re.compile(
    r"(?<!l)(?<!lesser )\b(a?gpl|gnu (affero )?general public|affero)|\bsspl|server side public|busl|business source"
    r"|commons clause|non-?commercial|\bcc-by-nc|elastic license|proprietary|all rights reserved",
    re.IGNORECASE,
)
_ALLOWED = re.compile(
    r"\b(mit|bsd|apache|isc|0bsd|mpl|mozilla public|psf|python software foundation|zlib|unlicense|public domain|cc0"
    r"|l(esser )?gpl|lesser general public|library or lesser|artistic|boost|bsl-1|hpnd|mit-cmu|zpl|wtfpl|ncsa|eclipse"
    r"|epl|cc-by-4|cddl|llvm|openssl|ofl|x11|blueoak|unicode)",
    re.IGNORECASE,
)
_KEYS = ("License-Expression", "License")
_VAGUE = re.compile(r"^(unknown|osi approved|other.*|dual license|license|see license.*|)$", re.IGNORECASE)


def judge(said: str) -> Verdict:
    """Whether a package under that licence may go into an image of ours.

    Args:
        said: an SPDX expression or the words of the metadata; of alternatives (`OR`) one must be allowed, of parts
            (`AND`) all.
    """
    verdicts = [_of_parts(choice) for choice in re.split(r"\s+or\s+|\s*;\s*", said.strip(" ()"), flags=re.IGNORECASE)]
    return "allowed" if "allowed" in verdicts else "denied" if "denied" in verdicts else "unknown"


def _of_parts(said: str) -> Verdict:
    parts = [_of_one(part.strip(" ()")) for part in re.split(r"\s+and\s+", said, flags=re.IGNORECASE)]
    return "denied" if "denied" in parts else "unknown" if "unknown" in parts else "allowed"


def _of_one(said: str) -> Verdict:
    lesser = re.search(r"\blgpl|lesser|library or lesser", said, re.IGNORECASE)
    if _DENIED.search(said) and not lesser:
        return "denied"
    return "allowed" if lesser or _ALLOWED.search(said) else "unknown"


def licences(names: Iterable[str], site_packages: Iterable[Path] = ()) -> dict[str, str]:
    """Licence by normalised name; those that nobody knows are left out.

    Args:
        names: of packages, normalised.
        site_packages: further folders of installed packages, beside this environment's own.
    """
    installed = _installed(tuple(site_packages))
    known = {**_table(), **_SAID_ELSEWHERE, **installed}
    return {name: known[name] for name in names if name in known}


def _installed(site_packages: tuple[Path, ...]) -> dict[str, str]:
    from importlib.metadata import distributions

    found: dict[str, str] = {}
    for one in (*distributions(), *distributions(path=[str(path) for path in site_packages])):
        about = one.metadata
        name = normal(about["Name"] or "")
        expression, text = ((about.get_all(key) or [""])[0] for key in _KEYS)
        said = _said(expression, text, about.get_all("Classifier") or ())
        if said and name not in found:
            found[name] = said
    return found


def _said(expression: str, text: str, classifiers: Iterable[str]) -> str | None:
    """The clearest of what metadata says: SPDX, else classifiers (alternatives), else the first line of the text."""
    if expression:
        return expression
    named = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License ::")]
    clear = sorted({one for one in named if not _VAGUE.match(one)})
    if clear:
        return " OR ".join(clear)
    first = text.strip().partition("\n")[0].strip()[:80]
    return first if first and not _VAGUE.match(first) and judge(first) != "unknown" else None


@cache
def _table() -> dict[str, str]:
    return dict(json.loads(TABLE.read_text(encoding="utf-8")))


def write_table(names: Iterable[str]) -> tuple[str, ...]:
    """Write the table for `names` from what is installed here; the names whose licence nobody knows."""
    wanted = sorted(set(names))
    known = {**_SAID_ELSEWHERE, **_installed(())}
    before = _table() if TABLE.is_file() else {}
    found = {name: told for name in wanted if (told := known.get(name) or before.get(name))}
    with whole_file(TABLE) as draft:
        draft.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return tuple(name for name in wanted if name not in found)


def locked_by_us() -> tuple[str, ...]:
    """Names of every package in the locks that templates give to repos."""
    from carrental_mlops.assets import asset_dir

    texts = [(asset_dir("requirements") / f"{name}.txt").read_text("utf-8") for name in ("serving", "pipelines")]
    return tuple(sorted({normal(n) for text in texts for n in re.findall(r"^([A-Za-z0-9][\w.-]*)==", text, re.M)}))


if __name__ == "__main__":
    if unknown := write_table(locked_by_us()):
        raise SystemExit(f"not known, so not in the table: {', '.join(unknown)}")
