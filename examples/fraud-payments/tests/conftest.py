# Managed by crm. Fixtures of your own go into a conftest.py beside your tests.
"""Where the repo lies; quiet, repeatable runs."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of this repo."""
    return Path(__file__).parents[1]
