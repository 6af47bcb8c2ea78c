"""Each rule finds what breaks it, with its place and mend; a repo as `crm new` makes it breaks none."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rendered_repos import config_of

from carrental_mlops.governance.check import check, mend
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.ledger import Declined, write_ledger
from carrental_mlops.governance.rules import CODES, RULES
from carrental_mlops.governance.rules.deployment import against_policy, rendered
from carrental_mlops.governance.waivers import CODES as OF_WAIVERS

CRM = "config/crm.yaml"
PROD = "config/prod.yaml"
CODE = "src/fraud_payments"
CANARY = "kind: canary, steps: [10, 25, 50], step_minutes: 10"
VIEWS = f"{CODE}/feature_views.py"
# Put together so that no scanner takes this file for a leak.
AWS_KEY = "AKIA" + "QYLPMN5HHHFPZAM2"


def edit(repo: Path, path: str, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = (repo / path).read_text()
    assert old in text, (path, old)
    (repo / path).write_text(text.replace(old, new, 1))


def add(repo: Path, path: str, text: str) -> None:
    """Write or append."""
    file = repo / path
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text((file.read_text() if file.exists() else "") + text)


def team_view(repo: Path, source: str = 'FileSource(name="crm", path="s3://crm/customers/")', more: str = "") -> None:
    """A view of the team's own beside those of the template."""
    edit(repo, VIEWS, "from typing import Any\n", "from typing import Any\n\nfrom feast import FeatureView, Field, FileSource\n")  # fmt: skip  # noqa: E501
    add(repo, VIEWS, f'\nCUSTOMERS = {source}\nVIEWS.append(FeatureView(name="customers", source=CUSTOMERS, '
        f'schema=[Field(name="age", dtype=None)]{more}))\n')  # fmt: skip


def ledger(repo: Path, **given: str) -> None:
    write_ledger(repo, (Declined("Makefile", "0.1.0", "0.2.0", "0" * 64, "", **given),))


