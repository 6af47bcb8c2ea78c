"""Why a request is scored as it is: what each feature adds, on demand."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import numpy as np

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.config.variables import online_url
from carrental_mlops.core.arrays import Floats
from carrental_mlops.data.model import Model
from carrental_mlops.errors import ConfigError
from carrental_mlops.integrations.shap import tree_explanation
from carrental_mlops.serving import protocol
from carrental_mlops.serving.app import Reply
from carrental_mlops.serving.load import Bundle, service_of
from carrental_mlops.serving.nodes.base import Asked, Node, Place, reply
from carrental_mlops.serving.online import open_reader
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.signature import Signature
from carrental_mlops.serving.telemetry import Metrics


class ShapExplainer(Node):
    """POST a request to `/v2/models/NAME/explain`: an output a feature of the model, (n,) in log-odds.

    Exact Shapley values by LightGBM (`pred_contrib`). With the output `base` they add up to the model's raw score,
    before calibration; `score` is the probability that the service answers. Stored features are read as the service
    reads them, or in place of its transformer. Nothing is decided or audited here.
    """

    kind = "explainer"
    calls = ("explain", "infer")

    class Settings(Frozen):
        """Where the stored features are, and how much at once."""

        source: Literal["store", "server"] | None = None
        """As of `serving.features`, where that says `request` because a transformer reads them; unset: as that says."""
        max_rows: int = 100
        """Most rows of one request; one takes up to some milliseconds."""

    def __init__(self, place: Place, settings: Settings) -> None:
        super().__init__(place, settings)
        config = place.config
        bundle, service = Bundle.read(place.wanted_bundle()), service_of(place.root, config)
        self._model = Model.load(bundle.folder, bundle.identity.digest)
        if self._model.booster is None:
            raise ConfigError(
                f"node `{place.name}`: the model is not LightGBM's, whose Shapley values are exact and quick",
                "take the explainer out of deploy.nodes",
            )
        self._identity, self._service = bundle.identity, service(self._model)
        policy = config.serving.features
        if settings.source:
            policy = policy.model_copy(update={"source": settings.source})
        stored = service.feature_set.stored_columns() if policy.source == "request" else ()
        self._signature = Signature(service.schema, stored, without=(config.columns.label,))
        known = bundle.identity
        self._metrics = Metrics(known.name, known.version, known.digest)
        self._reader = None
        if policy.source != "request" and service.feature_set.references():
            if bundle.online is None:
                what = f"node `{place.name}`: {bundle.folder} names no online store"
                raise ConfigError(what, "crm run features, then make the bundle again")
            store = online_url(config.feast.online)
            self._reader = open_reader(place.root, bundle.online, policy, store, self._metrics)

    async def start(self) -> None:
        """Connect to the online store."""
        if self._reader:
            await self._reader.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._reader:
            await self._reader.stop()

    def registries(self) -> tuple[Any, ...]:
        """Of the stored features."""
        return (self._metrics.registry,)

    def metadata(self) -> dict[str, Any]:
        """The service's fields in, a number a feature out."""
        fields = [{"name": f.name, "datatype": f.datatype, "shape": [-1]} for f in self._signature.fields]
        names = ("score", "base", *self._model.columns)
        outputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names]
        return {**super().metadata(), "versions": [self._identity.version], "inputs": fields, "outputs": outputs}

    async def answer(self, asked: Asked) -> Reply:
        """The contributions."""
        inference = protocol.read(asked.body, self._signature.names, self.settings.max_rows)
        numbers, values = self._signature.check(inference.columns, inference.rows)
        flags: tuple[str, ...] = ()
        if self._reader:
            stored = await self._reader.read(values, inference.rows)
            numbers, flags = {**numbers, **stored.columns}, stored.flags
        outputs = await asyncio.to_thread(self._explained, numbers)
        if unknown := [name for name in inference.wanted if name not in outputs]:
            raise Refusal(422, f"no output `{unknown[0][:256]}`", "outputs")
        tensors = [
            {"name": name, "shape": [inference.rows], "datatype": "FP64", "data": outputs[name]}
            for name in inference.wanted or outputs
        ]
        told = {"model_name": self.place.name, "model_version": self._identity.version, "id": inference.id}
        return reply({**told, "outputs": tensors, **({"parameters": {"flags": flags}} if flags else {})})

    def _explained(self, numbers: dict[str, Floats]) -> dict[str, Floats]:
        scores, columns = self._service.scored({}, numbers)
        rows = np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in self._model.columns])
        contributions, base = tree_explanation(self._model.booster, rows)
        return {"score": scores, "base": base, **dict(zip(self._model.columns, contributions.T, strict=True))}
