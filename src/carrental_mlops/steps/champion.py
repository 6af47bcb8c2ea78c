"""The model that serves now, for the candidate to be compared with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, final

from carrental_mlops.core import Step
from carrental_mlops.data.measures.drift import Bins, bins_from_json, bins_to_json
from carrental_mlops.data.model import Model
from carrental_mlops.errors import DataError

PROFILE = "profile.json"
"""File beside a registered model: how its training data was spread."""
INTERFACE = "interface.json"
"""File beside a registered model: what its callers rely on (`serving.interface`)."""
_MANIFEST = "champion.json"


@dataclass(frozen=True, eq=False)
class Champion:
    """The champion, or nothing: `model` and `version` are None together."""

    model: Model | None = None
    version: str | None = None
    profile: Mapping[str, Bins] = field(default_factory=dict)
    """Feature name to how the champion's training data was spread."""
    digest: str = ""
    """`Registration.digest` of the version."""
    interface: str = ""
    """What its callers rely on, as `serving.interface.to_text` wrote it; empty where nothing was recorded."""

    def save(self, folder: Path) -> None:
        """Write into `folder`, the model under `model/`."""
        folder.mkdir(parents=True, exist_ok=True)
        digest = self.model.save(folder / "model") if self.model else None
        manifest = {"version": self.version, "model": digest, "digest": self.digest, "interface": self.interface}
        (folder / _MANIFEST).write_text(json.dumps(manifest))
        (folder / PROFILE).write_text(bins_to_json(self.profile))

    @classmethod
    def load(cls, folder: Path) -> Champion:
        """What `save` wrote into `folder`.

        Raises:
            DataError: a file is missing or is not what was saved.
        """
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            version, saved, digest = manifest["version"], manifest["model"], manifest["digest"]
            told = manifest["interface"]
            profile = bins_from_json((folder / PROFILE).read_text())
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{folder}: not a saved champion: {error!r}", "crm run training") from error
        return cls(Model.load(folder / "model", saved) if saved else None, version, profile, digest, told)


class ChampionStep(Step):
    """Reads the registry, which may change between two runs: never served from a cache. Hooks: none."""

    cacheable: ClassVar[bool] = False

    @final
    def run(self) -> Champion:
        """The registered champion; nothing where no registry exists yet or none was promoted.

        Raises:
            PlatformError: the registry cannot be reached.
            DataError: the registered files differ from their digest.
        """
        from carrental_mlops.integrations.mlflow import has_registry, registry_for

        if not has_registry(self.context):
            return Champion()
        registry = registry_for(self.context)
        found = registry.champion()
        if found is None:
            return Champion()
        with tempfile.TemporaryDirectory(prefix="crm-champion-") as scratch:
            folder = registry.fetch(found.version, Path(scratch) / "model")
            profile = folder / PROFILE
            spread = bins_from_json(profile.read_text()) if profile.exists() else {}
            told = (folder / INTERFACE).read_text() if (folder / INTERFACE).exists() else ""
            champion = Champion(Model.load(folder, found.digest), found.version, spread, found.digest, told)
        self.context.param("champion_version", found.version)
        return champion
