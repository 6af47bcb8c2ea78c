"""Findings as other tools read them: SARIF and GitLab's code quality.

Source: SARIF 2.1.0 (OASIS), https://docs.oasis-open.org/sarif/sarif/v2.1.0/; GitLab's code quality report format,
https://docs.gitlab.com/ci/testing/code_quality/.
"""

from __future__ import annotations

import hashlib
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.governance.check import CheckResult
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.rules import CODES
from carrental_mlops.governance.tiers import blocks

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
_NOWHERE = "config/crm.yaml"
"""Where a finding about the whole repo is shown: both formats want a file."""


def as_sarif(result: CheckResult) -> dict[str, Any]:
    """One run of SARIF; waived findings are suppressed results with the person's reason."""
    index = {code.number: n for n, code in enumerate(CODES)}
    rules = [
        {
            "id": code.number,
            "name": code.title.title().replace(" ", ""),
            "shortDescription": {"text": code.title},
            "fullDescription": {"text": code.why},
            "help": {"text": code.mend},
            "defaultConfiguration": {"level": _LEVELS[code.severity]},
        }
        for code in CODES
    ]
    results = [_result(finding, index) for finding in result.findings]
    for finding, waiver in result.waived:
        said = f"{waiver.person}, until {waiver.until}: {waiver.reason}"
        results.append({**_result(finding, index), "suppressions": [{"kind": "external", "justification": said}]})
    driver = {"name": "crm check", "version": __version__, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "utf16CodeUnits",
                "results": results,
                "properties": {"score": result.score, "blocked": result.blocked, "tier": result.tier},
            }
        ],
    }


def as_code_quality(result: CheckResult) -> list[dict[str, Any]]:
    """What GitLab shows on a merge request; waived findings are left out."""
    return [
        {
            "description": f"{finding.what}. {finding.mend}",
            "check_name": finding.code,
            "fingerprint": fingerprint(finding),
            "severity": "blocker" if blocks(finding, result.tier) else _gitlab(finding),
            "location": {"path": finding.path or _NOWHERE, "lines": {"begin": finding.line or 1}},
        }
        for finding in result.findings
    ]


def fingerprint(finding: Finding) -> str:
    """The same finding on another line, or after an edit elsewhere, keeps it."""
    return hashlib.sha256(f"{finding.code}\0{finding.path}\0{finding.what}".encode()).hexdigest()


def _gitlab(finding: Finding) -> str:
    return {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.NOTE: "info"}[finding.severity]


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": finding.path or _NOWHERE, "uriBaseId": "%SRCROOT%"}}
    if finding.line:
        place["region"] = {"startLine": finding.line}
    return {
        "ruleId": finding.code,
        "ruleIndex": index[finding.code],
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.what}. Fix: {finding.mend}"},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"crm/v1": fingerprint(finding)},
    }
