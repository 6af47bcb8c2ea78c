"""Score, what is kept, reports, the command, and a page for each code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_repo import crm

from carrental_mlops.governance.check import check
from carrental_mlops.governance.families import FAMILIES
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.pages import FOLDER as PAGES
from carrental_mlops.governance.pages import page
from carrental_mlops.governance.rules import CODES, RULES
from carrental_mlops.governance.sarif import as_code_quality, as_sarif, fingerprint
from carrental_mlops.governance.score import raises, score
from carrental_mlops.governance.tiers import blocks

DOCS = Path(__file__).parents[3] / "docs"


def finding(code: str, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(code, severity, f"{code} was found", "mend it", "config/crm.yaml", 3)


def test_each_code_has_its_page_and_each_page_its_code() -> None:
    assert {path.stem for path in (DOCS / PAGES).glob("CRM*.md")} == {code.number for code in CODES}
    stale = [code.number for code in CODES if (DOCS / PAGES / f"{code.number}.md").read_text() != page(code)]
    assert stale == [], "python -m carrental_mlops.governance.pages docs"


def test_codes_are_used_once_and_fall_into_the_eight_families() -> None:
    numbers = [code.number for rule in RULES for code in rule.codes]
    assert len(numbers) == len(set(numbers))
    assert {number[3] for number in numbers} == set(FAMILIES) and sum(one.share for one in FAMILIES.values()) == 100
    assert all(len(number) == 6 and code.why and code.mend for number, code in zip(numbers, CODES, strict=False))


def test_a_score_is_100_without_findings_and_falls_with_each_of_them_by_its_weight() -> None:
    error, warning, note = (finding("CRM301", severity) for severity in Severity)
    assert score([]) == 100 and score([error]) == 90 and score([warning]) == 95 and score([note]) == 99
    assert score([error, error]) == 85 and score([error, finding("CRM801")]) == 87
    assert score([], [error]) == 98
    assert 0 <= score([finding(f"CRM{n}01") for n in range(1, 9)] * 50) <= 1


def test_what_raises_the_score_most_comes_first() -> None:
    found = [finding("CRM301"), finding("CRM801"), finding("CRM101", Severity.WARNING)]
    assert raises(found) == (("CRM301", 10.0), ("CRM101", 3.8), ("CRM801", 2.5))


@pytest.mark.parametrize(
    ("tier", "code", "severity", "blocked"),
    [
        (1, "CRM801", Severity.WARNING, True),
        (1, "CRM801", Severity.NOTE, False),
        (2, "CRM801", Severity.WARNING, False),
        (2, "CRM801", Severity.ERROR, True),
        (3, "CRM501", Severity.ERROR, False),
        (3, "CRM601", Severity.ERROR, True),
        (3, "CRM301", Severity.WARNING, False),
        (9, "CRM801", Severity.WARNING, True),
    ],
)
def test_tiers_block_by_severity_and_family(tier: int, code: str, severity: Severity, blocked: bool) -> None:
    assert blocks(finding(code, severity), tier) is blocked


def test_what_a_rule_found_is_kept_until_something_that_it_reads_changes(repo: Path) -> None:
    only = ["CRM4", "CRM5"]
    asked = lambda **given: {a.rule: a.kept for a in check(repo, only=only, **given).asked}  # noqa: E731
    assert asked() == {"features": False, "deployment": False}
    assert asked() == {"features": True, "deployment": True}
    assert asked(keep=False) == {"features": False, "deployment": False}
    (repo / "src/fraud_payments/features.py").write_text("")
    assert asked() == {"features": False, "deployment": True}
    (repo / "config/prod.yaml").write_text((repo / "config/prod.yaml").read_text() + "# more\n")
    assert asked() == {"features": True, "deployment": False}
    (repo / ".crm/check/features.json").write_text("{")
    assert asked() == {"features": False, "deployment": True}


def test_kept_findings_are_the_findings(repo: Path) -> None:
    (repo / "config/prod.yaml").write_text((repo / "config/prod.yaml").read_text() + "feast: {online: 'redis://a/0'}\n")
    first, second = check(repo, only=["CRM5"]), check(repo, only=["CRM5"])
    assert second.asked[0].kept and first.findings == second.findings and len(first.findings) == 1


def test_a_folder_that_cannot_be_written_costs_time_and_nothing_else(repo: Path) -> None:
    shutil.rmtree(repo / ".crm", ignore_errors=True)
    (repo / ".crm").write_text("a file in the way")
    assert check(repo, only=["CRM5"]).findings == ()


def test_sarif_names_rule_place_and_mend_and_suppresses_what_is_waived(repo: Path) -> None:
    (repo / "README.md").write_text("# fraud-payments\n")
    (repo / "Makefile").unlink()
    waiver = "- {code: CRM801, person: Jo Doe, reason: written next week, until: 2026-12-01}\n"
    (repo / "config/waivers.yaml").write_text(waiver)
    import datetime

    result = check(repo, only=["CRM2", "CRM8"], today=datetime.date(2026, 11, 21))
    (run,) = as_sarif(result)["runs"]
    rules = run["tool"]["driver"]["rules"]
    gone, waived = run["results"]
    assert [rules[one["ruleIndex"]]["id"] for one in (gone, waived)] == ["CRM202", "CRM801"]
    assert gone["level"] == "error" and "suppressions" not in gone
    assert gone["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "Makefile"
    assert "Jo Doe" in waived["suppressions"][0]["justification"]
    (shown,) = as_code_quality(result)
    assert shown["severity"] == "blocker" and shown["location"] == {"path": "Makefile", "lines": {"begin": 1}}
    assert shown["fingerprint"] == fingerprint(result.findings[0])


def test_the_command_exits_1_where_a_finding_blocks_and_writes_both_reports(
    repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("check", "--repo", str(repo), "--only", "CRM2", "--only", "CRM8")
    assert crm(*asked) == 0 and "nothing blocks a tier 1 service" in capsys.readouterr().out
    (repo / "Makefile").unlink()
    sarif, quality = tmp_path / "out.sarif", tmp_path / "quality.json"
    assert crm(*asked, "--sarif", str(sarif), "--code-quality", str(quality)) == 1
    told = capsys.readouterr().out
    assert "CRM202 blocks  Makefile: " in told and "1 of 1 findings block a tier 1 service" in told
    assert json.loads(sarif.read_text())["version"] == "2.1.0" and len(json.loads(quality.read_text())) == 1
    assert crm(*asked, "--json") == 1
    read = json.loads(capsys.readouterr().out)
    assert read["blocked"] and read["findings"][0]["blocks"] and read["findings"][0]["fixable"]
    assert crm(*asked, "--dry-run") == 1 and "crm check --fix --dry-run" in capsys.readouterr().err
    assert crm(*asked, "--fix", "--dry-run") == 1 and not (repo / "Makefile").exists()
    assert "would mend CRM202 Makefile" in capsys.readouterr().err
    assert crm(*asked, "--fix") == 0 and (repo / "Makefile").is_file()


def test_an_unknown_code_is_refused(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm("check", "--repo", str(repo), "--only", "CRM9") == 1
    assert "no code begins with CRM9" in capsys.readouterr().err


def test_feature_declarations_are_read_without_importing_feast_or_the_repo(repo: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from carrental_mlops.governance.check import check
asked = check(Path({str(repo)!r}), only=["CRM101", "CRM2", "CRM4", "CRM8"]).asked
assert "features" in {{one.rule for one in asked}}
print(sorted({{"feast", "pandas", "mlflow", "zenml", "fraud_payments"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
