"""Where a model repo begins."""

from __future__ import annotations

from pathlib import Path

from carrental_mlops.errors import ConfigError


def find_repo(start: Path | None = None) -> Path:
    """The nearest folder, from `start` upwards, that holds `config/crm.yaml`.

    Raises:
        ConfigError: there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "config" / "crm.yaml").is_file():
            return folder
    raise ConfigError(
        f"{start} is not inside a model repo: no config/crm.yaml here or above", "cd into one, or: crm new"
    )
