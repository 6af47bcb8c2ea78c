"""Open Inference Protocol v2 over gRPC: the messages.

`open_inference_pb2.py` and its `.pyi` are made from `open_inference.proto`, at the root of the repository:

    python -m grpc_tools.protoc -I src --python_out=src --pyi_out=src \\
        src/carrental_mlops/serving/oip/open_inference.proto
"""
