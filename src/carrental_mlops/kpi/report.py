"""A report as Markdown, and as one HTML page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from carrental_mlops.kpi.overview import Overview
from carrental_mlops.kpi.sections import Section, sections

_STYLE = """
:root{color-scheme:light}
body{font:14px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;margin:.6rem 0;display:block;overflow-x:auto}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd;white-space:nowrap}
svg{max-width:100%;height:auto}figure{margin:.5rem 0}figcaption{color:#555}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page loads nothing and runs nothing.

Source: W3C, Content Security Policy Level 3.
"""


def title(told: Overview) -> str:
    """The report's first line."""
    return f"From idea to production: week to {told.at:%Y-%m-%d}"


def as_markdown(told: Overview) -> str:
    """The report as GitLab and GitHub show it."""
    lines = [f"# {title(told)}"]
    for one in sections(told):
        lines += ["", f"## {one.title}", ""]
        lines += [f"- {_plain(said)}" for said in one.said]
        if one.rows:
            lines += [""] if one.said else []
            lines += ["| " + " | ".join(map(_plain, one.head)) + " |", "|" + "---|" * len(one.head)]
            lines += ["| " + " | ".join(map(_plain, row)) + " |" for row in one.rows]
    return "\n".join(lines) + "\n"


def as_html(told: Overview) -> str:
    """The report as one page, charts inline."""
    name = escape(title(told))
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head>'
    )
    body = "".join(part for one in sections(told) for part in _html(one))
    return f"{head}<body><h1>{name}</h1>{body}</body></html>\n"


def _html(one: Section) -> Iterator[str]:
    yield f"<h2>{escape(one.title)}</h2>"
    if one.said:
        yield f"<ul>{''.join(f'<li>{escape(said)}</li>' for said in one.said)}</ul>"
    if one.chart:
        label = one.chart.partition('aria-label="')[2].partition('"')[0]
        yield f"<figure>{one.chart}<figcaption>{label}</figcaption></figure>"
    if one.rows:
        yield f"<table><thead><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in one.head)}</tr></thead><tbody>"
        for row in one.rows:
            yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        yield "</tbody></table>"


def _plain(text: str) -> str:
    """`text` with what Markdown would take for markup or a cell's end put out of action."""
    marked = "".join(f"\\{letter}" if letter in "\\|`*_[]<>" else letter for letter in text)
    return " ".join(marked.split())
