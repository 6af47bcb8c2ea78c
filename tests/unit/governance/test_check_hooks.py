"""Hooks, wiring and settings are checked in another process; one with every kind of mistake names each."""

from __future__ import annotations

from pathlib import Path

import pytest

from carrental_mlops.errors import PlatformError
from carrental_mlops.governance.apart import process
from carrental_mlops.governance.check import check
from carrental_mlops.governance.finding import Finding

CODE = "src/fraud_payments"


def edit(repo: Path, name: str, old: str, new: str) -> None:
    file = repo / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def found(repo: Path) -> dict[str, Finding]:
    """The first finding of each code of hooks and settings."""
    told = check(repo, only=["CRM102", "CRM3"]).findings
    return {one.code: one for one in reversed(told)}


def line(repo: Path, name: str, text: str) -> int:
    return next(n for n, one in enumerate((repo / name).read_text().splitlines(), 1) if text in one)


def test_each_mistake_is_named_with_file_line_and_mend(repo: Path) -> None:
    (repo / CODE / "steps.py").write_text('''"""Mistakes."""

from carrental_mlops.steps import SplitStep, TrainConfig, TrainStep


class BareConfig(TrainConfig):
    floor: float = 0.2


class Bare(TrainStep):
    config: BareConfig


class Forgotten(SplitStep):
    def test_share(self, *, rows):
        return 0.5
'''.replace("SplitStep", "TrainStep").replace("def test_share(self, *, rows):\n        return 0.5",
            "def sample_weight(self, *, rows):\n        return None"))  # fmt: skip
    edit(repo, f"{CODE}/pipelines.py", "from fraud_payments.service import FraudService",
         "from fraud_payments.service import FraudService\nfrom fraud_payments.steps import Bare")  # fmt: skip
    edit(repo, f"{CODE}/pipelines.py", "    gate = step(Gate)\n", "    gate = step(Gate)\n    train = step(Bare)\n")
    edit(repo, f"{CODE}/features.py", '"hour": seconds / 3_600', '"hour": seconds / seconds.max()')
    edit(
        repo,
        f"{CODE}/pipelines.py",
        "class FraudTraining",
        'print("not part of the answer: []{")\n\n\nclass FraudTraining',
    )
    edit(repo, "config/prod.yaml", "steps:\n", "steps:\n  split: {no_such_setting: 1}\n")
    told = found(repo)
    assert told.keys() == {"CRM102", "CRM303", "CRM305", "CRM306"}
    setting = told["CRM102"]
    assert (setting.path, setting.line) == ("config/prod.yaml", 3) and "no_such_setting" in setting.what
    assert told["CRM303"].path == f"{CODE}/steps.py" and "does not describe floor" in told["CRM303"].what
    assert told["CRM303"].line == line(repo, f"{CODE}/steps.py", "class Bare(TrainStep)")
    assert told["CRM305"].path == f"{CODE}/features.py" and "`hour`" in told["CRM305"].what
    assert told["CRM306"].line == line(repo, f"{CODE}/steps.py", "def sample_weight")
    assert "Forgotten.sample_weight" in told["CRM306"].what
    assert all(one.mend and str(repo) not in one.what for one in told.values())


def test_a_service_that_answers_a_row_otherwise_in_a_batch_is_found(repo: Path) -> None:
    edit(repo, f"{CODE}/service.py", "    schema = Payment\n", '''    schema = Payment

    def decide(self, *, scores, columns):
        """The best of the batch alone."""
        return ["block" if score == max(scores) else "accept" for score in scores]
''')  # fmt: skip
    assert found(repo).keys() == {"CRM304"}


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("raise RuntimeError('at import')", "CRM301", "RuntimeError: at import"),
        ("class Other(Pipeline):\n    name = 'one'", "CRM302", "both named"),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_line(repo: Path, text: str, code: str, words: str) -> None:
    first = "from carrental_mlops.core import Pipeline\n\n\nclass One(Pipeline):\n    name = 'one'\n\n\n"
    (repo / CODE / "pipelines.py").write_text(f"{first}{text}\n")
    told = found(repo)
    assert told.keys() == {code} and words in told[code].what
    assert told[code].path == f"{CODE}/pipelines.py"
    if code == "CRM301":
        assert told[code].line == line(repo, f"{CODE}/pipelines.py", text)


def test_a_process_that_dies_is_a_finding_that_is_not_kept(repo: Path) -> None:
    (repo / CODE / "pipelines.py").write_text("import os\n\nos._exit(9)\n")
    told = found(repo)
    assert told.keys() == {"CRM309"} and "ended with 9" in told["CRM309"].what
    assert not (repo / ".crm" / "check" / "hooks.json").exists()


def test_an_answer_that_takes_too_long_is_said(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LONGEST_S", 0.01)
    with pytest.raises(PlatformError, match="longer than"):
        process.ask("hooks", repo)
