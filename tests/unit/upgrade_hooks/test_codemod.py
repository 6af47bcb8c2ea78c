"""Declared changes made in a team's code: comments and layout stay, and what is not safe is left to a person."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest
from package_versions import declare, edited, repo, version

from carrental_mlops.errors import ConfigError, TemplateError
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade import codemod
from carrental_mlops.upgrade.codemod import CodemodPlan
from carrental_mlops.upgrade.override_report import report

HEAD = "from carrental_mlops.steps import TrainStep\n\n\nclass Mine(TrainStep):\n"
ADDED = 'added_argument("TrainStep.sample_weight", "seed", annotation="int", since="0.2.0")'
RENAMED = 'renamed_argument("TrainStep.sample_weight", "rows", "table", since="0.2.0")'
REMOVED = 'removed_argument("TrainStep.sample_weight", "rows", since="0.2.0")'
RENAMED_HOOK = 'renamed_hook("TrainStep.sample_weight", "weights", since="0.2.0", removed_in="0.3.0")'
REMOVED_HOOK = 'removed_hook("TrainStep.sample_weight", since="0.2.0", advice="set steps.train.weights")'


@pytest.fixture
def new(tmp_path: Path) -> Material:
    return version(tmp_path, "0.2.0")


def planned(tmp_path: Path, old: Material, new: Material, body: str, *entries: str) -> CodemodPlan:
    declare(new, *entries)
    return codemod.plan(repo(tmp_path, steps=HEAD + body), old, new)


def after(plan: CodemodPlan) -> str:
    """The class's body once the plan is written; the file parses."""
    plan.write()
    text = (plan.root / "src/pay/steps.py").read_text()
    ast.parse(text)
    return text.removeprefix(HEAD)


SAFE = {
    "added": (
        ADDED,
        "    def sample_weight(self, *, rows):  # ours\n        return rows  # all\n",
        "    def sample_weight(self, *, rows, seed: int):  # ours\n        return rows  # all\n",
    ),
    "added where rows comes by position": (
        ADDED,
        "    def sample_weight(self, rows): return None\n",
        "    def sample_weight(self, rows, *, seed: int): return None\n",
    ),
    "added, one argument a line": (
        ADDED,
        "    def sample_weight(\n        self,\n        *,\n        rows,  # the rows\n    ):\n        return 1\n",
        "    def sample_weight(\n        self,\n        *,\n        rows,  # the rows\n"
        "        seed: int,\n    ):\n        return 1\n",
    ),
    "added, and passed to the default": (
        ADDED,
        "    def sample_weight(self, *, rows):\n        return super().sample_weight(rows=rows)\n",
        "    def sample_weight(self, *, rows, seed: int):\n"
        "        return super().sample_weight(rows=rows, seed=seed)\n",
    ),
    "added, there already": (ADDED, "    def sample_weight(self, *, rows, seed): ...\n", None),
    "added, anything is taken": (ADDED, "    def sample_weight(self, **given): ...\n", None),
    "renamed argument": (
        RENAMED,
        "    def sample_weight(self, *, rows: 'x') -> None:\n        # rows of a day\n"
        "        a = rows.rows + f(rows=rows)\n        return super().sample_weight(rows=rows[a])\n",
        "    def sample_weight(self, *, table: 'x') -> None:\n        # rows of a day\n"
        "        a = table.rows + f(rows=table)\n        return super().sample_weight(table=table[a])\n",
    ),
    "renamed argument, called in another hook": (
        RENAMED,
        "    def estimator(self, *, seed):\n        return self.sample_weight(rows=seed)\n",
        "    def estimator(self, *, seed):\n        return self.sample_weight(table=seed)\n",
    ),
    "removed argument": (
        REMOVED,
        "    def sample_weight(self, *, rows):\n        return super().sample_weight(rows=rows)\n",
        "    def sample_weight(self):\n        return super().sample_weight()\n",
    ),
    "renamed hook": (
        RENAMED_HOOK,
        "    def sample_weight(self, *, rows):\n        return super().sample_weight(rows=rows)\n\n"
        "    def estimator(self, *, seed):\n        return call(self.sample_weight, rows=1)\n",
        "    def weights(self, *, rows):\n        return super().weights(rows=rows)\n\n"
        "    def estimator(self, *, seed):\n        return call(self.weights, rows=1)\n",
    ),
    "removed hook that passed everything on": (
        REMOVED_HOOK,
        '    def sample_weight(self, *, rows):\n        """Ours."""\n        return super().sample_weight(rows=rows)\n',
        "    pass\n",
    ),
}


@pytest.mark.parametrize("case", SAFE)
def test_a_safe_change_is_made_and_nothing_else(case: str, old: Material, new: Material, tmp_path: Path) -> None:
    entry, before, wanted = SAFE[case]
    plan = planned(tmp_path, old, new, before, entry)
    assert plan.by_hand == ()
    assert bool(plan.files) == (wanted is not None)
    assert after(plan) == (wanted or before)
    assert codemod.plan(plan.root, old, new).files == ()


