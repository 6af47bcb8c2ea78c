"""Charts of a report as inline SVG, in days and counts; `integrations/plots.py` draws within 0 to 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from html import escape

from carrental_mlops.kpi.forecast import Forecast
from carrental_mlops.kpi.overview import Week

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 14, 36
_BLUE, _RED, _GREY, _GREEN = "#1f5fa8", "#c2571a", "#8a8a8a", "#3a7d44"


def stage_chart(stages: Mapping[str, float], past: float, goal: float) -> str:
    """One bar of stages end to end, against the past and the goal (days); empty where no stage is known."""
    total = sum(stages.values())
    if not stages:
        return ""
    scale = (_WIDTH - 124 - _RIGHT) / max(total, past, goal)
    body, x = [], 90.0
    for n, (name, spent) in enumerate(stages.items()):
        shade = 0.35 + 0.65 * n / max(len(stages) - 1, 1)
        title = f"<title>{escape(name)}: {spent:.1f} days</title>"
        body.append(f'<rect x="{x:.1f}" y="14" width="{spent * scale:.1f}" height="24" fill="{_BLUE}" '
                    f'fill-opacity="{shade:.2f}" stroke="#fff">{title}</rect>')  # fmt: skip
        x += spent * scale
    rows = (("medians", total, 14, None), ("goal", goal, 50, _GREEN), ("past", past, 86, _GREY))
    for name, value, y, colour in rows:
        body.append(_text(84, y + 17, name, "end"))
        if colour:
            body.append(f'<rect x="90" y="{y}" width="{value * scale:.1f}" height="24" fill="{colour}"/>')
        body.append(_text(94 + value * scale, y + 17, f"{value:.0f} d"))
    return _svg("days by stage against the goal and the past", body, 120)


def week_chart(weeks: Sequence[Week]) -> str:
    """Deployments of each week as bars, those that failed in another colour."""
    most = max([one.deployments for one in weeks] + [1])
    step = (_WIDTH - _LEFT - _RIGHT) / len(weeks)
    body = list(_levels(most))
    for n, one in enumerate(weeks):
        x = _LEFT + n * step + 4
        title = f"<title>to {one.ends}: {one.deployments} deployments, {one.failed} failed</title>"
        for count, colour in ((one.deployments, _BLUE), (one.failed, _RED)):
            top = _y(count, most)
            body.append(f'<rect x="{x:.1f}" y="{top:.1f}" width="{step - 8:.1f}" height="{_y(0, most) - top:.1f}" '
                        f'fill="{colour}">{title}</rect>')  # fmt: skip
        if n % 2 == 0:
            body.append(_text(x + step / 2 - 4, _HEIGHT - 18, f"{one.ends:%d %b}", "middle"))
    return _svg("deployments a week; failed ones in orange", body)


def forecast_chart(found: Forecast, today: date) -> str:
    """Features so far, the target's even line, and the 90 % interval at the end."""
    span, most = (found.end - found.start).days, max(found.high, found.target, 1)
    now = min((today - found.start).days, span)

    def x(day: float) -> float:
        return _LEFT + day / span * (_WIDTH - _LEFT - _RIGHT)

    start, here = f"{x(0):.1f},{_y(0, most):.1f}", f"{x(now):.1f},{_y(found.so_far, most):.1f}"
    end = x(span)
    fan = f"{here} {end:.1f},{_y(found.high, most):.1f} {end:.1f},{_y(found.low, most):.1f}"
    body = [
        *_levels(most),
        f'<polygon points="{fan}" fill="{_BLUE}" fill-opacity="0.2"/>',
        f'<polyline points="{start} {here}" stroke="{_BLUE}" stroke-width="2" fill="none"/>',
        f'<polyline points="{here} {end:.1f},{_y(found.expected, most):.1f}" stroke="{_BLUE}" stroke-dasharray="5 4" '
        'fill="none"/>',
        f'<polyline points="{start} {end:.1f},{_y(found.target, most):.1f}" stroke="{_GREEN}" fill="none"/>',
        _text(x(0), _HEIGHT - 18, f"{found.start}"),
        _text(end, _HEIGHT - 18, f"{found.end}", "end"),
    ]
    return _svg("features in production: so far, expected with 90 % interval (blue), target (green)", body)


def _levels(most: float) -> Iterator[str]:
    step = max(round(most / 4), 1)
    for value in range(0, int(most) + 1, step):
        at = _y(value, most)
        yield f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#e3e3e3"/>'
        yield _text(_LEFT - 6, at + 4, str(value), "end")


def _y(value: float, most: float) -> float:
    return _TOP + (1 - value / most) * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, said: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _svg(label: str, body: Sequence[str], height: int = _HEIGHT) -> str:
    opening = f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img"'
    return f'{opening} aria-label="{escape(label)}" font-size="11">{"".join(body)}</svg>'
