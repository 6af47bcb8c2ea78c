import bentoml
import numpy as np
from peer_model import predict


@bentoml.service(workers=1)
class Fraud:
    @bentoml.api
    def infer(self, inputs: list[dict]) -> dict:
        tensor = inputs[0]
        return {
            "outputs": [{"name": "score", "data": predict(np.array(tensor["data"]).reshape(tensor["shape"])).tolist()}]
        }
