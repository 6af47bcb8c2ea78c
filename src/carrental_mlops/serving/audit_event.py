"""An answer as the audit writes it: a CloudEvent on one line, in which only what the policy allows stands in the clear.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from carrental_mlops.serving.endpoint import Event, Identity

MASK = "***"
"""Stands for a value that the policy does not let into the audit in the clear."""
TYPE = "com.carrental.inference.v1"
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


class Rendering:
    """An event as one line of JSON, masked.

    Args:
        identity: the model that answers.
        clear: request fields kept in the clear; stored features, being aggregates, always are.
        show_caller: keep who asked in the clear.
    """

    def __init__(self, identity: Identity, clear: Sequence[str] = (), show_caller: bool = False) -> None:
        self._clear, self._show_caller = frozenset(clear), show_caller
        self._own = _told(identity)

    def __call__(self, event: Event) -> bytes:
        """The line, with its end."""
        answer = event.answer
        shown = self._clear
        source, model = self._own if event.model is None else _told(event.model)
        envelope: dict[str, Any] = {
            "specversion": "1.0",
            "id": event.event_id,
            "source": source,
            "type": TYPE,
            "time": datetime.fromtimestamp(event.time, UTC),
            "datacontenttype": "application/json",
            "data": {
                "request": event.id,
                "model": model,
                "inputs": {n: v if n in shown else MASK for n, v in event.inputs.items()},
                "features": event.features,
                "ages": event.ages,
                "score": answer.scores,
                "decision": answer.decisions.tolist(),
                "reason": answer.reasons,
                "flags": event.flags,
                "caller": event.caller if self._show_caller or event.caller is None else MASK,
            },
        }
        if event.trace and _TRACE(event.trace):
            envelope["traceparent"] = event.trace
        return json_line(envelope)


def _told(identity: Identity) -> tuple[str, dict[str, str]]:
    told = {"name": identity.name, "version": identity.version, "digest": identity.digest}
    return f"/models/{identity.name}/versions/{identity.version}", told


def json_line(value: Any) -> bytes:
    """`value` as one line of JSON; what JSON lacks is written as text, arrays as lists, NaN as null."""
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    try:
        return orjson.dumps(value, default=str, option=option)
    except TypeError:  # a whole number over 64 bits
        return orjson.dumps(_shortened(value), default=str, option=option)


def _shortened(value: Any) -> Any:
    """The same with whole numbers over 64 bits as text, which a contract reads alike."""
    if isinstance(value, Mapping):
        return {name: _shortened(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value
