"""Our service with a reader that asks Feast instead of the store: `python ours_by_feast.py REPO BUNDLE FEAST PORT`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from feast import FeatureStore

from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.load import open_app
from carrental_mlops.serving.server import bound, serve


class PlainFeast:
    """`get_online_features_async` a request."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.store, self.names = FeatureStore(folder), list(names)

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def read(self, values: Mapping[str, Sequence[Any]], rows: int) -> Stored:
        """As Feast answers, without policy, ages or metrics."""
        entities = [{"customer_id": customer} for customer in values["customer_id"]]
        asked = self.store.get_online_features_async(self.names, entities, full_feature_names=True)
        found = (await asked).to_dict()
        names = [name.replace(":", "__") for name in self.names]
        return Stored({name: np.array(found[name], dtype=np.float64) for name in names}, {})


def main() -> None:
    repo, bundle, feast, port = sys.argv[1:]
    sets = (f"serving.port={port}", 'serving.audit.kind="off"', "serving.drain_s=0")
    app = open_app(Path(repo), Path(bundle), None, sets)
    endpoint = dataclasses.replace(
        app.endpoint, reader=PlainFeast(Path(feast), app.endpoint.service.feature_set.references())
    )
    app.endpoint = endpoint
    serve(app, bound(endpoint.settings))


if __name__ == "__main__":
    main()
