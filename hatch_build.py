"""Puts composed templates into the wheel."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ComposeTemplates(BuildHookInterface):  # type: ignore[misc, type-arg]
    """Each flavour laid over the base, at `carrental_mlops/_assets/templates/<flavour>`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compose into a temporary folder and add it to the wheel; an editable install needs none."""
        if version == "editable":
            return
        root = Path(self.root)
        sys.path.insert(0, str(root / "src"))
        from carrental_mlops.scaffold.compose import compose, files_of, flavours

        self._folder = tempfile.TemporaryDirectory()
        for name in flavours(root / "templates"):
            made = compose(
                root / "templates", name, root / "requirements", self.metadata.version, Path(self._folder.name) / name
            )
            for path in files_of(made):
                build_data["force_include"][str(made / path)] = f"carrental_mlops/_assets/templates/{name}/{path}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        if version != "editable":
            self._folder.cleanup()
