"""A fix in a base class, as a new version of a package brings it, reruns its step through `crm run` on ZenML."""

from __future__ import annotations

from pathlib import Path

import pytest
from crm_process import finished

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

CONFIG = """\
service: fixed
package: fixed_repo
owner: team@example.com
tier: 3
environments: [local]
columns: {id: row_id, time: at, label: is_bad, entities: [customer_id]}
"""
BASE = '''\
"""What all teams share."""

from typing import final

from carrental_mlops.core import Step, call, hook


class Scale(Step):
    @final
    def run(self, *, number: int) -> int:
        result: int = call(self.factor) * number
        self.context.metric("scaled", result)
        return result

    @hook(since="0.1", returns="a factor")
    def factor(self) -> int:
        return _shared()


def _shared() -> int:
    return 2
'''
PIPELINES = '''\
"""One slot holds a subclass of the shared step."""

from typing import final

from carrental_mlops.core import Pipeline, Step, step

from fixed_repo.base import Scale


class Begin(Step):
    @final
    def run(self) -> int:
        return 21


class OurScale(Scale):
    """Nothing of its own."""


class Fixed(Pipeline):
    name = "fixed"
    begin = step(Begin)
    scale = step(OurScale)

    def build(self) -> None:
        self.scale.run(number=self.begin.run())
'''


def test_a_fix_in_a_base_class_reruns_the_subclass_and_nothing_else(tmp_path: Path) -> None:
    package = tmp_path / "src" / "fixed_repo"
    package.mkdir(parents=True)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "crm.yaml").write_text(CONFIG)
    for name, text in {"__init__.py": "", "base.py": BASE, "pipelines.py": PIPELINES}.items():
        (package / name).write_text(text)
    edits = {
        "begun": ("return 2", "return 2", {"begin": "✓", "scale": "✓"}),
        "nothing changed": ("return 2", "return 2", {"begin": "=", "scale": "="}),
        "a comment": ("return 2", "return 2  # twice", {"begin": "=", "scale": "="}),
        "a helper of the base class": ("return 2", "return 3", {"begin": "=", "scale": "✓"}),
        "the base class": ("factor) * number", "factor) * number + 0", {"begin": "=", "scale": "✓"}),
    }
    for name, (old, new, marks) in edits.items():
        (package / "base.py").write_text((package / "base.py").read_text().replace(old, new))
        code, run = finished(["run", "fixed"], tmp_path)
        assert code == 0, run.said
        assert run.steps == marks, name
