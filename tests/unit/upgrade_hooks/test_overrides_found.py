"""Which overrides of a repo are found, however they are written, and which names are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from override_parts import STEPS, WEIGHT, derived, only
from package_versions import declare, edited, repo

from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.override_report import report


def test_a_broken_import_hides_no_override(versions: tuple[Material, Material], tmp_path: Path) -> None:
    steps = STEPS.replace("import numpy as np", "import not_there\n    import numpy as np")
    assert only(report(repo(tmp_path, steps=steps), *versions)).hook == "TrainStep.sample_weight"


def test_a_file_that_does_not_parse_blocks(versions: tuple[Material, Material], tmp_path: Path) -> None:
    finding = only(report(repo(tmp_path, steps="class A(:\n    pass\n"), *versions))
    assert (finding.verdict, finding.place) == ("break", "src/pay/steps.py:1")


def test_an_import_that_is_gone_blocks_with_its_line(versions: tuple[Material, Material], tmp_path: Path) -> None:
    (versions[1].package / "steps" / "tables.py").rename(versions[1].package / "steps" / "frames.py")
    root = repo(tmp_path, steps="from carrental_mlops.steps.tables import (\n    TestRows,\n    TrainRows,\n)\n")
    found = report(root, *versions)
    assert [(f.verdict, f.place) for f in found.findings] == [("break", "src/pay/steps.py:1")] * 2
    declare(versions[1], 'moved_import("carrental_mlops.steps.tables", "carrental_mlops.steps.frames", since="0.2.0")')
    assert {f.mend for f in report(root, *versions).findings} == {"crm upgrade --fix"}


WRITTEN = {
    "module alias": """
        import carrental_mlops.steps as s
        class A(s.TrainStep):
            def estimator(self, *, seed): ...  # here
        """,
    "whole module": """
        import carrental_mlops.steps
        class A(carrental_mlops.steps.TrainStep):
            def estimator(self, *, seed): ...  # here
        """,
    "star": """
        from carrental_mlops.steps import *
        class A(TrainStep):
            def estimator(self, *, seed): ...  # here
        """,
    "through a class of the repo": """
        from carrental_mlops.steps.train import TrainStep as T
        class Base(T):
            pass
        class A(Base):
            def estimator(self, *, seed): ...  # here
        """,
    "mixin": """
        from carrental_mlops.steps import TrainStep
        class M:
            def estimator(self, *, seed): ...  # here
        class A(M, TrainStep):
            pass
        """,
    "assigned": """
        from carrental_mlops.steps import TrainStep
        def _e(self, *, seed): ...
        class A(TrainStep):
            estimator = _e  # here
        """,
    "in a condition": """
        from carrental_mlops.steps import TrainStep
        if True:
            class A(TrainStep):
                def estimator(self, *, seed): ...  # here
        """,
    "in a try": """
        try:
            from carrental_mlops.steps import TrainStep
        except ImportError:
            raise
        class A(TrainStep):
            if True:
                def estimator(self, *, seed): ...  # here
        """,
}


@pytest.mark.parametrize("written", WRITTEN)
def test_overrides_are_found_however_they_are_written(
    written: str, versions: tuple[Material, Material], tmp_path: Path
) -> None:
    root = repo(tmp_path, steps=WRITTEN[written])
    lines = (root / "src/pay/steps.py").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.endswith("# here"))
    finding = only(report(root, *versions))
    assert (finding.hook, finding.place, finding.cls) == ("TrainStep.estimator", f"src/pay/steps.py:{line}", "A")


def test_a_mixin_behind_the_default_overrides_nothing(versions: tuple[Material, Material], tmp_path: Path) -> None:
    steps = WRITTEN["mixin"].replace("(M, TrainStep)", "(TrainStep, M)")
    assert report(repo(tmp_path, steps=steps), *versions).findings == ()


def test_an_override_of_a_class_in_another_module_of_the_repo_is_found(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    root = repo(
        tmp_path,
        base="from carrental_mlops.serving import ModelService\nclass Base(ModelService):\n    pass\n",
        service="from .base import Base\nclass Pay(Base):\n    def decide(self, *, scores, columns): return scores\n",
    )
    finding = only(report(root, *versions))
    assert (finding.hook, finding.place) == ("ModelService.decide", "src/pay/service.py:3")


def test_a_call_of_the_default_with_arguments_that_are_gone_breaks(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(versions[1], WEIGHT[0], (WEIGHT[1], WEIGHT[1].replace("*, rows", "*, table")))
    steps = """
        from carrental_mlops.steps import TrainStep


        class PayTrain(TrainStep):
            def estimator(self, *, seed):
                self.sample_weight(rows=None)
                return super().estimator(seed=seed)
        """
    broken = [f for f in report(repo(tmp_path, steps=steps), *versions).findings if f.verdict == "break"]
    assert [(f.place, f.hook) for f in broken] == [("src/pay/steps.py:6", "TrainStep.sample_weight")]
    assert "it takes no `rows` and it needs `table`" in broken[0].otherwise


def test_a_name_that_the_base_takes_for_itself_breaks(versions: tuple[Material, Material], tmp_path: Path) -> None:
    edited(
        versions[1],
        "steps/train.py",
        ("    config: TrainConfig\n\n    @final", "    config: TrainConfig\n    _floor = 0.1\n\n    @final"),
    )
    steps = derived("TrainStep", "_floor = 0.2")
    finding = only(report(repo(tmp_path, steps=steps), *versions))
    assert (finding.verdict, finding.place) == ("break", "src/pay/steps.py:3")


def test_a_slot_and_a_value_that_a_team_may_set_take_no_name(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    edited(
        versions[1],
        "steps/train.py",
        ("    config: TrainConfig\n\n    @final", "    config: TrainConfig\n    floor = 1\n\n    @final"),
    )
    assert report(repo(tmp_path, steps=derived("TrainStep", "floor = 2")), *versions).findings == ()


def test_an_override_is_compared_though_the_class_it_derives_from_has_moved(
    versions: tuple[Material, Material], tmp_path: Path
) -> None:
    steps = STEPS.replace(
        "from carrental_mlops.steps import TrainStep", "from carrental_mlops.steps.train import TrainStep"
    )
    package = versions[1].package
    edited(
        versions[1],
        "steps/__init__.py",
        ("from carrental_mlops.steps.train import", "from carrental_mlops.steps.fit import"),
    )
    (package / "steps/train.py").rename(package / "steps/fit.py")
    declare(versions[1], 'moved_import("carrental_mlops.steps.train", "carrental_mlops.steps.fit", since="0.2.0")')
    found = report(repo(tmp_path, steps=steps), *versions)
    assert [(f.verdict, f.hook, f.mend) for f in found.findings] == [
        ("break", "", "crm upgrade --fix"),
        ("fine", "TrainStep.sample_weight", ""),
    ]


def test_a_repo_without_overrides_says_so(versions: tuple[Material, Material], tmp_path: Path) -> None:
    found = report(repo(tmp_path), *versions)
    assert found.findings == ()
    assert "This repo overrides no hook." in found.markdown()
