"""What a team writes: an MLServer runtime that asks Feast for the customer's features, then the booster."""

import os
from pathlib import Path

import lightgbm
import numpy as np
from feast import FeatureStore
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Fraud(MLModel):
    async def load(self) -> bool:
        folder = Path(os.environ["BENCH"])
        self.booster = lightgbm.Booster(model_file=folder / "model.txt")
        self.names = (folder / "features.txt").read_text().split()
        self.store = FeatureStore(folder / "feast")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        sent = {tensor.name: NumpyCodec.decode_input(tensor).ravel() for tensor in payload.inputs}
        entities = [{"customer_id": int(customer)} for customer in sent["customer_id"]]
        asked = {"features": self.names, "entity_rows": entities, "full_feature_names": True}
        if os.environ["FEAST_CALL"] == "async":
            found = (await self.store.get_online_features_async(**asked)).to_dict()
        else:
            found = self.store.get_online_features(**asked).to_dict()
        stored = [np.array(found[name.replace(":", "__")], dtype=float) for name in self.names]
        scores = self.booster.predict(np.column_stack([sent["amount_eur"], *stored]), num_threads=1)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])
