"""`crm trace`: one request, from the audit and from its spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo

if TYPE_CHECKING:
    from carrental_mlops.deploy.observe.spans import Span

app = verb()


@app.command(epilog="Example: crm trace 4bf92f3577b34da6a3ce929d0e0e4736 --env prod")
def trace(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of a trace, a request or an event of the audit.")],
    traces: Annotated[
        str | None, typer.Option(metavar="URL", help="Jaeger or Tempo; default: `serving.traces.query`.")
    ] = None,
    env: Env = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """What was answered to one request, and where its time went."""
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.observe.spans import spans_of
    from carrental_mlops.errors import DataError
    from carrental_mlops.serving.audit_log import traced

    found = open_repo(repo, env)
    events, trace_ids = traced(found.root / found.config.serving.audit.folder, name)
    url = traces or found.config.serving.traces.query
    spans = [span for trace_id in trace_ids for span in spans_of(url, trace_id)] if url else []
    if not events and not spans:
        where = "the audit holds" if url is None else "the audit and the traces hold"
        fix = "serving.traces.query, or --traces URL, also asks for spans; what was shipped is at the audit's sink"
        raise DataError(f"{where} nothing of {name}", fix)
    if as_json:
        show_json({"events": events, "spans": [asdict(span) for span in spans]})
    else:
        _show(events, spans, url is None)


def _show(events: list[dict[str, Any]], spans: list[Span], unasked: bool) -> None:
    from carrental_mlops.cli.terminal import show_table
    from carrental_mlops.deploy.observe.spans import nested

    for event in events:
        data = event["data"]
        typer.echo(
            f"{event['time']}  request {data['request']}, model {data['model']['name']} {data['model']['version']}"
        )
        for n, decision in enumerate(data["decision"]):
            typer.echo(f"  {decision}, score {data['score'][n]:.4f}, {data['reason'][n] or 'no reason'}")
        ages = ", ".join(f"{view} {age / 3600:.1f} h" for view, age in data["ages"].items() if age is not None)
        typer.echo(f"  flags: {' '.join(data['flags']) or 'none'}; stored features: {ages or 'none'}")
    if spans:
        begun = spans[0].start
        rows = [
            (f"{1e3 * (s.start - begun):.2f}", f"{s.ms:.2f}", s.service, "  " * deep + s.name, _told(s.attributes))
            for deep, s in nested(spans)
        ]
        show_table(("at ms", "took ms", "service", "span", "attributes"), rows)
    elif unasked:
        typer.echo("spans: serving.traces.query, or --traces URL, says where", err=True)


def _told(attributes: Any) -> str:
    return " ".join(
        f"{name}={value}" for name, value in attributes.items() if not name.startswith(("otel.", "internal."))
    )
