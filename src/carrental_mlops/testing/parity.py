"""The same rows offline and through the service's own server, over a socket: the same answers, bit for bit."""

from __future__ import annotations

import http.client
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrental_mlops.config.serving import Serving
from carrental_mlops.core.arrays import Floats
from carrental_mlops.core.hook import where
from carrental_mlops.data.features import as_numbers
from carrental_mlops.data.model import Model
from carrental_mlops.errors import ContractError, DataError
from carrental_mlops.serving import ModelService
from carrental_mlops.serving.endpoint import Endpoint, FeatureReader, Identity
from carrental_mlops.serving.signature import Field, Signature

if TYPE_CHECKING:
    import pandas as pd

_STARTS_S, _ANSWERS_S = 30.0, 30.0
_ROWS = 256
_SHOWN = ("scores", "decisions", "reasons")
_IDENTITY = Identity("conformance", "1", "0" * 64)


def check_serving(
    service: type[ModelService],
    model: Model,
    rows: pd.DataFrame | Mapping[str, ArrayLike],
    *,
    label: str | None = None,
    reader: FeatureReader | None = None,
) -> None:
    """Hold that the server answers `rows` as `service(model).answer` does: all of them, and the first ones one by one.

    The real server, on a free port of this machine: bytes, protocol, schema, features, score, decision and reasons.
    Where `rows` hold every column of the model, as those of a training do, its score of them is the same too.

    Args:
        service: the repo's class.
        model: what answers.
        rows: (n,) values of each request field, and of each stored feature.
        label: the column that no request has.
        reader: reads stored features by entity id, such as `fakes.FakeReader`; None: the request brings them.

    Raises:
        ContractError: names the class, its file and line, the row, both answers, and the mend.
        DataError: `rows` lack a field of the service.
    """
    at = f"`{service.__name__}` ({where(service)})"
    signature = _signature(service, at, label, reader is None)
    offline = service(model).answer({name: _column(rows, name) for name in service.fields()})
    count = len(offline.scores)
    if all(name in rows for name in model.columns):
        _compare_trained(model.score(rows), offline.scores, at)
    sent = [field for field in signature.fields if field.name in rows]
    with served(service, model, signature, reader) as ask, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of numpy in the server's thread: errstate is a thread's own
        for start in range(0, count, _ROWS):
            _compare(ask, rows, sent, range(start, min(start + _ROWS, count)), offline, at)
        for n in range(min(count, 8)):
            _compare(ask, rows, sent, range(n, n + 1), offline, at)


def request_of(rows: Any, fields: Sequence[Field], places: Sequence[int]) -> dict[str, Any]:
    """A request of Open Inference Protocol v2: one tensor a field, the rows at `places`."""
    tensors = []
    for field in fields:
        values = [_plain(_column(rows, field.name)[n], field.datatype) for n in places]
        tensors.append({"name": field.name, "shape": [len(values)], "datatype": field.datatype, "data": values})
    return {"inputs": tensors}


@contextmanager
def served(
    service: type[ModelService], model: Model, signature: Signature, reader: FeatureReader | None = None
) -> Iterator[Any]:
    """`ask(request) -> (status, document)` of the service's real server, on a free port, while the block runs.

    Raises:
        ContractError: the server does not start; says why.
    """
    import orjson

    from carrental_mlops.serving.app import App
    from carrental_mlops.serving.server import Server, bound, config_of
    from carrental_mlops.serving.telemetry import Metrics

    settings = Serving(host="127.0.0.1", port=0, drain_s=0, deadline_ms=None, max_rows=_ROWS, max_body_kb=1 << 14)
    endpoint = Endpoint(_IDENTITY, service(model), signature, settings, reader)
    app = App(endpoint, Metrics(_IDENTITY.name, _IDENTITY.version, _IDENTITY.digest))
    listener, server = bound(settings), Server(config_of(app), app)
    thread = threading.Thread(target=_run, args=(server, listener), daemon=True)
    thread.start()

    def ask(request: dict[str, Any]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=_ANSWERS_S)
        try:
            body = orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY)
            connection.request("POST", f"/v2/models/{_IDENTITY.name}/infer", body)
            reply = connection.getresponse()
            return reply.status, orjson.loads(reply.read())
        finally:
            connection.close()

    try:
        ends = time.monotonic() + _STARTS_S
        while not server.started:  # it listens; the app is ready before that
            if app.failure is not None or not thread.is_alive() or time.monotonic() > ends:
                at = f"`{service.__name__}` ({where(service)})"
                raise ContractError(f"{at} does not start as a service: {app.failure!r}", "mend what it says") from None
            time.sleep(0.005)
        yield ask
    finally:
        server.should_exit = True
        thread.join(_STARTS_S)
        listener.close()


def _run(server: Any, listener: Any) -> None:
    try:
        server.run([listener])
    except SystemExit:  # uvicorn's, where the app did not start; `app.failure` says why
        return


def _signature(service: type[ModelService], at: str, label: str | None, stored: bool) -> Signature:
    if not hasattr(service, "schema"):
        raise ContractError(f"{at} names no schema, so nothing says what a request must hold", "schema = YourRow")
    columns = service.feature_set.stored_columns() if stored else ()
    signature = Signature(service.schema, columns, without=(label,) if label else ())
    missing = [name for name in (*service.feature_set.request, *service.decision_fields) if name not in signature.names]
    if missing:
        what = f"{at} reads `{missing[0]}`, which its schema {service.schema.__name__} ({where(service.schema)}) lacks"
        raise ContractError(what, f"declare it there: {missing[0]}: float; no request could hold it")
    return signature


def _compare(ask: Any, rows: Any, fields: Sequence[Field], places: range, offline: Any, at: str) -> None:
    status, told = ask(request_of(rows, fields, places))
    if status != 200:
        what = f"{at}: the service answers {status} to rows that it answers offline: {told.get('error')}"
        raise ContractError(what, "let schema and features take the same rows")
    outputs = {tensor["name"]: tensor["data"] for tensor in told["outputs"]}
    for attribute, name in zip(_SHOWN, ("score", "decision", "reason"), strict=True):
        here: NDArray[Any] = np.asarray(getattr(offline, attribute))[list(places)]
        for n, (mine, theirs) in enumerate(zip(here.tolist(), outputs[name], strict=True)):
            if mine != theirs:
                what = f"{at}: {name} of row {places[n]} is {theirs!r} served, {mine!r} offline"
                fix = "let the schema check values and not change them; answer each row from that row alone"
                raise ContractError(what, fix)


def _compare_trained(trained: Floats, offline: Floats, at: str) -> None:
    differing = np.flatnonzero(trained != offline)
    if len(differing):
        n = int(differing[0])
        what = f"{at}: row {n} scores {offline[n]!r} with the service's features, {trained[n]!r} with those in the rows"
        raise ContractError(what, "let training and service name one FeatureSet, which computes from the row alone")


def _column(rows: Any, name: str) -> Any:
    if name not in rows:
        raise DataError(f"the rows have no `{name}`, which the service reads", "give a column of each of its fields")
    values = rows[name]
    return values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)


def _plain(value: Any, datatype: str) -> Any:
    """One value as JSON holds it; missing is null, a time ISO 8601 in UTC."""
    if value is None or value != value:  # NaN and NaT are not equal to themselves
        return None
    if datatype == "BYTES":
        if isinstance(value, np.datetime64):
            return f"{value.astype('datetime64[us]')}Z"
        return value.isoformat() if isinstance(value, date) else str(value)
    if datatype == "INT64":
        return int(value)
    return bool(value) if datatype == "BOOL" else float(as_numbers(np.asarray([value]))[0])
