"""The service under seldon-core-microservice.

`seldon-core-microservice carrental_mlops.serving.runtimes.seldon.Model --service-type MODEL`, with the bundle's folder
in Seldon's parameter `model_uri`. It answers Seldon's own protocol, and Open Inference Protocol v2 over REST below /v2.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carrental_mlops.core.arrays import Values
from carrental_mlops.serving import protocol
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.runtimes.asgi_thread import AsgiThread
from carrental_mlops.serving.runtimes.opening import open_bundle

log = logging.getLogger("carrental_mlops.serving")


class Model:
    """One endpoint, answering as Seldon's model.

    Args:
        model_uri: folder of the bundle; where Seldon puts a model unless told otherwise.
    """

    def __init__(self, model_uri: str = "/mnt/models") -> None:
        self._bundle = Path(model_uri)

    def load(self) -> None:
        """Open the bundle and warm it up; Seldon calls it in each process that answers.

        Raises:
            ConfigError: as `open_bundle`.
            DataError: the bundle is incomplete.
            PlatformError: what the answers need is not there.
        """
        app = open_bundle(self._bundle)
        self._endpoint, self._running = app.endpoint, AsgiThread(app)
        self._running.start()
        atexit.register(self._running.stop)

    def predict_raw(self, message: Any) -> Any:
        """The endpoint's answer in Seldon's protocol.

        Args:
            message: `data` with `names` and `ndarray` or `tensor`, one row an answer and one name a field (none: all
                fields in the order of the metadata); a dict from REST, a SeldonMessage from gRPC.

        Returns:
            As it came, a dict or a SeldonMessage: `data` with names score, decision, reason and one row an answer.

        Raises:
            SeldonMicroserviceException: with the status of the endpoint's refusal; 500 says nothing of the inside.
        """
        try:
            if isinstance(message, Mapping):
                return self._answer(message)
            from seldon_core.utils import json_to_seldon_message, seldon_message_to_json

            return json_to_seldon_message(self._answer(seldon_message_to_json(message)))
        except Refusal as refusal:
            raise _told(refusal.message, refusal.status, "MICROSERVICE_BAD_DATA") from None
        except Exception:
            log.exception("a request failed")
            raise _told("the service failed; its log has the reason", 500, "MICROSERVICE_INTERNAL_ERROR") from None

    @property
    def model_error_handler(self) -> Any:
        """The paths below /v2; Seldon adds this Flask blueprint to its application, whatever it holds."""
        from flask import Blueprint, Response, request

        paths = Blueprint("open_inference", __name__)

        def answer(rest: str = "") -> Response:
            scope = {
                "method": request.method,
                "path": request.path,
                "query_string": request.query_string,
                "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in request.headers],
                "client": None,
            }
            status, headers, body = self._running.answer(scope, request.get_data())
            return Response(body, status, {k.decode("latin-1"): v.decode("latin-1") for k, v in headers})

        for path in ("/v2", "/v2/<path:rest>"):
            paths.add_url_rule(path, path, answer, methods=["GET", "POST"])
        return paths

    def _answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        endpoint, started = self._endpoint, time.perf_counter()
        document = _document(message, {field.name: field.datatype for field in endpoint.signature.fields})
        inference = protocol.read_document(
            document, memoryview(b""), endpoint.signature.names, endpoint.settings.max_rows
        )
        event, outputs = self._running.wait(endpoint.answer(inference, started))
        columns = [_listed(values) for _, values in outputs.values()]
        identity = event.model or endpoint.identity
        tags = {"model": identity.name, "version": identity.version, "id": event.id}
        if event.flags:
            tags["flags"] = ",".join(event.flags)
        return {
            "data": {"names": list(outputs), "ndarray": [list(row) for row in zip(*columns, strict=True)]},
            "meta": {"tags": tags},
        }


def _document(message: Mapping[str, Any], datatypes: Mapping[str, str]) -> dict[str, Any]:
    """The request as the protocol has it: one tensor a field, with the datatype of the signature."""
    data = message.get("data")
    if not isinstance(data, Mapping) or not ("ndarray" in data or "tensor" in data):
        raise Refusal(400, "`data` wants `names` and `ndarray` or `tensor`", "data")
    names, rows = data.get("names") or list(datatypes), _rows(data)
    if any(len(row) != len(names) for row in rows):
        raise Refusal(422, f"a row does not have {len(names)} values, one a name", "data")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
    meta = message.get("meta")
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": _values(name, kind, columns[name])}
        for name, kind in datatypes.items()
        if name in columns
    ]
    return {"id": (meta.get("puid") or None) if isinstance(meta, Mapping) else None, "inputs": tensors}


def _rows(data: Mapping[str, Any]) -> list[list[Any]]:
    if "ndarray" in data:
        rows = data["ndarray"]
        if not isinstance(rows, list) or not {list}.issuperset(map(type, rows)):
            raise Refusal(422, "`ndarray` wants a list of rows, each a list", "data")
        return rows
    tensor = data["tensor"]
    shape, values = (tensor.get("shape"), tensor.get("values")) if isinstance(tensor, Mapping) else (None, None)
    if not (isinstance(shape, list) and len(shape) == 2 and isinstance(values, list)):
        raise Refusal(422, "`tensor` wants `shape`, [rows, columns], and `values`", "data")
    width = int(shape[1])
    if width < 1 or int(shape[0]) * width != len(values):
        raise Refusal(422, "`tensor`: shape is not the size of values", "data")
    return [values[at : at + width] for at in range(0, len(values), width)]


def _values(name: str, datatype: str, values: tuple[Any, ...]) -> list[Any]:
    """Seldon's tensors and gRPC know no whole numbers: 7.0 stands for 7."""
    plain = protocol.plain(name, datatype, values)
    if datatype in protocol.NUMERIC and not datatype.startswith("FP"):
        return [int(v) if isinstance(v, float) and v.is_integer() else v for v in plain]
    return plain


def _listed(values: Values) -> list[Any]:
    return list(getattr(values, "tolist", lambda: values)())


def _told(message: str, status: int, reason: str) -> Exception:
    from seldon_core.flask_utils import SeldonMicroserviceException

    error: Exception = SeldonMicroserviceException(message, status_code=status, reason=reason)
    error.args = (message,)
    return error
