"""What a client is told when a request is not answered."""

from __future__ import annotations


class Refusal(Exception):
    """A request that gets no answer, in the words of HTTP.

    Args:
        status: 400 unreadable, 401 not known, 403 not told, 404 no such path, 405 method, 408 too slow, 413 too
            large, 415 content type, 422 a field does not fit, 429 queue full, 503 not ready or not auditable,
            504 deadline.
        message: one sentence for the client; holds no value of the request and nothing of the server's inside.
        field: the field that is wrong, if one is.
        cause: one word for `crm_failures_total`, where the service is to blame (5xx, 429).
    """

    def __init__(self, status: int, message: str, field: str | None = None, cause: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.field = status, message, field
        self.cause = cause or {429: "queue_full", 504: "deadline"}.get(status, "refused")