BREAKS: dict[str, tuple[Callable[[Path], object], str | None, str]] = {
    "CRM101": (lambda r: add(r, CRM, "teir: 1\n"), CRM, "unknown key `teir`"),
    "CRM103": (lambda r: add(r, "config/prd.yaml", "slo: {rps: 5}\n"), "config/prd.yaml", "is no overlay"),
    "CRM105": (
        lambda r: add(
            r,
            "config/waivers.yaml",
            "- {code: CRM601, person: Jo Doe, reason: to be mended, until: 2099-01-01, who: me}\n",
        ),
        "config/waivers.yaml",
        "unknown key",
    ),
    "CRM106": (
        lambda r: add(
            r, "config/waivers.yaml", "- {code: CRM601, person: Jo Doe, reason: to be mended, until: 2026-01-01}\n"
        ),
        "config/waivers.yaml",
        "ended on 2026-01-01",
    ),
    "CRM201": (lambda r: add(r, "Makefile", "mine:\n\techo mine\n"), "Makefile", "not as the template made it"),
    "CRM202": (lambda r: (r / "Makefile").unlink(), "Makefile", "is not there"),
    "CRM203": (lambda r: (r / ".crm.json").write_text("{"), ".crm.json", "JSONDecodeError"),
    "CRM204": (ledger, "Makefile", "was declined, without a reason"),
    "CRM205": (lambda r: ledger(r, reason="our own", by="Jo Doe", until="2026-01-01"), "Makefile", "until 2026-01-01"),
    "CRM206": (lambda r: (r / ".crm-ledger.json").write_text("{"), ".crm-ledger.json", "Expecting"),
    "CRM207": (
        lambda r: edit(r, ".crm.json", '"Makefile": {', '"Makefile": {"executable": true,'),
        "Makefile",
        "not executable",
    ),
    "CRM401": (team_view, VIEWS, "s3://crm/customers/"),
    "CRM402": (
        lambda r: edit(r, f"{CODE}/features.py", "    request = (", '    stored = ("customers:age",)\n    request = ('),
        f"{CODE}/features.py",
        "`customers:age`",
    ),
    "CRM403": (lambda r: team_view(r, "made_elsewhere()"), VIEWS, "cannot be read"),
    "CRM404": (
        lambda r: team_view(r, more=')); VIEWS.append(FeatureView(name="branch_history", source=CUSTOMERS'),
        VIEWS,
        "stands twice",
    ),
    "CRM405": (lambda r: edit(r, CRM, "customer_id, branch_id", "customer_id"), f"{CODE}/features.py", "`branch_id`"),
    "CRM406": (lambda r: add(r, "config/sources.yaml", "- {name: crm}\n"), "config/sources.yaml", "0.at"),
    "CRM407": (
        lambda r: add(r, "config/sources.yaml", "- {name: crm, at: s3://crm/, owner: crm@example.com}\n"),
        "config/sources.yaml",
        "`crm`",
    ),
    "CRM502": (lambda r: add(r, PROD, 'feast: {online: "redis://store:6379/0"}\n'), PROD, "write rediss://"),
    "CRM503": (
        lambda r: edit(r, PROD, f"rollout: {{{CANARY}}}", "rollout: {kind: shadow}\n  platform: kserve"),
        PROD,
        "prod: ",
    ),
    "CRM504": (lambda r: edit(r, PROD, "  image: registry.example.com/prod/fraud-payments\n", ""), PROD, "is not set"),
    "CRM505": (lambda r: edit(r, PROD, "minimum: 3", "minimum: 1"), PROD, "one replica"),
    "CRM506": (lambda r: edit(r, PROD, CANARY, "kind: direct"), PROD, "is direct"),
    "CRM601": (lambda r: add(r, "notebooks/load.py", f'key = "{AWS_KEY}"\n'), "notebooks/load.py", "AWS Access Key"),
    "CRM603": (lambda r: (r / "data.csv").write_bytes(b"1,2\n" * 600_000), "data.csv", "2 MiB"),
    "CRM610": (lambda r: add(r, "requirements/serving.txt", "leftpad==1.0\n"), "requirements/serving.txt", "leftpad"),
    "CRM611": (lambda r: (r / "requirements/serving.txt").unlink(), "requirements/serving.txt", "not there"),
    "CRM801": (lambda r: (r / "README.md").write_text("# fraud-payments\n"), "README.md", "in no sentence"),
    "CRM802": (lambda r: edit(r, CRM, "owner: ", "owner: TODO # "), CRM, "'TODO'"),
    "CRM803": (
        lambda r: edit(r, CRM, "owner: ", "owner: new-team@example.com # "),
        "README.md",
        "new-team@example.com",
    ),
    "CRM804": (lambda r: add(r, f"{CODE}/more.py", "x = 1\n"), f"{CODE}/more.py", "docstring"),
}
"""Code to what breaks it, the place that the finding names, and words of what it says."""
ELSEWHERE = {
    *("CRM102", "CRM301", "CRM302", "CRM303", "CRM304", "CRM305", "CRM306", "CRM309"),  # test_check_hooks.py
    "CRM501",  # below
    *("CRM107",),  # test_check_waivers.py
    *("CRM509", "CRM602", "CRM620", "CRM621", "CRM622", "CRM630", "CRM631"),  # test_check_supply_chain.py
    *(f"CRM70{n}" for n in range(1, 9)),  # test_check_evidence.py
}


def test_every_code_has_a_test_that_breaks_it() -> None:
    codes = {code.number for rule in RULES for code in rule.codes} | {code.number for code in OF_WAIVERS}
    assert codes == BREAKS.keys() | ELSEWHERE


@pytest.mark.parametrize("code", BREAKS)
def test_a_broken_rule_is_found_with_its_place(code: str, repo: Path) -> None:
    break_, path, words = BREAKS[code]
    assert [f for f in check(repo, only=[code]).findings if f.code == code] == []
    break_(repo)
    found = [f for f in check(repo, only=[code]).findings if f.code == code]
    assert found, code
    assert found[0].path == path and words in found[0].what and found[0].mend
    assert found[0].fix is None or next(one for one in CODES if one.number == code).fixes


def test_a_new_repo_has_no_blocking_finding_and_full_marks_but_for_its_model(repo: Path) -> None:
    result = check(repo)
    assert result.tier == 1 and not result.blocked
    assert [f.code for f in result.findings] == ["CRM707"]
    assert result.score == 99 and result.raises == (("CRM707", 0.2),)
    assert [name for name in ("hooks", "deployment") if name not in {a.rule for a in result.asked}] == []


def test_findings_name_the_line(repo: Path) -> None:
    add(repo, "notebooks/load.py", f'\n\nkey = "{AWS_KEY}"\n')
    number = (repo / "notebooks/load.py").read_text().splitlines().index(f'key = "{AWS_KEY}"') + 1
    (one,) = check(repo, only=["CRM601"]).findings
    assert one.line == number and AWS_KEY not in json.dumps(one.to_json())
    assert AWS_KEY not in "".join(p.read_text() for p in (repo / ".crm" / "check").iterdir())


