"""The same model over gRPC: ours against MLServer, 16 callers in one process with the protocol's own messages."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import serving_http as http
import serving_setup as setup
from measure import alternate, verdict
from serving_setup import Peer

CALLERS = 16


async def _ask(port: int, seconds: float) -> int:
    import grpc

    from carrental_mlops.serving.oip.open_inference_pb2 import ModelInferRequest, ModelInferResponse

    request = ModelInferRequest(model_name="fraud")
    tensor = request.inputs.add(name="x", datatype="FP64", shape=[1, setup.FEATURES])
    tensor.contents.fp64_contents.extend(setup.sample(1))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelInferResponse.FromString,
        )
        until, answered = time.perf_counter() + seconds, 0

        async def caller() -> None:
            nonlocal answered
            while time.perf_counter() < until:
                reply = await infer(request)
                answered += len(reply.outputs) > 0

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return answered


def cost(peer: Peer, port: int, folder: Path, seconds: float) -> float:
    """CPU seconds of the server's processes per answer."""
    with http.running(peer, folder) as (pids, _):
        asyncio.run(_ask(port, 1))
        before = http.cpu_of(pids())
        answered = asyncio.run(_ask(port, seconds))
        return (http.cpu_of(pids()) - before) / answered


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        setup.model(place)
        setup.repo(place / "repo")
        peers = {peer.name: peer for peer in http.servers(place)}
        ours = peers["ours, audit best_effort"]
        ours.command.extend(["--set", "serving.grpc_port=18130"])
        mine, theirs = alternate(
            lambda: cost(ours, 18130, place, args.seconds),
            lambda: cost(peers["MLServer"], 18114, place, args.seconds),
            runs=args.repetitions,
        )
    figures = f"{mine * 1e6:.0f} us | MLServer | {theirs * 1e6:.0f} us | {theirs / mine:.2f}x"
    found = f">= 1.5x | {verdict('>= 1.5x', theirs / mine)}"
    print(
        f"| gRPC, CPU a request (ratio: peer / ours) | {figures} | {found} | ours with checks and best-effort audit |"
    )
