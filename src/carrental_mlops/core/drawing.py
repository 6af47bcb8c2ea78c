"""A pipeline's graph drawn: in the terminal, as Mermaid, as SVG, as plain data."""

from __future__ import annotations

import textwrap
from html import escape
from typing import Any

from carrental_mlops.config.type_text import type_text
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.wiring import trace

_BOX, _GAP = (170, 44), (36, 40)
_HEAD = ("slot", "class")
_GLUE = "\N{NO-BREAK SPACE}"
_NARROWEST = 20
"""Columns that the last cell of a line keeps however narrow the terminal is."""


def as_data(pipeline: type[Pipeline]) -> dict[str, Any]:
    """Steps in order, each with its class, inputs (step, output, type) and outputs (name to type); dropped slots."""
    slots = pipeline.slots()
    steps = [
        {
            "slot": slot,
            "class": slots[slot].__name__,
            "inputs": {
                name: {"step": ref.step, "output": ref.output, "type": type_text(ref.type)}
                for name, ref in given.items()
            },
            "outputs": {name: type_text(tp) for name, tp in slots[slot].outputs().items()},
        }
        for slot, given in trace(pipeline).calls.items()
    ]
    return {"pipeline": pipeline.name, "class": pipeline.__name__, "steps": steps, "dropped": pipeline.dropped()}


def as_text(pipeline: type[Pipeline], width: int | None = None) -> str:
    """One line a step, with rails that carry outputs down to the steps that take them; then the dropped slots.

    Args:
        pipeline: what to draw.
        width: columns of the terminal, beyond which a line goes on below; None for no limit.
    """
    data = as_data(pipeline)
    steps = data["steps"]
    rails = _rails(steps)
    wide, name, cls = (_longest(cells) for cells in ([r for r, _ in rails], *(_column(steps, k) for k in _HEAD)))
    lines = []
    for (rail, below), step in zip(rails, steps, strict=True):
        takes = ", ".join(f"{k} ← {_source(v)}".replace(" ", _GLUE) for k, v in step["inputs"].items())
        head = f"{rail.ljust(wide)}  {step['slot'].ljust(name)}  {step['class'].ljust(cls)}  "
        lines += _wrapped(head, below, takes, width)
    for slot, reason in data["dropped"].items():
        lines += _wrapped(f"{'✗'.ljust(wide)}  {slot.ljust(name)}  ", "", f"dropped: {reason}", width)
    return "\n".join(lines)


def as_mermaid(pipeline: type[Pipeline]) -> str:
    """A Mermaid flowchart; Markdown viewers draw it."""
    data = as_data(pipeline)
    steps = data["steps"]
    nodes = [f'  {s["slot"]}["{s["slot"]}<br/>{s["class"]}"]' for s in steps]
    edges = [f"  {v['step']} -- {k} --> {s['slot']}" for s in steps for k, v in s["inputs"].items()]
    emptied = [f'  {slot}["{slot}<br/>dropped: {_plain(why)}"]:::dropped' for slot, why in data["dropped"].items()]
    style = ["  classDef dropped stroke-dasharray: 4 4,color:#777"] if emptied else []
    return "\n".join(["flowchart TD", *nodes, *edges, *emptied, *style])


def as_svg(pipeline: type[Pipeline]) -> str:
    """A self-contained SVG picture, one row a rank."""
    data = as_data(pipeline)
    at = _places(data["steps"])
    width = max(x for x, _ in at.values()) + _BOX[0] + _GAP[0]
    foot = max(y for _, y in at.values()) + _BOX[1] + _GAP[1]
    dropped = [f"{slot}: dropped, {reason}" for slot, reason in data["dropped"].items()]
    width = max(width, *(2 * _GAP[0] + 8 * len(line) for line in dropped), 0)
    height = foot + 20 * len(dropped)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(data['pipeline'])}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for step in data["steps"]:
        parts += [_edge(at[v["step"]], at[step["slot"]], k) for k, v in step["inputs"].items()]
    parts += [_node(at[step["slot"]], step) for step in data["steps"]]
    parts += [f'<text x="{_GAP[0]}" y="{foot + 20 * n}" fill="#777">{escape(t)}</text>' for n, t in enumerate(dropped)]
    return "\n".join([*parts, "</svg>"])


