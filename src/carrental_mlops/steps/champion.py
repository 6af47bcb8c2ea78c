"""The model that serves now, for the candidate to be compared with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from pydantic import Field

from carrental_mlops.core import Step, StepConfig
from carrental_mlops.data.measures.drift import Bins, bins_from_json, bins_to_json
from carrental_mlops.data.model import Model
from carrental_mlops.errors import DataError

if TYPE_CHECKING:
    from carrental_mlops.integrations.mlflow import RegisteredModel, Registry

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


class ChampionConfig(StepConfig):
    """Which version is read."""

    version: str | None = None
    """A version of the registry; unset: the one that is champion now. `crm run --version` sets both."""
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of that version: another model under its number is refused."""


class ChampionStep(Step):
    """Reads the registry, which may change between two runs: never served from a cache. Hooks: none."""

    config: ChampionConfig
    cacheable: ClassVar[bool] = False

    @final
    def run(self) -> Champion:
        """The registered champion, or the version that is named; nothing where none was promoted.

        Raises:
            PlatformError: the registry cannot be reached.
            ConfigError: the version that is named does not exist.
            DataError: the registered files differ from their digest, or it is another model than the one named.
        """
        from carrental_mlops.integrations.mlflow import has_registry, registry_for

        if not has_registry(self.context):
            if self.config.version is not None:
                raise DataError(
                    f"model version {self.config.version} is named, and there is no registry here",
                    "set mlflow.tracking_uri to the registry that holds it",
                )
            return Champion()
        registry = registry_for(self.context)
        found = self._wanted(registry)
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

    def _wanted(self, registry: Registry) -> RegisteredModel | None:
        number, digest = self.config.version, self.config.digest
        if number is None:
            return registry.champion()
        found = registry.version(number)
        if digest is not None and found.digest != digest:
            raise DataError(
                f"version {number} is another model than the one that is named: the registry has digest "
                f"{found.digest[:12]}, not {digest[:12]}",
                "deploy a release of the model that the registry holds: crm deploy, or restore the registry",
            )
        return found
