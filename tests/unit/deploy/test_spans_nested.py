"""Spans stand below the one that they are part of."""

from __future__ import annotations

from carrental_mlops.deploy.observe.spans import Span, nested


def _span(name: str, start: float, parent: str = "") -> Span:
    return Span("payments", name, start, 1.0, {}, name, parent)


def test_each_span_stands_below_its_own_in_order_of_time() -> None:
    spans = [
        _span("gateway", 0),
        _span("features", 1, "gateway"),
        _span("read", 2, "features"),
        _span("m", 3, "gateway"),
    ]
    assert [(deep, span.name) for deep, span in nested(spans)] == [
        (0, "gateway"),
        (1, "features"),
        (2, "read"),
        (1, "m"),
    ]


def test_a_span_whose_parent_was_not_kept_is_shown_at_the_top() -> None:
    assert [deep for deep, _ in nested([_span("a", 0, "of the client"), _span("b", 1, "a")])] == [0, 1]


def test_spans_without_ids_are_all_shown() -> None:
    bare = [Span("payments", "a", 0.0, 1.0), Span("payments", "b", 1.0, 1.0)]
    assert [span.name for _, span in nested(bare)] == ["a", "b"]
