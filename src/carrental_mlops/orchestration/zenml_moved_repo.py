"""Cached steps of a repo that was moved or copied: ZenML's cache keys hold the path of the store they were made in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_STEPS = 500
"""Newest completed steps that are looked at; older ones run again in the new place."""


def follow(client: Any, home: Path, before: Path) -> int:
    """How many steps can be taken from the cache again after the ZenML home `before` became `home`.

    The key of each step is made anew by ZenML itself, and only where the old place gives the key that is stored.

    Args:
        client: ZenML's, with the store at `home` open.
        home: where the store lies now.
        before: where it lay.
    """
    store = client.active_stack.artifact_store
    if not Path(store.path).is_relative_to(home):
        return 0
    then = str(before / Path(store.path).relative_to(home))
    keys = []
    for step in _completed(client):
        if step.cache_key == _key(client, step, store, then):
            keys.append((_key(client, step, store, store.path), step.id.hex))
    database = home / "local_stores" / "default_zen_store" / "zenml.db"
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.executemany("UPDATE step_run SET cache_key = ? WHERE id = ?", keys)
    return len(keys)


def _completed(client: Any) -> list[Any]:
    from zenml.enums import ExecutionStatus

    page = client.list_run_steps(
        status=ExecutionStatus.COMPLETED, sort_by="desc:created", size=_STEPS, hydrate=True, cache_expired=False
    )
    return list(page.items)


def _key(client: Any, step: Any, store: Any, path: str) -> str:
    from zenml.orchestrators.cache_utils import generate_cache_key

    place: Any = SimpleNamespace(id=store.id, path=path, custom_cache_key=store.custom_cache_key)
    order = [*step.spec.normalized_inputs, *step.inputs]
    inputs = {name: step.inputs[name] for name in order if name in step.inputs}
    return generate_cache_key(step, inputs, place, client.active_project.id)
