"""What the batch job reads and writes in S3, as the settings of its steps name it: the bounds of its IAM role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.deploy import Batch
from carrental_mlops.deploy.manifests.batch import ANSWERS

_BUCKET = "s3://"


def batch_access(config: RepoConfig) -> dict[str, list[str]] | None:
    """`service.batch` of the Terraform module; None where crm.yaml has no batch job.

    Returns:
        `reads` and `writes`, `s3://bucket/key` or `s3://bucket/prefix*`, sorted, each once; `key_arns`.
    """
    job = config.deploy.batch
    if job is None:
        return None
    reads: set[str] = set()
    writes: set[str] = set()
    for key, url in _urls(config, job):
        if key == "output":
            writes.add(re.sub(r"\{[^}]*\}", "*", url))
        else:
            reads.update(_readable(url))
    return {"reads": sorted(reads), "writes": sorted(writes), "key_arns": list(config.deploy.infra.batch_key_arns)}


def _urls(config: RepoConfig, job: Batch) -> Iterator[tuple[str, str]]:
    """(setting, `s3://` address) of every step that the job may run; of the steps that answer, only its own."""
    others = set(ANSWERS.values()) - {ANSWERS.get(name) for name in job.pipelines}
    for name in job.pipelines:
        own = config.pipelines[name].steps if name in config.pipelines else {}
        for slot in (config.steps.keys() | own.keys()) - others:
            settings: dict[str, Any] = {**config.steps.get(slot, {}), **own.get(slot, {})}
            for key, value in settings.items():
                if isinstance(value, str) and value.startswith(_BUCKET):
                    yield key, value


def _readable(url: str) -> set[str]:
    """What `S3Objects` may fetch of an address: below a glob's fixed part or a prefix; a key, and what is below it."""
    fixed = re.split(r"[*?\[]", url, maxsplit=1)[0]
    if fixed != url or url.endswith("/"):
        return {f"{fixed}*"}
    return {url, f"{url}/*"}
