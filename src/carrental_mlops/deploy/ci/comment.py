"""The comment on a merge request: what the gate said, figures and curves against the champion, what the cluster gets.

Curves are Mermaid charts, which GitLab and GitHub draw themselves: no image has to be kept anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from carrental_mlops.deploy.ci.run_record import Line, RunRecord

MARK = "<!-- crm -->"
"""First line of each comment, by which it is known."""
LONGEST = 60_000
"""Characters; GitHub takes 65,536, GitLab a million."""
_POINTS = 21
_CHARTS = {
    "pr": ("Precision over recall", "recall", "precision"),
    "roc": ("ROC", "false positive rate", "true positive rate"),
}


def comment(record: RunRecord | None, diffs: Mapping[str, str]) -> str:
    """Markdown.

    Args:
        record: of the training on the sample; None where it did not get so far.
        diffs: what it is about, such as `staging`, to the Markdown of `crm diff`.
    """
    parts = [MARK, "## crm", *_run(record), *_diffs(diffs)]
    text = "\n\n".join(parts) + "\n"
    return shortened(text, "… cut here: the rest stands in the files of the job.")


def shortened(text: str, rest: str) -> str:
    """Markdown within `LONGEST`: cut after a line, an open code fence closed; `rest` says where all of it is."""
    if len(text) <= LONGEST:
        return text
    end, fence = f"\n\n{rest}\n", "\n```"
    head = text[: LONGEST - len(fence) - len(end)]
    lines = head.rpartition("\n")[0]
    cut = lines if len(lines) > LONGEST // 2 else head
    return cut + (fence if cut.count("```") % 2 else "") + end


def _run(record: RunRecord | None) -> Iterator[str]:
    if record is None:
        yield "**The training on the sample did not come to its end**: see the job `sample`."
        return
    failed = [check for check in record.checks if check.startswith("not met: ")]
    yield f"**Gate: refused.** {_plain(record.refused)}" if record.refused else "**Gate: passed.**"
    versus = f"champion {record.champion.version}" if record.champion else "no champion"
    yield f"Trained by `{record.pipeline}`, measured on {record.rows:,} rows ({record.positives:,} positive), {versus}."
    if record.problem:
        yield f"The champion could not be measured: {_plain(record.problem)}"
    yield "\n".join(_table(record))
    yield from _charts(record)
    listed = "\n".join(f"- {_plain(check)}" for check in sorted(record.checks, key=lambda one: one not in failed))
    yield f"<details><summary>{len(record.checks)} rules, {len(failed)} not met</summary>\n\n{listed}\n\n</details>"


def _table(record: RunRecord) -> Iterator[str]:
    ours, theirs = record.candidate.metrics, record.champion.metrics if record.champion else {}
    if not theirs:
        yield from ("| metric | candidate |", "|---|---:|")
        yield from (f"| {name} | {_number(value)} |" for name, value in ours.items())
        return
    yield from ("| metric | candidate | champion | difference | interval |", "|---|---:|---:|---:|---|")
    for name, value in ours.items():
        other = theirs.get(name, math.nan)
        low, high = record.differences.get(name, (math.nan, math.nan))
        span = "" if math.isnan(low) else f"{low:+.4g} to {high:+.4g}"
        yield f"| {name} | {_number(value)} | {_number(other)} | {_number(value - other, '+')} | {span} |"


def _charts(record: RunRecord) -> Iterator[str]:
    for name, (title, x, y) in _CHARTS.items():
        ours = record.candidate.curves.get(name)
        theirs = record.champion.curves.get(name) if record.champion else None
        if ours is None:
            continue
        second = f", second line: champion {record.champion.version}" if record.champion and theirs else ""
        lines = [f"    line [{_evenly(one)}]" for one in (ours, theirs) if one]
        drawn = [
            "```mermaid", "xychart-beta", f'    title "{title} (first line: candidate{second})"',
            f'    x-axis "{x}" 0 --> 1', f'    y-axis "{y}" 0 --> 1', *lines, "```",
        ]  # fmt: skip
        yield "\n".join(drawn)


def _evenly(line: Line) -> str:
    """The values of `line` at evenly spaced places, for the chart knows no others."""
    import numpy as np

    return ", ".join(f"{value:.3f}" for value in np.interp(np.linspace(0, 1, _POINTS), line.x, line.y))


def _diffs(diffs: Mapping[str, str]) -> Iterator[str]:
    for name, text in diffs.items():
        yield f"### {name}\n\n{text.strip() or 'Nothing would change.'}"


def _number(value: float, sign: str = "") -> str:
    return "not measured" if math.isnan(value) else f"{value:{sign}.4g}"


def _plain(text: str | None) -> str:
    """`text` with nothing that Markdown or HTML would act on: it may hold names of the team's own columns."""
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else {"<": "&lt;", "&": "&amp;"}.get(c, c) for c in text or "")
