"""The table of shape by platform says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from carrental_mlops.config.deploy import Deploy, Rollout, Shape
from carrental_mlops.deploy.manifests.shapes import SHAPES, check_supported
from carrental_mlops.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "deploy-values.md"
ROW = re.compile(r"^\| `(shape|rollout\.kind): (\w+)` \| (.*?) \| (.*?) \|$", re.M)


_EXECUTOR = f"registry.example.com/seldon-core-executor@sha256:{'e' * 64}"


def can(deploy: dict[str, object]) -> bool:
    """Whether it is supported."""
    try:
        check_supported(Deploy.model_validate({"orchestrator_image": _EXECUTOR, **deploy}))
    except ConfigError:
        return False
    return True


def test_the_table_has_every_shape_and_rollout() -> None:
    rows = [row.groups()[:2] for row in ROW.finditer(PAGE.read_text())]
    assert rows == [("shape", name) for name in get_args(Shape)] + [("rollout.kind", n) for n in get_args(Rollout)]


GRAPHS = PAGE.with_name("graphs.md")
SHAPE = re.compile(r"^\| `(\w+)` \| .* \| (yes|no)[^|]* \| (yes|no)[^|]* \|$", re.M)


def test_the_page_of_graphs_says_of_each_shape_where_it_can_be() -> None:
    rows = {name: cells for name, *cells in (row.groups() for row in SHAPE.finditer(GRAPHS.read_text()))}
    assert rows.keys() == set(get_args(Shape))
    for name, cells in rows.items():
        found = [can({"platform": platform, "shape": name}) for platform in ("seldon", "kserve")]
        assert found == [cell == "yes" for cell in cells], name


@pytest.mark.parametrize("row", [row.groups() for row in ROW.finditer(PAGE.read_text())], ids=lambda row: row[1])
def test_each_row_says_what_can_be(row: tuple[str, str, str, str]) -> None:
    key, name, *cells = row
    for platform, cell in zip(("seldon", "kserve"), cells, strict=True):
        asked = {"platform": platform, **({"shape": name} if key == "shape" else {"rollout": {"kind": name}})}
        assert can(asked) == cell.startswith("yes")
        if cell.startswith("with `serverless: true`"):
            assert can({**asked, "serverless": True})
        if key == "shape" and cell.startswith("no: "):
            assert SHAPES[platform, name].why == cell.removeprefix("no: ")  # type: ignore[index]
