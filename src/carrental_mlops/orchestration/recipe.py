"""What a run was made of, kept beside it in MLflow so that it can be made again."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from carrental_mlops.core.binding import with_defaults
from carrental_mlops.core.context import Context
from carrental_mlops.core.fingerprint import fingerprint
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.step import StepConfig

RECIPE, OUTPUTS = "crm/recipe.json", "crm/outputs.json"
"""Artefacts of an MLflow run: `Recipe`, and slot to output to sha256."""
_LOCKS = ("uv.lock", "requirements.txt", "requirements/*.txt")


@dataclass(frozen=True)
class Recipe:
    """Everything that a result follows from, the data aside."""

    seed: int
    env: str
    python: str
    """Version."""
    packages: Mapping[str, str]
    """Installed distribution to version."""
    lock: Mapping[str, str]
    """Lock file of the repo to sha256."""
    code: Mapping[str, str]
    """Slot to the fingerprint of its class, without config."""
    config: Mapping[str, Mapping[str, Any]]
    """Slot to every value of its config."""
    source: Mapping[str, str] = field(default_factory=dict)
    """Package version, template and its version, git commit and whether the tree differed from it."""

    def fingerprint(self) -> str:
        """sha256 (hex) of the code and config of every step: equal where the same would be computed from equal data."""
        return hashlib.sha256(json.dumps([self.code, self.config, self.seed], sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def recipe_of(pipeline: type[Pipeline], configs: Mapping[str, StepConfig], context: Context) -> Recipe:
    """What a run of `pipeline` here and now is made of.

    Args:
        pipeline: the class.
        configs: slot name to config; a slot that is absent takes its defaults.
        context: seed, environment and repo of the run.
    """
    from carrental_mlops.files import file_digest
    from carrental_mlops.integrations.code_version import code_tags

    locks = sorted(path for pattern in _LOCKS for path in context.root.glob(pattern))
    return Recipe(
        seed=context.seed,
        env=context.env,
        python=platform.python_version(),
        packages=installed(),
        lock={path.relative_to(context.root).as_posix(): file_digest(path) for path in locks},
        code={slot: fingerprint(cls) for slot, cls in pipeline.slots().items()},
        config={slot: value.model_dump(mode="json") for slot, value in with_defaults(pipeline, configs).items()},
        source=code_tags(context.root),
    )


def installed() -> dict[str, str]:
    """Every distribution on the import path and its version, by the names of their metadata folders.

    What a distribution carries inside itself is left out: it comes onto the path only while it is used.
    """
    found: dict[str, str] = {}
    for place in (p for p in sys.path if p and not p.endswith("_vendor")):
        for folder in sorted(Path(place).glob("*.dist-info")):
            name, _, version = folder.name.removesuffix(".dist-info").partition("-")
            found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))
