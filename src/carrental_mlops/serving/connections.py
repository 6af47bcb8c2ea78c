"""One client's connection: uvicorn's HTTP parser with a bounded queue and limits on what a client sends or delays.

An inference whose body is here is answered without ASGI between: no task where nothing is waited for, and head and
body in one write. That is a third of what a request costs.
"""

from __future__ import annotations

import http
import time
import types
from asyncio import Task, TimerHandle
from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from carrental_mlops.serving.app import JSON, App, Headers, Reply

_MAX_HEAD = 32 << 10
"""Bytes of a request line and its headers."""
_MAX_PIPELINE = 100
"""Requests that wait on one connection for the answer to the one before."""
_PER_TURN, _TURN_S = 8, 0.005
"""Inferences that begin in one turn of the event loop, fewer where a turn lasts longer (seconds): between turns new
requests are read and, if too many, shed."""
_HELD_S = 0.0005
"""Longest time (seconds) that an answer waits for those after it."""
_BODY = b'{"error":"the queue is full"}'
_SHED = (
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"content-length: %d\r\n%%b\r\n%b" % (len(_BODY), _BODY)
)
_SHED_OPEN, _SHED_CLOSE = _SHED % b"", _SHED % b"connection: close\r\n"
_STATUS = {int(s): f"HTTP/1.1 {int(s)} {s.phrase}\r\n".encode() for s in http.HTTPStatus}
_OK = _STATUS[200] + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
"""The usual answer, for which the general way takes 2 µs longer."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Queue:
    """The inferences of one worker: how many there are, and those that have not begun.

    A counter in the app would never fire: the model does not yield, so each request is done before the next is read.

    Args:
        limit: in work or waiting at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.inside, self._peak = limit, 0, 0
        self._begun, self._most, self._turned = 0, _PER_TURN, 0.0
        self._answers: list[tuple[Connection, bytes]] = []
        self._held_since = 0.0
        self.waiting: deque[tuple[Connection, RequestResponseCycle, Any]] = deque()

    def enter(self, connection: Connection, cycle: RequestResponseCycle, app: Any) -> bool:
        """Begin an inference now or in a later turn; False where there are too many."""
        if self.inside >= self.limit:
            return False
        self.inside += 1
        if self.inside > self._peak:
            self._peak = self.inside
        now = time.perf_counter()
        scope: Any = cycle.scope
        scope["crm.done"], scope["crm.started"] = self._leave, now
        if not self._begun:
            self._turned = now
        if self._begun < self._most:
            self._begin(connection, cycle, app)
        else:
            self.waiting.append((connection, cycle, app))
        return True

    def fullest(self) -> float:
        """The most that it held since the last call (share of its limit)."""
        peak, self._peak = self._peak, self.inside
        return peak / self.limit

    def _begin(self, connection: Connection, cycle: RequestResponseCycle, app: Any) -> None:
        if not self._begun:
            connection.loop.call_soon(self._turn)
        self._begun += 1
        connection.begin(cycle, app)

    def answer(self, connection: Connection, answer: bytes) -> None:
        """Write soon, with the other answers of this turn: to wake the clients once costs less than each time."""
        now = time.perf_counter()
        if not self._answers:
            self._held_since = now
            connection.loop.call_soon(self.flush)
        self._answers.append((connection, answer))
        if now - self._held_since > _HELD_S:
            self.flush()

    def flush(self) -> None:
        """Write what `answer` holds."""
        answers, self._answers = self._answers, []
        for connection, answer in answers:
            connection.transport.write(answer)

    def _turn(self) -> None:
        now = time.perf_counter()
        self._most = max(1, self._most // 2) if now - self._turned > _TURN_S else min(_PER_TURN, self._most * 2)
        self._begun, self._turned = 0, now
        while self.waiting and self._begun < self._most:
            self._begin(*self.waiting.popleft())

    def _leave(self) -> None:
        self.inside -= 1


class Connection(HttpToolsProtocol):
    """Sheds what the queue does not take, and closes on clients that are too slow or send too much.

    Times are of `config/serving.py`: `head_timeout_s` from a connection's or a head's first byte to the head's end,
    `keep_alive_s` between requests, `body_timeout_s` for what is left of a body after its answer, and for a client
    that does not read its answer.
    """

    service: ClassVar[App]
    queue: ClassVar[Queue]

    def connection_made(self, transport: Any) -> None:  # noqa: D102  (as the base's)
        super().connection_made(transport)
        self._fresh: tuple[RequestResponseCycle, Any] | None = None
        self._settings = self.service.endpoint.settings
        self._unfinished = self._in_head = False
        self._seen = 0
        self._unread: TimerHandle | None = None
        self._owed: TimerHandle | None = self.loop.call_later(self._settings.head_timeout_s, self._abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._received()
        self.resume_writing()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:  # noqa: D102
        self.queue.flush()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:  # noqa: D102
        self._close()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._seen += len(data)
        super().data_received(data)
        self._enter_fresh()
        if self.transport.is_closing():
            return
        idle = self.cycle is None or self.cycle.response_complete
        if self._in_head or (idle and (self._unfinished or self.timeout_keep_alive_task is None)):
            self._owe()
        else:
            self._received()

    def send_400_response(self, msg: str) -> None:  # noqa: D102
        if self._fresh is not None and not self._fresh[0].more_body:
            self._enter_fresh()
        self.queue.flush()  # the answers to the requests before it go first
        if self._in_head and self._seen > _MAX_HEAD:
            self.transport.write(_TOO_LARGE)
            self._close()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:  # noqa: D102
        super().on_message_begin()
        self._unfinished = self._in_head = True

    def on_headers_complete(self) -> None:  # noqa: D102
        if self._seen > _MAX_HEAD and len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > _MAX_HEAD:
            raise ValueError("the head is too large")
        self._in_head = False
        self._received()
        super().on_headers_complete()
        if len(self.pipeline) > _MAX_PIPELINE:
            self._abort()

    def on_message_complete(self) -> None:  # noqa: D102
        self._unfinished, self._seen = False, 0
        scope: Any = self.scope
        scope["crm.whole"] = True
        super().on_message_complete()

    def pause_writing(self) -> None:  # noqa: D102
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(self._settings.body_timeout_s, self._abort)

    def resume_writing(self) -> None:  # noqa: D102
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer an inference."""
        if cycle.more_body or self.flow.write_paused or cycle.scope["method"] != "POST":
            super()._start_asgi_task(cycle, app)
            return
        scope: Any = cycle.scope
        answer = self.service.infer(scope, bytes(cycle.body))
        if self.service.prompt:
            try:
                awaited = answer.send(None)
            except StopIteration as done:
                self._write(cycle, *done.value)
                return
            answer = _go_on(answer, awaited)
        task = self.loop.create_task(answer)
        self.tasks.add(cast("Task[None]", task))
        task.add_done_callback(lambda done: self._done(cycle, done))

    def _done(self, cycle: RequestResponseCycle, task: Task[Reply]) -> None:
        self.tasks.discard(cast("Task[None]", task))
        if task.cancelled():
            self._abort()
        else:
            self._write(cycle, *task.result())

    def _write(self, cycle: RequestResponseCycle, code: int, body: bytes, headers: Headers) -> None:
        if headers is JSON and code == 200 and not self.service.draining:
            self._complete(cycle, _OK % (len(body), body))
            return
        head = b"".join([b"%b: %b\r\n" % pair for pair in self.service.whole_head(headers, body)])
        cycle.keep_alive = cycle.keep_alive and not self.service.draining
        self._complete(cycle, b"%b%b\r\n%b" % (_STATUS[code], head, body))

    def _complete(self, cycle: RequestResponseCycle, answer: bytes) -> None:
        cycle.response_started = cycle.response_complete = True
        if cycle.disconnected:
            return
        self.queue.answer(self, answer)
        if not cycle.keep_alive:
            self.queue.flush()
            self._close()
        self.on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["path"] not in self.service.infer_paths:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._fresh = cycle, app  # its body may be in what is being parsed
        else:
            self._enter(cycle, app)

    def _enter_fresh(self) -> None:
        if self._fresh is not None:
            fresh, self._fresh = self._fresh, None
            self._enter(*fresh)

    def _enter(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not self.queue.enter(self, cycle, app):
            self._shed(cycle)

    def _shed(self, cycle: RequestResponseCycle) -> None:
        """Answered here and now: behind the requests in work, a refusal would be as late as an answer."""
        self.service.metrics.answered(429, 0)
        self.service.metrics.failed("queue_full")
        keep = cycle.keep_alive = cycle.keep_alive and not self.service.draining
        self._complete(cycle, _SHED_OPEN if keep else _SHED_CLOSE)

    def _owe(self) -> None:
        """The client owes the rest of a head, or of a body whose answer is written."""
        settings = self._settings
        if self._unfinished and not self._in_head:
            most, seconds = settings.max_body_kb << 10, settings.body_timeout_s
        else:
            most, seconds = _MAX_HEAD, settings.head_timeout_s
        if self._seen > most:
            self.queue.flush()
            if self._in_head:
                self.transport.write(_TOO_LARGE)
            self._close()
        elif self._owed is None:
            self._owed = self.loop.call_later(seconds, self._abort)

    def _received(self) -> None:
        if self._owed is not None:
            self._owed.cancel()
            self._owed = None

    def _close(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():  # else a client that does not read would keep it for ever
            self.loop.call_later(self._settings.body_timeout_s, self._abort)

    def _abort(self) -> None:
        self.transport.abort()


async def _go_on(begun: Coroutine[Any, Any, Reply], awaited: Any) -> Reply:
    """`await begun`, of a coroutine that has run up to where it waits for `awaited`."""
    return await _resumed(begun, awaited)


@types.coroutine
def _resumed(begun: Coroutine[Any, Any, Reply], awaited: Any) -> Generator[Any, Any, Reply]:
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:
                awaited = begun.throw(error)
            else:
                awaited = begun.send(sent)
    except StopIteration as done:
        return cast("Reply", done.value)


def connection_of(app: App) -> type[Connection]:
    """The connections of one worker, with a queue of their own."""
    queue = Queue(app.endpoint.settings.queue)
    app.gauges.fullest = queue.fullest
    return type("Bounded", (Connection,), {"service": app, "queue": queue})
