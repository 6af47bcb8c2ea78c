"""The index templates of helm/platform, put into a running OpenSearch."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

from carrental_mlops.assets import asset_dir
from carrental_mlops.deploy.manifests.helm import render

CHART = asset_dir("helm") / "platform"


def put_templates(url: str, times: int = 1) -> None:
    """What the chart's job does, so often; retention aside, whose plugin the test's OpenSearch lacks."""
    spec = importlib.util.spec_from_file_location("put_templates", CHART / "files" / "put_templates.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    objects = render({}, "platform", "monitoring", CHART)
    (data,) = [o["data"] for o in objects if o["metadata"]["name"] == "opensearch-templates"]
    templates = module.templates(json.loads(data["mappings.json"]), json.loads(data["indices.json"]))
    for _ in range(times):
        for name, template in templates.items():
            module.put(f"{url}/_index_template/{name}", template)
