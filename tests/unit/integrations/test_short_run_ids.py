from __future__ import annotations

import pytest

from carrental_mlops.integrations.mlflow_runs import stands_for

RUN = "training-20261121-170319-3f2a9c"


@pytest.mark.parametrize("short", [RUN, "training-20261121-1703", "3f2a9c", "3f2a"])
def test_a_run_is_meant_by_its_id_its_beginning_or_its_last_part(short: str) -> None:
    assert stands_for(short, RUN)


@pytest.mark.parametrize("short", ["2a9c", "170319", "3f2a9cd", "scoring"])
def test_a_run_is_not_meant_by_what_stands_within_its_id(short: str) -> None:
    assert not stands_for(short, RUN)
