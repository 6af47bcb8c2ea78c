"""A gateway as a process of its own: OpenTelemetry's own SDK opens a span and hands its context on, as Envoy does.

python traced_gateway.py PORT UPSTREAM COLLECTOR
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


class _Handler(BaseHTTPRequestHandler):
    upstream: str
    tracer: trace.Tracer

    def do_GET(self) -> None:
        self._told(204, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        above = propagate.extract({name.lower(): value for name, value in self.headers.items()})
        with self.tracer.start_as_current_span("gateway", above, trace.SpanKind.SERVER):
            headers = {"content-type": "application/json"}
            propagate.inject(headers)
            request = urllib.request.Request(self.upstream + self.path, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    self._told(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._told(error.code, error.read())

    def _told(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main(port: str, upstream: str, collector: str) -> None:
    """Pass requests on until killed."""
    provider = TracerProvider(resource=Resource.create({"service.name": "gateway"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(collector)))
    _Handler.upstream, _Handler.tracer = upstream, provider.get_tracer("gateway")
    ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