def test_an_object_that_breaks_the_policy_is_found() -> None:
    pytest.importorskip("helm_python")
    config = config_of("prod", image="registry.example.com/fraud-payments")
    objects = rendered(config, "prod")
    assert list(against_policy("prod", objects, PROD, 5)) == []
    policy = next(one for one in objects if one["kind"] == "PodDisruptionBudget")
    found = list(against_policy("prod", [one for one in objects if one is not policy], PROD, 5))
    assert [(f.code, f.path, f.line) for f in found] == [("CRM501", PROD, 5)] * len(found) != []
    assert "drain of nodes" in found[0].what


def test_a_pragma_in_the_file_does_not_hide_a_secret(repo: Path) -> None:
    add(repo, "notebooks/load.py", f'key = "{AWS_KEY}"  # pragma: allowlist secret\n')
    assert [f.code for f in check(repo, only=["CRM601"]).findings] == ["CRM601"]


def test_a_file_that_git_ignores_is_not_searched(repo: Path) -> None:
    add(repo, ".crm/own.py", f'key = "{AWS_KEY}"\n')
    assert check(repo, only=["CRM601"]).findings == ()


def test_an_edited_managed_file_that_the_ledger_names_is_no_edit(repo: Path) -> None:
    add(repo, "Makefile", "mine:\n\techo mine\n")
    ledger(repo, reason="our own target", by="Jo Doe", until=str(datetime.date.today()))
    assert check(repo, only=["CRM2"]).findings == ()


def test_a_managed_file_that_is_gone_is_brought_back_as_the_template_made_it(repo: Path) -> None:
    before = (repo / "Makefile").read_bytes()
    (repo / "Makefile").unlink()
    result = check(repo, only=["CRM2"])
    assert [f.code for f, _ in mend(repo, result)] == ["CRM202"]
    assert (repo / "Makefile").read_bytes() == before
    assert check(repo, only=["CRM2"]).findings == ()


def test_a_managed_file_that_neither_git_nor_the_template_has_is_not_made_up(repo: Path) -> None:
    sha256 = json.loads((repo / ".crm.json").read_text())["files"]["Makefile"]["sha256"]
    edit(repo, ".crm.json", sha256, "0" * 64)
    (repo / "Makefile").unlink()
    (one,) = check(repo, only=["CRM202"]).findings
    assert one.fix is None and one.mend == "crm upgrade"


def test_a_declared_source_is_found_by_name_place_or_folder(repo: Path) -> None:
    team_view(repo)
    for at in ("s3://crm/customers/", "s3://crm/"):
        (repo / "config/sources.yaml").write_text(f"- {{name: crm, at: '{at}', owner: crm@example.com}}\n")
        assert check(repo, only=["CRM4"]).findings == ()
    (repo / "config/sources.yaml").write_text("- {name: crm, at: 's3://other/', owner: crm@example.com}\n")
    assert {f.code for f in check(repo, only=["CRM4"]).findings} == {"CRM401", "CRM407"}


def test_severities_of_the_tier_decide_what_blocks(repo: Path) -> None:
    (repo / "README.md").write_text("# fraud-payments\n")
    add(repo, PROD, 'feast: {online: "redis://store:6379/0"}\n')
    blocked = {}
    for tier in (1, 2, 3):
        (repo / CRM).write_text((repo / CRM).read_text().replace(f"tier: {max(tier - 1, 1)}", f"tier: {tier}"))
        blocked[tier] = [f.code for f in check(repo, only=["CRM5", "CRM8"]).blocking]
    assert blocked == {1: ["CRM502", "CRM801"], 2: ["CRM502"], 3: []}


def test_a_repo_whose_configuration_cannot_be_read_is_held_as_tier_1(repo: Path) -> None:
    (repo / CRM).write_text("tier: 3\n")
    result = check(repo, only=["CRM101"])
    assert result.tier == 1 and result.blocked
    assert {f.severity for f in result.findings} == {Severity.ERROR}


def test_a_finding_is_the_same_finding_with_and_without_its_mend() -> None:
    one = Finding("CRM202", Severity.ERROR, "gone", "crm check --fix", "Makefile", fix=lambda _: None)
    assert one == Finding("CRM202", Severity.ERROR, "gone", "crm check --fix", "Makefile")
