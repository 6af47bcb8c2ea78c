"""Many random template changes against many random edits; the unit test tries a few."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from upgrade_properties import Op, Ops, hold

pytestmark = pytest.mark.e2e
_ENDS: Counter[str] = Counter()


@given(ops=Ops, edits=Ops)
@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def _try(ops: list[Op], edits: list[Op], tmp_path: Path) -> None:
    _ENDS[hold(tmp_path / "case", ops, edits)] += 1


def test_every_edit_is_held_or_a_conflict_shown(tmp_path: Path) -> None:
    _try(tmp_path=tmp_path)
    assert _ENDS["clean"] > 50 and _ENDS["conflict"] > 50, _ENDS
