"""Charts as inline SVG, drawn without a plotting library so that a report loads at once and needs no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 260, 46, 40, 12
_COLOURS = ("#1f5fa8", "#c2571a", "#3a7d44")
Points = tuple[Sequence[float], Sequence[float]]


def line_chart(
    lines: Mapping[str, Points], x_label: str, y_label: str, diagonal: bool = False, dots: bool = False
) -> str:
    """An SVG of `lines` (name to x and y, all within 0 to 1); `diagonal` adds the dashed line x = y."""
    body = [_frame(x_label, y_label)]
    if diagonal:
        body.append(f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#999" stroke-dasharray="4 4" fill="none"/>')
    for (name, (xs, ys)), colour in zip(lines.items(), _COLOURS, strict=False):
        known = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
        path = "L".join(f"{_x(x)} {_y(y)}" for x, y in known)
        title = f"<title>{escape(name)}</title>"
        if path:
            body.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none">{title}</path>')
        if dots:
            body += [f'<circle cx="{_x(x)}" cy="{_y(y)}" r="3" fill="{colour}"/>' for x, y in known]
    return _svg(_WIDTH, _HEIGHT, f"{y_label} by {x_label}", body)


def bar_chart(values: Mapping[str, float], unit: str) -> str:
    """An SVG of horizontal bars, one a name, in the order given; values are not negative."""
    greatest, row, left = max([*values.values(), 1e-12]), 20, 210
    body = []
    for i, (name, value) in enumerate(values.items()):
        length, y = 330 * value / greatest, i * row
        body.append(f'<text x="{left - 6}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        body.append(f'<rect x="{left}" y="{y + 4}" width="{length:.1f}" height="12" fill="{_COLOURS[0]}"/>')
        body.append(f'<text x="{left + length + 5:.1f}" y="{y + 14}">{value:.3g}</text>')
    return _svg(left + 400, max(row * len(values), row), unit, body)


def _svg(width: int, height: int, label: str, body: Sequence[str]) -> str:
    opening = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
    return f'{opening} aria-label="{escape(label)}" font-size="11">{"".join(body)}</svg>'


def _frame(x_label: str, y_label: str) -> str:
    ticks = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        ticks.append(f'<path d="M{_x(value)} {_y(0)}V{_y(1)}M{_x(0)} {_y(value)}H{_x(1)}" stroke="#e3e3e3"/>')
        ticks.append(f'<text x="{_x(value)}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{value:g}</text>')
        ticks.append(f'<text x="{_LEFT - 5}" y="{_y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    middle = (_x(0) + _x(1)) / 2
    ticks.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    upright = f'transform="rotate(-90 12 {_y(0.5)})" text-anchor="middle"'
    return "".join([*ticks, f'<text x="12" y="{_y(0.5)}" {upright}>{escape(y_label)}</text>'])


def _x(value: float) -> float:
    return round(_LEFT + min(max(value, 0.0), 1.0) * (_WIDTH - _LEFT - 12), 1)


def _y(value: float) -> float:
    return round(_TOP + (1 - min(max(value, 0.0), 1.0)) * (_HEIGHT - _BOTTOM - _TOP), 1)
