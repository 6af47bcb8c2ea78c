"""What a caller relies on: who can send what today can send it tomorrow, and finds the same outputs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError, create_model

from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving.interface import breaks, from_text, interface, to_text


class Champion(RowContract):
    customer_id: int
    paid_at: datetime
    amount_eur: float = Field(ge=0, le=20_000)
    channel: Literal["web", "app"] = "web"
    note: str | None = Field(default=None, max_length=20)
    is_fraud: int | None = None


NOW = interface(Champion, without=("is_fraud",))


def changed(**fields: Any) -> tuple[str, ...]:
    contract = create_model("Challenger", __base__=Champion, **fields)
    return breaks(NOW, interface(contract, without=("is_fraud",)))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rental_days": (float | None, None)},
        {"amount_eur": (float, Field(ge=-1, le=50_000))},
        {"amount_eur": (float, Field(gt=-1))},
        {"customer_id": (int | None, None)},
        {"channel": (Literal["web", "app", "desk"], "web")},
        {"channel": (str, "web")},
        {"note": (str | None, None)},
        {"is_fraud": (float, Field())},
    ],
)
def test_optional_additions_and_wider_bounds_break_nobody(fields: dict[str, Any]) -> None:
    assert changed(**fields) == ()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"branch_id": (int, Field())}, "`branch_id` is new and required"),
        ({"customer_id": (str, Field())}, "`customer_id` was INT64 and is BYTES"),
        ({"channel": (Literal["web", "app"], Field())}, "`channel` was optional and is required"),
        ({"channel": (Literal["web"], "web")}, "`channel` takes fewer values: 'app' is no longer taken"),
        ({"note": (str, "")}, "`note` took null"),
        ({"note": (str | None, Field(default=None, max_length=5))}, "it takes 5 characters, it took 20"),
        ({"note": (str | None, Field(default=None, max_length=20, pattern="^a"))}, "pattern is ^a, it was not set"),
        ({"amount_eur": (float, Field(gt=0, le=20_000))}, "exclusiveMinimum 0, it was minimum 0"),
        ({"amount_eur": (float, Field(ge=0, le=100))}, "maximum 100, it was maximum 20000"),
    ],
)
def test_what_a_caller_could_no_longer_send_is_named_with_a_mend(fields: dict[str, Any], told: str) -> None:
    (found,) = changed(**fields)
    assert told in found and "; " in found


def test_a_field_or_output_that_is_gone_or_retyped_breaks() -> None:
    fewer = {
        "fields": {k: v for k, v in NOW["fields"].items() if k != "note"},
        "outputs": {"score": {"datatype": "FP32"}},
    }
    found = breaks(NOW, fewer)
    assert [text.split(";")[0] for text in found] == [
        "field `note` is gone",
        "output `score` was FP64 and is FP32",
        "output `decision` is gone",
        "output `reason` is gone",
    ]


def test_it_is_kept_as_text() -> None:
    assert from_text(to_text(NOW)) == NOW and breaks(NOW, from_text(to_text(NOW))) == ()
    with pytest.raises(ValueError, match="no fields"):
        from_text("{}")


limits = st.one_of(st.none(), st.integers(-3, 3))
numbers = st.builds(
    lambda ge, gt, le, lt, optional, none: (
        (float | None if none else float),
        Field(
            **({"default": None if none else 1.0} if optional else {}),
            **{k: v for k, v in {"ge": ge, "gt": gt, "le": le, "lt": lt}.items() if v is not None},
        ),
    ),
    limits, limits, limits, limits, st.booleans(), st.booleans(),
)  # fmt: skip
contracts = st.dictionaries(st.sampled_from(["a", "b", "c"]), numbers, min_size=1).map(
    lambda fields: create_model("Contract", __base__=RowContract, **fields)
)
_NO_BOUND_ON_MISSING = [None, *(x / 2 for x in range(-8, 9))]


def accepted(contract: type[RowContract], row: dict[str, Any]) -> bool:
    try:
        TypeAdapter(contract).validate_python(row)
    except ValidationError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(contracts, contracts, st.data())
def test_where_nothing_breaks_every_accepted_row_is_accepted_again(
    old: type[RowContract], new: type[RowContract], data: st.DataObject
) -> None:
    row = {
        name: data.draw(st.sampled_from(_NO_BOUND_ON_MISSING))
        for name in old.model_fields
        if data.draw(st.booleans()) or old.model_fields[name].is_required()
    }
    if breaks(interface(old), interface(new)) == () and accepted(old, row):
        assert accepted(new, row)


@settings(max_examples=40, deadline=None)
@given(contracts, st.dictionaries(st.sampled_from(["x", "y"]), st.just((float | None, None))))
def test_the_same_contract_with_further_optional_fields_never_breaks(
    contract: type[RowContract], more: dict[str, Any]
) -> None:
    assert breaks(interface(contract), interface(create_model("More", __base__=contract, **more))) == ()
