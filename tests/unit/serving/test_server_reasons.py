"""Reasons come within the deadline or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from carrental_mlops.data.features import Arrays
from carrental_mlops.serving import ModelService
from carrental_mlops.serving.app import App


@pytest.fixture
def explaining(payment_service: type[ModelService]) -> Callable[[float], type[ModelService]]:
    """A service whose reasons take that many seconds."""

    def make(seconds: float) -> type[ModelService]:
        class Explaining(payment_service):  # type: ignore[misc,valid-type]
            def reasons(self, *, scores: Any, columns: Arrays) -> Sequence[str]:
                time.sleep(seconds)
                return ["amount"] * len(scores)

        return Explaining

    return make


def test_slow_reasons_are_left_out_when_the_deadline_is_near(
    make_app: Callable[..., App], served: Any, explaining: Any, payment: dict[str, Any]
) -> None:
    client = served(make_app(explaining(0.5), deadline_ms=300))
    begun = time.perf_counter()
    status, reply = client.infer(payment)
    assert (status, reply["outputs"][2]["data"]) == (200, [""])
    assert reply["parameters"]["flags"] == ["reasons:late"]
    assert time.perf_counter() - begun < 0.5


def test_slow_reasons_within_the_deadline_are_told_and_hold_up_nobody(
    make_app: Callable[..., App], served: Any, explaining: Any, payment: dict[str, Any]
) -> None:
    client = served(make_app(explaining(0.3), deadline_ms=5_000))

    async def together() -> list[tuple[int, dict[str, Any]]]:
        return await asyncio.gather(*(asyncio.to_thread(client.infer, payment) for _ in range(5)))

    begun = time.perf_counter()
    replies = asyncio.run(together())
    assert time.perf_counter() - begun < 5 * 0.3
    assert {(status, reply["outputs"][2]["data"][0], "parameters" in reply) for status, reply in replies} == {
        (200, "amount", False)
    }
