"""A hook's contract holds after the call, and its errors name the hook and the team's file and line."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from carrental_mlops.core import Step, call, hook
from carrental_mlops.core.checksum import checksum
from carrental_mlops.core.return_types import mismatch
from carrental_mlops.errors import ContractError


def _known(result: Sequence[str], given: dict[str, Any]) -> str | None:
    unknown = [c for c in result if c not in given["rows"].columns]
    return f"returned unknown columns {unknown}" if unknown else None


class FitStep(Step):
    @final
    def run(self, *, rows: pd.DataFrame) -> float:
        call(self.columns, rows=rows)
        weight = call(self.weight, rows=rows)
        return float(len(rows) if weight is None else weight.sum())

    @hook(since="0.1", returns="names of columns", check=_known)
    def columns(self, *, rows: pd.DataFrame) -> Sequence[str]:
        return list(rows.columns)

    @hook(since="0.1", returns="(n,) weights, or None")
    def weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64] | None:
        return None


def rows() -> pd.DataFrame:
    return pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "t": pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True)})


def line_of(method: Any) -> str:
    return f"{__file__}:{method.__code__.co_firstlineno}"


def test_wrong_type_names_hook_file_line_and_what_to_return() -> None:
    class Team(FitStep):
        def columns(self, *, rows: pd.DataFrame) -> Any:
            return rows

    with pytest.raises(ContractError) as broken:
        Team().run(rows=rows())
    assert f"`Team.columns` ({line_of(Team.columns)}) returned a DataFrame" in broken.value.what
    assert broken.value.fix == "return names of columns"


def test_check_of_the_hook_is_held() -> None:
    class Team(FitStep):
        def columns(self, *, rows: pd.DataFrame) -> Sequence[str]:
            return ["a", "z"]

    with pytest.raises(ContractError, match=r"unknown columns \['z'\]"):
        Team().run(rows=rows())


def test_check_that_cannot_read_the_answer_is_a_broken_contract() -> None:
    def _fails(result: Any, given: dict[str, Any]) -> str | None:
        raise KeyError("a")

    class Base(Step):
        @hook(since="0.1", returns="anything", check=_fails)
        def fit(self, *, rows: int) -> Any:
            return 1

    with pytest.raises(ContractError, match="KeyError"):
        call(Base().fit, rows=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.__setitem__("c", 1),
        lambda frame: frame.drop(columns="a", inplace=True),
        lambda frame: frame.loc.__setitem__((0, "a"), 9.0),
        lambda frame: frame.loc.__setitem__((0, "b"), "z"),
        lambda frame: frame.loc.__setitem__((0, "t"), pd.Timestamp("2027-01-01", tz="UTC")),
        lambda frame: frame.sort_values("a", ascending=False, inplace=True),
        lambda frame: frame.rename(columns={"a": "A"}, inplace=True),
        lambda frame: setattr(frame, "index", [5, 6]),
    ],
)
def test_input_changed_in_place_is_a_broken_contract(change: Any) -> None:
    class Team(FitStep):
        def weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64] | None:
            change(rows)
            return None

    with pytest.raises(ContractError, match="changed its input `rows` in place") as broken:
        Team().run(rows=rows())
    assert line_of(Team.weight) in broken.value.what


def test_input_that_is_only_read_keeps_the_contract() -> None:
    class Team(FitStep):
        def weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64] | None:
            copy = rows.assign(c=1).sort_values("a").reset_index()
            rows["b"].astype("category").value_counts()
            return copy["a"].to_numpy()

    assert Team().run(rows=rows()) == 3.0


def test_exception_of_a_hook_passes_unchanged_with_a_note_that_names_it() -> None:
    class Team(FitStep):
        def weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64] | None:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        Team().run(rows=rows())
    assert raised.value.__notes__ == [f"in hook `Team.weight` ({line_of(Team.weight)})"]


def test_contract_of_a_hot_hook_is_held_on_the_first_call_and_each_nth() -> None:
    class Base(Step):
        @hook(since="0.1", returns="an int", every=3)
        def fit(self, *, rows: int) -> int:
            return 1

    class Team(Base):
        def fit(self, *, rows: int) -> Any:
            return "no"

    outcomes = []
    for _ in range(7):
        try:
            outcomes.append(call(Team().fit, rows=1))
        except ContractError:
            outcomes.append("refused")
    assert [n for n, o in enumerate(outcomes) if o == "refused"] == [0, 3, 6]


FITS: list[tuple[Any, Any]] = [
    (["a"], Sequence[str]),
    (("a", "b"), Sequence[str]),
    (pd.Index(["a"]), Sequence[str]),
    ({"a": np.float32(1)}, Mapping[str, float]),
    (3, float),
    (None, int | None),
    (np.zeros(2), NDArray[np.float64]),
    (np.zeros(2, dtype="int8"), NDArray[np.float64]),
    ((np.zeros(1), np.zeros(1)), tuple[NDArray[np.float64], NDArray[np.float64]]),
    ((1, 2, 3), tuple[int, ...]),
    (pd.DataFrame(), pd.DataFrame),
    (..., Any),
]
MISFITS: list[tuple[Any, Any]] = [
    ("abc", Sequence[str]),
    ([1, 2], Sequence[str]),
    (pd.DataFrame({"a": [1]}), Sequence[str]),
    ({"a": "b"}, Mapping[str, float]),
    (pd.Series([1.0]), Mapping[str, float]),
    (pd.Series([1.0]), NDArray[np.float64]),
    (np.array(["a"]), NDArray[np.float64]),
    (np.zeros(2), tuple[NDArray[np.float64], NDArray[np.float64]]),
    ((np.zeros(1),), tuple[NDArray[np.float64], NDArray[np.float64]]),
    ("1", int | None),
    (None, float),
    ([], pd.DataFrame),
]


@pytest.mark.parametrize(("value", "wanted"), FITS, ids=str)
def test_value_fits_its_declared_type(value: Any, wanted: Any) -> None:
    assert mismatch(value, wanted) is None


@pytest.mark.parametrize(("value", "wanted"), MISFITS, ids=str)
def test_value_that_does_not_fit_is_described(value: Any, wanted: Any) -> None:
    assert str(mismatch(value, wanted)).startswith("returned ")


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3)[:, 1:],
        np.array(["a", None], dtype=object),
        pd.Series(["a", "b"], dtype="category"),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a"], dtype="string[pyarrow]"),
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, "x")])),
        pd.DataFrame(),
        {"a": [np.zeros(2), {"b": {1, 2}}]},
    ],
    ids=lambda v: type(v).__name__,
)
def test_checksum_of_a_value_that_nobody_touches_stays(value: Any) -> None:
    assert checksum(value) == checksum(value) is not None


def test_checksum_sees_an_array_inside_a_dict() -> None:
    columns = {"a": np.zeros(3)}
    before = checksum(columns)
    columns["a"][1] = 5
    assert checksum(columns) != before
