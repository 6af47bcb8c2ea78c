"""The verdict as JUnit XML: each step a suite, each check a test case."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

from carrental_mlops.loadtest.verdict import Verdict


def junit(verdict: Verdict, name: str, seconds: float) -> str:
    """A document that CI systems read.

    Args:
        verdict: of the run.
        name: of the service and profile.
        seconds: the run took.
    """
    failed = sum(not check.passed for check in verdict.checks)
    top = ElementTree.Element(
        "testsuites", name=name, tests=str(len(verdict.checks)), failures=str(failed), errors="0", time=f"{seconds:.3f}"
    )
    for part, grouped in itertools.groupby(verdict.checks, key=lambda check: check.part):
        checks = list(grouped)
        lost = sum(not check.passed for check in checks)
        suite = ElementTree.SubElement(
            top, "testsuite", name=f"{name}.{part}", tests=str(len(checks)), failures=str(lost), errors="0", skipped="0"
        )
        for check in checks:
            case = ElementTree.SubElement(suite, "testcase", classname=f"{name}.{part}", name=check.name, time="0")
            if check.passed:
                ElementTree.SubElement(case, "system-out").text = check.said
            else:
                ElementTree.SubElement(case, "failure", message=check.said, type="SloMissed").text = check.said
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"
