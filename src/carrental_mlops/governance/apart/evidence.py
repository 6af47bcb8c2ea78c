"""What registry and releases say of a repo's service; run by `process.py` in another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from carrental_mlops.core.repo import open_repo
from carrental_mlops.deploy.releases.evidence import gate_evidence, load_test_evidence
from carrental_mlops.deploy.releases.release import ModelRef
from carrental_mlops.deploy.releases.store import ReleaseStore
from carrental_mlops.errors import CrmError
from carrental_mlops.integrations.mlflow_client import has_registry
from carrental_mlops.integrations.mlflow_registry import RegisteredModel, registry_for


def look(root: Path) -> dict[str, Any]:
    """`champion` with its gate and load test, `release` (the last of the last environment), `unread`: what cannot be.

    Each is None where there is none.
    """
    repo = open_repo(root)
    unread: list[str] = []
    champion = release = None
    context = repo.context()
    if has_registry(context):
        try:
            found = registry_for(context).champion()
            champion = _champion(root, repo.config, found) if found else None
        except CrmError as error:
            unread.append(f"the registry: {error.what}")
    last = repo.config.last
    try:
        place = open_repo(root, last).config.deploy.releases
        stored = ReleaseStore(root, place).last(last)
        release = stored.release.model_dump(mode="json") if stored else None
    except CrmError as error:
        unread.append(f"the releases of {last}: {error.what}")
    return {"champion": champion, "release": release, "unread": unread}


def _champion(root: Path, config: Any, model: RegisteredModel) -> dict[str, Any]:
    gate = gate_evidence(model)
    ref = ModelRef(name=config.service, version=model.version, digest=model.digest)
    files = [path for pattern in (".crm/ci/*/summary.json", ".crm/ci/*/*/summary.json") for path in root.glob(pattern)]
    load = load_test_evidence(root, config.slo, ref, files) if config.slo.p99_ms else None
    return {
        "version": model.version,
        "digest": model.digest,
        "registered_at": model.registered_at,
        "package": model.tags.get("crm.package_version"),
        "gate": gate.model_dump(mode="json") if gate else None,
        "load_test": load.model_dump(mode="json") if load else None,
    }
