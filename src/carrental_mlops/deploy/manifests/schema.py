"""`values.schema.json` of the chart, made from the models of its values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from carrental_mlops.assets import asset_dir
from carrental_mlops.deploy.manifests.values import Values

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def values_schema() -> dict[str, Any]:
    """The JSON schema of `Values`, in serialised form: every key is there, no other."""
    return {"$schema": DIALECT, **Values.model_json_schema(mode="serialization")}


def schema_text() -> str:
    """`values_schema` as the file holds it."""
    return json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n"


def schema_file() -> Path:
    """Where the chart has it."""
    return asset_dir("helm") / "model-service" / "values.schema.json"


if __name__ == "__main__":
    schema_file().write_text(schema_text())
