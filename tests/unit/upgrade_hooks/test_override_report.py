"""Overrides held against a newer version: real copies of this package, edited, and a repo that overrides its hooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from override_parts import STEPS, WEIGHT, derived, only
from package_versions import declare, edited, repo

from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.override_report import report

ESTIMATOR = """
    from carrental_mlops.steps import TrainStep


    class PayTrain(TrainStep):
        def estimator(self, *, seed):
            return super().estimator(seed=seed)
    """


@pytest.mark.parametrize(
    "edits",
    [
        [
            ("        return None\n\n    @hook(", "        # none\n        return  None\n\n    @hook("),
        ],
        [('"""Default: every train row counts the same."""', '"""Other words."""')],
        [("check=_weights)", "check=_weights,\n    )")],
        [("import numpy as np\nimport pandas as pd", "import pandas as pd\nimport numpy as np")],
        [("def _weights(result", "def _heavy(result"), ("check=_weights)", "check=_heavy)")],
        [('"""The fitted model, uncalibrated, at threshold 0.5.', '"""Fitted.')],
    ],
    ids=[
        "comment and spaces",
        "docstring",
        "layout of the decorator",
        "order of imports",
        "check renamed",
        "another docstring",
    ],
)
def test_what_changes_no_behaviour_reports_nothing(
    edits: list[tuple[str, str]], versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], "steps/train.py", *edits)
    found = report(repo(tmp_path, steps=STEPS), *versions)
    assert (only(found).verdict, only(found).changed, found.blocking) == ("fine", (), ())


def test_a_helper_that_moved_to_another_file_reports_nothing(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    old, new = versions
    steps = derived("CalibrateStep", "def calibrator(self): return None")
    text = (new.package / "steps/calibrate.py").read_text()
    start = text.index("def _log_odds")
    end = (text + "\n\n\n").index("\n\n\n", start)
    (new.package / "steps/odds.py").write_text(
        "import numpy as np\nfrom numpy.typing import NDArray\n" + text[start:end]
    )
    moved = text[:start] + text[end:]
    (new.package / "steps/calibrate.py").write_text(
        moved.replace(
            "import numpy as np\n", "import numpy as np\nfrom carrental_mlops.steps.odds import _log_odds\n", 1
        )
    )
    assert only(report(repo(tmp_path, steps=steps), old, new)).changed == ()


def test_a_changed_helper_that_the_default_calls_is_behaviour(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], "steps/calibrate.py", ("def _log_odds(", "def _log_odds_before("))
    with (versions[1].package / "steps/calibrate.py").open("a") as file:
        file.write("\n\ndef _log_odds(score):\n    return _log_odds_before(score) * 1.0\n")
    steps = derived("CalibrateStep", "def calibrator(self): return None")
    finding = only(report(repo(tmp_path, steps=steps), *versions))
    assert (finding.verdict, finding.changed) == ("look", ("behaviour",))
    assert any("_log_odds" in detail for detail in finding.details)


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (("random_state=seed", "random_state=seed + 1"), "TrainStep.estimator"),
        (
            ("learning_rate: float = Field(default=0.03", "learning_rate: float = Field(default=0.05"),
            "TrainConfig.learning_rate",
        ),
    ],
    ids=["body", "default of a setting that it reads"],
)
def test_a_changed_default_is_behaviour_and_blocks_nobody(
    edit: tuple[str, str], word: str, versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], "steps/train.py", edit)
    found = report(repo(tmp_path, steps=ESTIMATOR), *versions)
    finding = only(found)
    assert (finding.verdict, finding.changed, found.blocking) == ("look", ("behaviour",), ())
    assert word in finding.details[0]
    assert finding.changelog == ("0.2.0: `TrainStep.estimator` uses more trees.",)
    assert finding.diff.startswith("--- carrental_mlops/steps/train.py 0.1.0")


def test_a_change_of_another_hook_reports_nothing(versions: tuple[Material, Material], tmp_path: Path) -> None:
    edited(versions[1], "steps/train.py", ("random_state=seed", "random_state=seed + 1"))
    assert only(report(repo(tmp_path, steps=STEPS), *versions)).verdict == "fine"


def test_a_new_argument_breaks_with_place_hook_both_signatures_reason_and_mend(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], WEIGHT[0], (WEIGHT[1], WEIGHT[1].replace("DataFrame)", "DataFrame, seed: int)")))
    found = report(repo(tmp_path, steps=STEPS), *versions)
    finding = only(found)
    assert found.blocking == (finding,)
    assert finding.verdict == "break"
    assert finding.place == "src/pay/steps.py:8"
    assert finding.hook == "TrainStep.sample_weight"
    assert finding.old_signature == "sample_weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64] | None"
    assert (
        finding.new_signature == "sample_weight(self, *, rows: pd.DataFrame, seed: int) -> NDArray[np.float64] | None"
    )
    assert finding.otherwise == (
        "every `crm` command that imports the repo stops with OverrideError: "
        "the engine calls `sample_weight(rows=…, seed=…)`, and this method takes no `seed`"
    )
    assert finding.mend.startswith("src/pay/steps.py:8: def sample_weight(self, *, rows: pd.DataFrame, seed: int)")
    told = found.markdown()
    for part in (
        finding.place,
        finding.hook,
        finding.old_signature,
        finding.new_signature,
        finding.otherwise,
        finding.mend,
    ):
        assert part in told
    assert json.loads(json.dumps(found.to_json()))["blocking"] == 1


def test_a_declared_argument_is_mended_by_the_command(versions: tuple[Material, Material], tmp_path: Path) -> None:
    edited(versions[1], WEIGHT[0], (WEIGHT[1], WEIGHT[1].replace("DataFrame)", "DataFrame, seed: int)")))
    declare(versions[1], 'added_argument("TrainStep.sample_weight", "seed", annotation="int", since="0.2.0")')
    assert only(report(repo(tmp_path, steps=STEPS), *versions)).mend == "crm upgrade --fix"


@pytest.mark.parametrize(
    ("before", "after", "said", "verdict"),
    [
        ("DataFrame)", "DataFrame, seed: int)", "self, **given", "fine"),
        ("DataFrame)", "DataFrame, seed: int)", "self, *, rows, seed=0", "fine"),
        ("*, rows: pd.DataFrame", "*, table: pd.DataFrame", "self, *, rows", "break"),
        ("*, rows: pd.DataFrame", "*", "self, *, rows", "break"),
        ("*, rows: pd.DataFrame", "*", "self, *, rows=None", "fine"),
        ("rows: pd.DataFrame)", "rows: pd.Series)", "self, *, rows: pd.DataFrame", "look"),
        ("DataFrame)", "DataFrame, seed: int)", "self, rows, seed, /", "break"),
    ],
    ids=["takes anything", "knows it", "renamed", "removed", "removed, not needed", "another type", "by position only"],
)
def test_an_override_is_held_to_the_new_arguments(
    before: str, after: str, said: str, verdict: str, versions: tuple[Material, Material], tmp_path: Path
) -> None:
    line = WEIGHT[1].replace(before, after).replace("(self, *)", "(self)")
    edited(versions[1], WEIGHT[0], (WEIGHT[1], line))
    steps = derived("TrainStep", f"def sample_weight({said}): return None")
    finding = only(report(repo(tmp_path, steps=steps), *versions))
    assert finding.verdict == ("look" if verdict == "fine" else verdict)
    assert finding.changed == ("signature",)


@pytest.mark.parametrize(
    ("now", "said", "verdict"),
    [
        ("NDArray[np.float64]", "NDArray[np.float64]", "look"),
        ("NDArray[np.float64]", "NDArray[np.float64] | None", "break"),
        ("NDArray[np.float64]", "np.ndarray", "look"),
        ("pd.Series", "NDArray[np.float64]", "break"),
        ("pd.Series", "", "unproven"),
        ("pd.Series | NDArray[np.float64] | None", "NDArray[np.float64]", "look"),
        ("Optional[NDArray[np.float64]]", "NDArray[np.float64]", "fine"),
    ],
    ids=[
        "narrower, fits",
        "narrower, None said",
        "any array",
        "another type",
        "nothing said",
        "wider",
        "other spelling",
    ],
)
def test_an_override_is_held_to_the_new_answer(
    now: str, said: str, verdict: str, versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(
        versions[1],
        WEIGHT[0],
        (WEIGHT[1], WEIGHT[1].replace("NDArray[np.float64] | None", now)),
        ("from typing import Any, final", "from typing import Any, Optional, final"),
    )
    steps = STEPS.replace(" -> NDArray[np.float64]", f" -> {said}" if said else "")
    assert only(report(repo(tmp_path, steps=steps), *versions)).verdict == verdict


def test_an_alias_of_a_type_counts_as_what_it_stands_for(versions: tuple[Material, Material], tmp_path: Path) -> None:
    edited(
        versions[1],
        "steps/fitting.py",
        ("Space = Mapping[str, Sequence[Any]]", "Space = Mapping[str, tuple[float, float]]"),
    )
    steps = derived("TrainStep", "def search_space(self) -> dict[str, list[int]]: return {}")
    finding = only(report(repo(tmp_path, steps=steps), *versions))
    assert (finding.verdict, finding.changed) == ("break", ("signature",))


def test_a_changed_check_is_a_changed_contract_that_only_a_run_can_prove(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], "steps/train.py", ("and weights.sum() > 0", "and weights.sum() > 0 and (weights <= 1).all()"))
    found = report(repo(tmp_path, steps=STEPS), *versions)
    assert (only(found).verdict, only(found).changed) == ("unproven", ("contract",))
    assert found.blocking


def test_a_changed_promise_is_a_changed_contract_to_read(versions: tuple[Material, Material], tmp_path: Path) -> None:
    edited(versions[1], "steps/train.py", ("(n,) non-negative weights, or None for equal", "(n,) weights up to 1"))
    finding = only(report(repo(tmp_path, steps=STEPS), *versions))
    assert (finding.verdict, finding.changed) == ("look", ("contract",))
    assert finding.details == ("must return: (n,) weights up to 1 (was: (n,) non-negative weights, or None for equal)",)


def test_a_removed_hook_breaks(versions: tuple[Material, Material], tmp_path: Path) -> None:
    path = versions[1].package / "steps/train.py"
    text = path.read_text()
    start = text.index('    @hook(since="0.1", returns="(n,) non-neg')
    end = text.index("    @hook(", start + 5)
    path.write_text(text[:start] + text[end:])
    declare(versions[1], 'removed_hook("TrainStep.sample_weight", since="0.2.0", advice="give `steps.train.weights`")')
    finding = only(report(repo(tmp_path, steps=STEPS), *versions))
    assert (finding.verdict, finding.new_signature) == ("break", "")
    assert finding.mend == "src/pay/steps.py:8: give `steps.train.weights`"


def test_a_renamed_hook_breaks_and_is_mended_by_the_command(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], WEIGHT[0], (WEIGHT[1], WEIGHT[1].replace("sample_weight", "weights")))
    root = repo(tmp_path, steps=STEPS)
    assert only(report(root, *versions)).mend.endswith("remove `sample_weight`")
    declare(versions[1], 'renamed_hook("TrainStep.sample_weight", "weights", since="0.2.0")')
    finding = only(report(root, *versions))
    assert finding.verdict == "break"
    assert "hook `sample_weight` is called `weights` now" in finding.otherwise
    assert finding.new_signature.startswith("weights(self")
    assert finding.mend == "crm upgrade --fix"


def test_an_override_that_has_taken_a_new_argument_over_is_told_so(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], WEIGHT[0], (WEIGHT[1], WEIGHT[1].replace("rows: ", "table: ")))
    root = repo(tmp_path, steps=STEPS.replace("rows", "table"))
    finding = only(report(root, *versions))
    assert (finding.verdict, finding.changed) == ("look", ("signature",))
    assert (
        finding.otherwise == "`PayTrain.sample_weight` takes the new arguments already, and its answer is still allowed"
    )
    assert finding.mend == "src/pay/steps.py:8: see that it takes each for what it is, and leave it as it is"


def test_a_deprecated_hook_is_told_with_its_end(versions: tuple[Material, Material], tmp_path: Path) -> None:
    declare(
        versions[1], 'removed_hook("TrainStep.sample_weight", since="0.2.0", removed_in="1.0", advice="use weights:")'
    )
    finding = only(report(repo(tmp_path, steps=STEPS), *versions))
    assert finding.verdict == "look"
    assert finding.details == ("hook `TrainStep.sample_weight` is removed in 1.0: use weights:",)
