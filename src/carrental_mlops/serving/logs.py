"""The service's log: one JSON object a line on stderr, without a value of any request, with the id of its trace."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

from carrental_mlops.serving.traceparent import CURRENT


class JsonLines(logging.Formatter):
    """time, level, logger, message; `trace_id` where a request that has a trace is being answered.

    Of an exception its class and places, for its text may hold a request's values.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if traced := CURRENT.get():
            told["trace_id"] = traced.trace_id
        if record.exc_info and record.exc_info[0]:
            told |= {"error": record.exc_info[0].__name__, "places": _places(record.exc_info[1])}
        return orjson.dumps(told, default=str).decode()


def _places(error: BaseException | None) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__) if error else []
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def log_to_stderr() -> None:
    """Send every logger's warnings, and this package's information, to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("carrental_mlops").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
