"""The override report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carrental_mlops.upgrade.override_report import OverrideFinding, OverrideReport

_HEADS = {
    "break": "Will break",
    "unproven": "Contract changed, not proven",
    "look": "Works; the default has changed or will go",
}


def markdown(report: OverrideReport) -> str:
    """Findings by verdict, the worst first; what has not changed in one line."""
    return "\n".join(_lines(report)).rstrip() + "\n"


def _lines(report: OverrideReport) -> Iterator[str]:
    yield f"## Overrides: carrental-mlops {report.old} to {report.new}"
    yield ""
    for verdict, head in _HEADS.items():
        found = [finding for finding in report.findings if finding.verdict == verdict]
        if found:
            yield f"### {head}"
            yield ""
        for finding in found:
            yield from _finding(finding)
    fine = [f"`{f.cls}.{f.hook.partition('.')[2]}` ({f.place})" for f in report.findings if f.verdict == "fine"]
    if fine:
        yield f"Unchanged: {', '.join(fine)}."
        yield ""
    if not report.findings:
        yield "This repo overrides no hook."
        yield ""
    if report.dynamic is not None:
        yield from report.dynamic.markdown_lines()
    else:
        yield "The repo was not run under the newer version."


def _finding(finding: OverrideFinding) -> Iterator[str]:
    title = f" `{finding.hook}`" if finding.hook else ""
    owner = f" in `{finding.cls}`" if finding.cls else ""
    yield f"- **{finding.place}**{title}{owner}"
    if finding.old_signature and finding.old_signature != finding.new_signature:
        yield f"  - was `{finding.old_signature}`"
        yield f"  - is `{finding.new_signature or 'gone'}`"
    yield from (f"  - {detail}" for detail in finding.details)
    yield from (f"  - changelog {entry}" for entry in finding.changelog)
    if finding.changed and not finding.changelog:
        yield "  - the changelog says nothing about it under Hook"
    if finding.otherwise:
        yield f"  - otherwise: {finding.otherwise}"
    if finding.mend:
        yield f"  - mend: {_code(finding.mend)}"
    if finding.diff:
        yield from ("  <details><summary>the default's change</summary>", "", "  ```diff")
        yield from (f"  {line}" for line in finding.diff.splitlines())
        yield from ("  ```", "  </details>")
    yield ""


def _code(mend: str) -> str:
    return f"`{mend}`" if mend.startswith("crm ") else mend
