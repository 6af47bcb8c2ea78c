"""The process of one node of an inference graph.

    python -m carrental_mlops.serving.nodes.server --repo DIR --name NODE [--bundle DIR] [--env E] [--set key=value]...

One process: a node scales by replicas. Drain, limits and exit codes are those of the service. KServe's controller adds
`--model_name --predictor_host --predictor_protocol --http_port --workers` to a transformer's container; they are taken.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from carrental_mlops.errors import CrmError

log = logging.getLogger("carrental_mlops.serving.nodes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the node; the exit code."""
    from carrental_mlops.serving.logs import log_to_stderr

    parser = argparse.ArgumentParser(prog="carrental_mlops.serving.nodes.server", description="Run a node of a graph.")
    parser.add_argument("--repo", type=Path, required=True, help="root of the model repo")
    parser.add_argument("--name", required=True, help="of the node, in deploy.nodes")
    parser.add_argument("--bundle", type=Path, help="folder of the model, for the nodes that want one")
    parser.add_argument("--env", help="environment of crm.yaml; default: the first")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE", help="repeatable")
    parser.add_argument("--predictor_host", help="host[:port] that a transformer asks itself (KServe)")
    parser.add_argument("--http_port", type=int, help=argparse.SUPPRESS)
    for other in ("--model_name", "--predictor_protocol", "--workers"):
        parser.add_argument(other, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    log_to_stderr()
    try:
        return _run(given)
    except CrmError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace) -> int:
    from carrental_mlops.serving.nodes.opening import open_node
    from carrental_mlops.serving.server import bound, serve

    port = () if given.http_port is None else (f"serving.port={given.http_port}",)
    bundle = given.bundle.resolve() if given.bundle else None
    app = open_node(given.repo.resolve(), given.name, bundle, given.env, (*given.sets, *port), given.predictor_host)
    listener = bound(app.endpoint.settings)
    log.info("%s listens on %s:%s", given.name, *listener.getsockname()[:2])
    serve(app, listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
