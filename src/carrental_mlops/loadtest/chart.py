"""Curves of a load test as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 300, 60, 80, 14, 42
_COLOURS, _LIMIT = ("#3a7d44", "#1f5fa8", "#c2571a"), "#b3261e"


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where `value` lies from `low` (0) to `high` (1)."""
        if self.log:
            return math.log10(max(value, self.low) / self.low) / math.log10(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Powers of ten, or about five round values."""
        if self.log:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [float(f"1e{power}") for power in powers]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        return [float(f"{n * step:.10g}") for n in range(int(self.high / step) + 1)]


def curves(
    xs: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    x_label: str,
    y_label: str,
    limit: float,
    log: bool = False,
) -> str:
    """An SVG of `lines` (name to one value for each of `xs`) and a dashed line at `limit`.

    Args:
        xs: from 0 up.
        lines: one that is not finite leaves a gap.
        x_label: of the axis.
        y_label: of the axis.
        limit: the SLO's.
        log: y by powers of ten, which keeps a median of 1 ms apart from a limit of 2 s.
    """
    across, up = _Scale(0.0, max([*xs, 1e-9])), _up([v for line in lines.values() for v in line], limit, log)
    body = [*_grid(across, up), *_labels(x_label, y_label)]
    body.append(f'<path d="M{_x(0)} {_y(up.share(limit))}H{_x(1)}" stroke="{_LIMIT}" stroke-dasharray="5 4"/>')
    shown = [(f"SLO {limit:g}", _LIMIT)]
    for (name, values), colour in zip(lines.items(), _COLOURS, strict=False):
        points = [(_x(across.share(x)), _y(up.share(y))) for x, y in zip(xs, values, strict=True) if math.isfinite(y)]
        shown.append((name, colour))
        if points:
            path = "L".join(f"{x} {y}" for x, y in points)
            body.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        body += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points]
    for n, (name, colour) in enumerate(shown):
        body.append(f'<text x="{_x(1) + 8}" y="{_TOP + 10 + 15 * n}" fill="{colour}">{escape(name)}</text>')
    opening = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" font-size="11"'
    return f'{opening} aria-label="{escape(y_label)} by {escape(x_label)}">{"".join(body)}</svg>'


def _up(values: Sequence[float], limit: float, log: bool) -> _Scale:
    known = [v for v in [*values, limit] if math.isfinite(v)]
    if not log:
        return _Scale(0.0, 1.1 * max([*known, 1e-9]))
    above = [v for v in known if v > 0]
    low, high = math.floor(math.log10(min(above))), math.ceil(math.log10(max(above)))
    return _Scale(10.0**low, 10.0 ** max(high, low + 1), log=True)


def _grid(across: _Scale, up: _Scale) -> list[str]:
    drawn = []
    for value in across.ticks():
        x = _x(across.share(value))
        drawn.append(f'<path d="M{x} {_y(0)}V{_TOP}" stroke="#e3e3e3"/>')
        drawn.append(f'<text x="{x}" y="{_y(0) + 15}" text-anchor="middle">{value:g}</text>')
    for value in up.ticks():
        y = _y(up.share(value))
        drawn.append(f'<path d="M{_x(0)} {y}H{_x(1)}" stroke="#e3e3e3"/>')
        drawn.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return drawn


def _labels(x_label: str, y_label: str) -> list[str]:
    middle = (_HEIGHT - _BOTTOM + _TOP) / 2
    return [
        f'<text x="{_x(0.5)}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="14" y="{middle}" transform="rotate(-90 14 {middle})" text-anchor="middle">{escape(y_label)}</text>',
    ]


def _x(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * (_HEIGHT - _BOTTOM - _TOP), 1)
