"""What is installed beside the service."""

from __future__ import annotations

import functools
from importlib.metadata import distributions


@functools.cache
def dependencies() -> dict[str, str]:
    """Name and version of each installed package, by name."""
    return dict(sorted((found.name.lower(), found.version) for found in distributions() if found.name))
