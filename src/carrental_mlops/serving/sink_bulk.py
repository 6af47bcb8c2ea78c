"""The audit straight into OpenSearch or Elasticsearch: an index a day, so that whole days are removed in time.

Source: https://docs.opensearch.org/latest/api-reference/document-apis/bulk/
"""

from __future__ import annotations

import base64
import http.client
from collections.abc import Sequence
from typing import Any

import orjson

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.ship import HttpSink

_THERE = 409
"""An event of this id is there: it was sent just before a crash."""


class BulkSink(HttpSink):
    """A document an event, under the event's id, in `<prefix>-<yyyy.mm.dd>`.

    Args:
        url: ends with `/<prefix>/_bulk`, such as `https://search:9200/audit-personal/_bulk`.
        credentials: `USER:PASSWORD`; None sends none.
        timeout_s: for each read and write of the socket.
    """

    def __init__(self, url: str, credentials: str | None = None, timeout_s: float = 30) -> None:
        base, _, self._prefix = url.removesuffix("/_bulk").rpartition("/")
        super().__init__(f"{base}/_bulk", None, timeout_s)
        self._headers = {"content-type": "application/x-ndjson"}
        if credentials:
            self._headers["authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"

    def send(self, lines: Sequence[bytes]) -> None:
        """One request; an event that is there already counts as sent.

        Raises:
            PlatformError: no answer, another than 2xx, or an event that the index does not take.
        """
        body = b"".join(self._action(line) + line.rstrip(b"\n") + b"\n" for line in lines)
        try:
            status, said = self._post(body)
        except (OSError, http.client.HTTPException) as error:
            raise PlatformError(f"{self._shown}: {error or type(error).__name__}", "is it up?", True) from None
        if not 200 <= status < 300:
            raise PlatformError(f"{self._shown} answered {status}", "see its log; 401: the credentials", True)
        refused = [item for item in map(_refusal, orjson.loads(said)["items"]) if item]
        if refused:
            what = f"{self._shown} did not take {len(refused)} of {len(lines)} events: {refused[0]}"
            raise PlatformError(what, "compare the index template (helm/platform/files/mappings.json)", True)

    def _action(self, line: bytes) -> bytes:
        event = orjson.loads(line)
        index = f"{self._prefix}-{event['time'][:10].replace('-', '.')}"
        return orjson.dumps({"create": {"_index": index, "_id": event["id"]}}) + b"\n"


def _refusal(item: dict[str, Any]) -> str | None:
    made = item["create"]
    if 200 <= made["status"] < 300 or made["status"] == _THERE:
        return None
    return f"{made['status']} {made['error']['type']}"  # its reason may quote the event
