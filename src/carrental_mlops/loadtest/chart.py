"""Curves of a load test as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 300, 60, 90, 14, 42
_COLOURS = ("#3a7d44", "#1f5fa8", "#c2571a")


def curves(
    xs: Sequence[float], lines: Mapping[str, Sequence[float]], x_label: str, y_label: str, limit: float | None = None
) -> str:
    """An SVG of `lines` (name to a value for each of `xs`, from 0 up); `limit` is a dashed line.

    A value that is not finite leaves a gap.
    """
    known = [v for values in lines.values() for v in values if math.isfinite(v)]
    high = 1.1 * max([*known, limit or 0.0, 1e-9])
    low_x, high_x = min([*xs, 0.0]), max([*xs, 1e-9])

    def at(x: float, y: float) -> str:
        across = (x - low_x) / (high_x - low_x) * (_WIDTH - _LEFT - _RIGHT)
        return f"{_LEFT + across:.1f} {_HEIGHT - _BOTTOM - y / high * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    body = [*_grid(high_x, high, at), *_labels(x_label, y_label)]
    if limit is not None:
        x, y = at(high_x, limit).split()
        body.append(f'<path d="M{at(low_x, limit)}L{x} {y}" stroke="#b3261e" stroke-dasharray="5 4"/>')
        body.append(f'<text x="{float(x) + 5:.1f}" y="{float(y) - 4:.1f}" fill="#b3261e">SLO {limit:g}</text>')
    for (name, values), colour in zip(lines.items(), _COLOURS, strict=False):
        points = [at(x, y) for x, y in zip(xs, values, strict=True) if math.isfinite(y)]
        if not points:
            continue
        body.append(f'<path d="M{"L".join(points)}" stroke="{colour}" stroke-width="2" fill="none"/>')
        body += ['<circle cx="{}" cy="{}" r="3" fill="{}"/>'.format(*point.split(), colour) for point in points]
        x, y = points[-1].split()
        body.append(f'<text x="{float(x) + 6:.1f}" y="{float(y) + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    opening = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" font-size="11"'
    return f'{opening} aria-label="{escape(y_label)} by {escape(x_label)}">{"".join(body)}</svg>'


def _grid(high_x: float, high: float, at: Callable[[float, float], str]) -> list[str]:
    lines = []
    for value in _ticks(high_x):
        x, y = at(value, 0).split()
        lines.append(f'<path d="M{x} {y}V{_TOP}" stroke="#e3e3e3"/>')
        lines.append(f'<text x="{x}" y="{float(y) + 15:.1f}" text-anchor="middle">{value:g}</text>')
    for value in _ticks(high):
        x, y = at(0, value).split()
        lines.append(f'<path d="M{x} {y}H{_WIDTH - _RIGHT}" stroke="#e3e3e3"/>')
        lines.append(f'<text x="{float(x) - 6:.1f}" y="{float(y) + 4:.1f}" text-anchor="end">{value:g}</text>')
    return lines


def _labels(x_label: str, y_label: str) -> list[str]:
    middle = (_HEIGHT - _BOTTOM + _TOP) / 2
    return [
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="14" y="{middle}" transform="rotate(-90 14 {middle})" text-anchor="middle">{escape(y_label)}</text>',
    ]


def _ticks(high: float) -> list[float]:
    """About five round values from 0 up to `high`."""
    rough = high / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [float(f"{n * step:.10g}") for n in range(int(high / step) + 1)]