UNSAFE = {
    "the new name is used": (
        ADDED,
        "    def sample_weight(self, *, rows):\n        seed = 1\n        return seed\n",
        5,
    ),
    "the default is called with **": (
        ADDED,
        "    def sample_weight(self, *, rows):\n        return super().sample_weight(**{'rows': rows})\n",
        5,
    ),
    "called where there is no seed": (ADDED, "    def _mine(self):\n        self.sample_weight(rows=1)\n", 6),
    "no def": (ADDED, "    sample_weight = print\n", 5),
    "bound again": (RENAMED, "    def sample_weight(self, *, rows):\n        return [rows for rows in rows]\n", 5),
    "bound in a lambda": (RENAMED, "    def sample_weight(self, *, rows):\n        return lambda rows: rows\n", 5),
    "read by locals": (RENAMED, "    def sample_weight(self, *, rows):\n        return locals()['rows']\n", 5),
    "taken through **": (RENAMED, "    def sample_weight(self, **given):\n        return given['rows']\n", 5),
    "still used": (REMOVED, "    def sample_weight(self, *, rows):\n        return len(rows)\n", 5),
    "does something": (REMOVED_HOOK, "    def sample_weight(self, *, rows):\n        return rows\n", 5),
    "has both": (RENAMED_HOOK, "    def sample_weight(self, *, rows): ...\n    def weights(self, *, rows): ...\n", 5),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_an_unsafe_change_is_left_to_a_person(case: str, old: Material, new: Material, tmp_path: Path) -> None:
    entry, before, line = UNSAFE[case]
    plan = planned(tmp_path, old, new, before, entry)
    assert [item.place for item in plan.by_hand] == [f"src/pay/steps.py:{line}"]
    assert (plan.files, plan.diff()) == ((), "")


def test_changes_are_made_one_after_another_under_the_name_of_the_day(
    old: Material, new: Material, tmp_path: Path
) -> None:
    later = 'renamed_argument("TrainStep.weights", "rows", "table", since="0.3.0")'
    plan = planned(tmp_path, old, new, "    def sample_weight(self, *, rows): return rows\n", RENAMED_HOOK, later)
    assert after(plan) == "    def weights(self, *, table): return table\n"


def test_a_name_of_the_team_that_only_looks_like_the_hook_stays(old: Material, new: Material, tmp_path: Path) -> None:
    declare(new, RENAMED_HOOK)
    text = "class Other:\n    def sample_weight(self, *, rows):\n        return self.sample_weight(rows=rows)\n"
    assert codemod.plan(repo(tmp_path, steps=text), old, new).files == ()


def test_line_ends_encoding_mode_and_a_missing_last_newline_stay(old: Material, new: Material, tmp_path: Path) -> None:
    declare(new, RENAMED_HOOK)
    root = repo(tmp_path)
    path = root / "src/pay/steps.py"
    head = "# -*- coding: latin-1 -*-\r\n# Prüfung\r\nfrom carrental_mlops.steps import TrainStep\r\n"
    body = "class A(TrainStep):\r\n\tdef sample_weight(self, *, rows):\r\n\t\treturn 1"
    path.write_bytes((head + body).encode("latin-1"))
    path.chmod(0o755)
    plan = codemod.plan(root, old, new)
    plan.write()
    assert path.read_bytes() == (head + body.replace("sample_weight", "weights")).encode("latin-1")
    assert path.stat().st_mode & 0o777 == 0o755
    assert "+\tdef weights" in plan.diff()


def test_an_annotation_brings_its_import(old: Material, new: Material, tmp_path: Path) -> None:
    entry = (
        'added_argument("TrainStep.sample_weight", "clock", annotation="datetime", since="0.2", '
        'imports=("from datetime import datetime",))'
    )
    plan = planned(tmp_path, old, new, "    def sample_weight(self, *, rows): ...\n", entry)
    plan.write()
    text = (plan.root / "src/pay/steps.py").read_text()
    assert "from datetime import datetime\n" in text
    assert "def sample_weight(self, *, rows, clock: datetime): ..." in text


MOVED_NAME = 'moved_import("carrental_mlops.steps.tables:TrainRows", "carrental_mlops.data.rows:Rows", since="0.2")'
MOVED_MODULE = 'moved_import("carrental_mlops.steps.tables", "carrental_mlops.data.rows", since="0.2")'


@pytest.mark.parametrize(
    ("entry", "before", "wanted"),
    [
        (MOVED_MODULE, "from TABLES import A, B  # both\n", "from ROWS import A, B  # both\n"),
        (MOVED_NAME, "from TABLES import TrainRows as T\n", "from ROWS import Rows as T\n"),
        (MOVED_NAME, "from TABLES import TrainRows\n", "from ROWS import Rows as TrainRows\n"),
        (
            MOVED_NAME,
            "from TABLES import (\n    TestRows,\n    TrainRows,\n)\n",
            "from TABLES import (\n    TestRows,\n)\nfrom ROWS import Rows as TrainRows\n",
        ),
        (
            MOVED_NAME,
            "def f():\n    from TABLES import TrainRows, TuneRows\n    return TrainRows\n",
            "def f():\n    from TABLES import TuneRows\n    from ROWS import Rows as TrainRows\n    return TrainRows\n",
        ),
        (
            MOVED_MODULE,
            "from carrental_mlops.steps import tables\n",
            "from carrental_mlops.data import rows as tables\n",
        ),
        (MOVED_NAME, "from TABLES import TuneRows\n", "from TABLES import TuneRows\n"),
    ],
    ids=["module", "alias", "renamed", "one of several", "in a function", "the module itself", "another name"],
)
def test_a_moved_import_is_followed_in_every_file(
    entry: str, before: str, wanted: str, old: Material, new: Material, tmp_path: Path
) -> None:
    declare(new, entry)
    names = {"TABLES": "carrental_mlops.steps.tables", "ROWS": "carrental_mlops.data.rows"}
    before, wanted = (re.sub("TABLES|ROWS", lambda m: names[m[0]], text) for text in (before, wanted))
    root = repo(tmp_path)
    (root / "tests").mkdir()
    (root / "tests/test_rows.py").write_text(before)
    codemod.plan(root, old, new).write()
    assert (root / "tests/test_rows.py").read_text() == wanted


def test_an_import_of_the_whole_module_is_left_to_a_person(old: Material, new: Material, tmp_path: Path) -> None:
    declare(new, MOVED_MODULE)
    plan = codemod.plan(repo(tmp_path, rows="import carrental_mlops.steps.tables\n"), old, new)
    assert [item.place for item in plan.by_hand] == ["src/pay/rows.py:1"]


def test_a_use_in_a_test_is_told_since_nobody_knows_what_the_object_is(
    old: Material, new: Material, tmp_path: Path
) -> None:
    declare(new, RENAMED_HOOK)
    root = repo(tmp_path, steps=HEAD + "    def sample_weight(self, *, rows): ...\n")
    (root / "tests").mkdir()
    (root / "tests/test_a.py").write_text("from pay.steps import Mine\nassert Mine().sample_weight(rows=1)\n")
    plan = codemod.plan(root, old, new)
    assert [item.place for item in plan.by_hand] == ["tests/test_a.py:2"]


def test_a_file_that_changed_since_the_plan_is_not_written(old: Material, new: Material, tmp_path: Path) -> None:
    plan = planned(tmp_path, old, new, "    def sample_weight(self, *, rows): ...\n", RENAMED_HOOK)
    (plan.root / "src/pay/steps.py").write_text("# edited meanwhile\n")
    with pytest.raises(ConfigError, match="has changed since"):
        plan.write()
    assert (plan.root / "src/pay/steps.py").read_text() == "# edited meanwhile\n"


def test_the_report_is_clean_once_the_codemod_has_run(old: Material, new: Material, tmp_path: Path) -> None:
    before = "def sample_weight(self, *, rows: pd.DataFrame)"
    edited(new, "steps/train.py", (before, "def weights(self, *, table: pd.DataFrame, seed: int)"))
    after_rename = 'added_argument("TrainStep.weights", "seed", annotation="int", since="0.2.0")'
    table = 'renamed_argument("TrainStep.weights", "rows", "table", since="0.2.0")'
    declare(new, RENAMED_HOOK, table, after_rename)
    root = repo(tmp_path, steps=HEAD + "    def sample_weight(self, *, rows):\n        return rows\n")
    assert [f.mend for f in report(root, old, new).blocking] == [codemod.COMMAND]
    codemod.plan(root, old, new).write()
    assert report(root, old, new).blocking == ()
    assert "def weights(self, *, table, seed: int):\n        return table" in (root / "src/pay/steps.py").read_text()


def test_without_libcst_the_report_says_the_edit_and_the_codemod_how_to_install_it(
    old: Material, new: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "libcst" else found(name))
    edited(new, "steps/train.py", ("def sample_weight(self, *, rows", "def weights(self, *, rows"))
    declare(new, RENAMED_HOOK)
    root = repo(tmp_path, steps=HEAD + "    def sample_weight(self, *, rows): ...\n")
    (finding,) = report(root, old, new).blocking
    assert finding.mend == "src/pay/steps.py:5: rename the method to `weights`"
    with pytest.raises(codemod.NotInstalled, match="uv pip install libcst"):
        codemod.plan(root, old, new)


def test_a_change_that_this_crm_does_not_know_is_refused(old: Material, new: Material, tmp_path: Path) -> None:
    declare(new, 'split_hook("TrainStep.sample_weight", since="0.2.0")')
    with pytest.raises(TemplateError, match=r"core/deprecated.py:\d+: `split_hook"):
        codemod.plan(repo(tmp_path), old, new)


def test_nothing_of_the_newer_version_is_run(old: Material, new: Material, tmp_path: Path) -> None:
    declare(new, f'renamed_hook(open({str(tmp_path / "ran")!r}, "w").name, "weights", since="0.2.0")')
    with pytest.raises(TemplateError):
        codemod.plan(repo(tmp_path), old, new)
    assert not (tmp_path / "ran").exists()