def _longest(cells: list[str]) -> int:
    return max(map(len, cells), default=0)


def _column(steps: list[dict[str, Any]], key: str) -> list[str]:
    return [step[key] for step in steps]


def _wrapped(head: str, below: str, text: str, width: int | None) -> list[str]:
    """`head` and `text`; where they are wider than `width`, `text` goes on under itself with the rails `below`."""
    room = max(width - len(head), _NARROWEST) if width else len(text) + 1
    first, *more = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    lines = [head + first, *(below.ljust(len(head)) + line for line in more)]
    return [line.replace(_GLUE, " ").rstrip() for line in lines]


def _plain(text: str) -> str:
    """`text` as a Mermaid label takes it."""
    return text.replace('"', "'")


def _source(given: dict[str, str]) -> str:
    return given["step"] if given["output"] == "output" else f"{given['step']}.{given['output']}"


def _rails(steps: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """For each step its row of rails, and the rails that go on below it."""
    last = {v["step"]: n for n, s in enumerate(steps) for v in s["inputs"].values()}
    lanes: list[str | None] = []
    rows: list[tuple[str, str]] = []
    for n, step in enumerate(steps):
        sources = {v["step"] for v in step["inputs"].values()}
        ending = {s for s in sources if last[s] == n}
        own = next((i for i, lane in enumerate(lanes) if lane in ending), None)
        if own is None:
            own = lanes.index(None) if None in lanes else len(lanes)
            lanes[own : own + 1] = [None]
        row = _rail(lanes, own, sources, ending)
        lanes = [None if lane in ending else lane for lane in lanes]
        lanes[own] = step["slot"] if step["slot"] in last else None
        rows.append((row, "".join("│ " if lane else "  " for lane in lanes)))
        while lanes and lanes[-1] is None:
            lanes.pop()
    return rows


def _rail(lanes: list[str | None], own: int, sources: set[str], ending: set[str]) -> str:
    touched = [i for i, lane in enumerate(lanes) if lane in sources] + [own]
    low, high = min(touched), max(touched)
    cells = []
    for i, lane in enumerate(lanes):
        inside = low <= i <= high
        if i == own:
            mark = "●"
        elif lane in ending:
            mark = ("╰" if i == low else "┴") if i < own else ("╯" if i == high else "┴")
        elif lane in sources:
            mark = ("├" if i == low else "┼") if i < own else ("┤" if i == high else "┼")
        else:
            mark = ("┼" if lane else "─") if inside else ("│" if lane else " ")
        cells.append(mark + ("─" if low <= i < high else " "))
    return "".join(cells).rstrip()


def _places(steps: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    rank: dict[str, int] = {}
    rows: dict[int, int] = {}
    at = {}
    for step in steps:
        level = 1 + max((rank[v["step"]] for v in step["inputs"].values()), default=-1)
        rank[step["slot"]] = level
        column = rows.get(level, 0)
        rows[level] = column + 1
        at[step["slot"]] = (_GAP[0] + column * (_BOX[0] + _GAP[0]), _GAP[1] + level * (_BOX[1] + _GAP[1]))
    return at


def _edge(start: tuple[int, int], end: tuple[int, int], name: str) -> str:
    x1, y1, x2, y2 = start[0] + _BOX[0] // 2, start[1] + _BOX[1], end[0] + _BOX[0] // 2, end[1]
    bend = 0 if y2 - y1 <= _GAP[1] else _BOX[0] // 2 + 14
    path = f"M{x1},{y1} C{x1 + bend},{y1 + 30} {x2 + bend},{y2 - 30} {x2},{y2}"
    return f'<path d="{path}" fill="none" stroke="#8a94a6"><title>{escape(name)}</title></path>'


def _node(at: tuple[int, int], step: dict[str, Any]) -> str:
    x, y = at
    middle = x + _BOX[0] // 2
    return (
        f'<rect x="{x}" y="{y}" width="{_BOX[0]}" height="{_BOX[1]}" rx="6" fill="#eef3fb" stroke="#3b6fb6"/>'
        f'<text x="{middle}" y="{y + 18}" text-anchor="middle" font-weight="bold">{escape(step["slot"])}</text>'
        f'<text x="{middle}" y="{y + 35}" text-anchor="middle" fill="#555">{escape(step["class"])}</text>'
    )
