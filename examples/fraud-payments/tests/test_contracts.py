# Managed by crm.
"""The conformance kit on all that this repo names, a test a check: pipelines, settings, features, service, schema."""

from pathlib import Path

import pytest
from carrental_mlops.testing import Check, checks


@pytest.mark.parametrize("check", checks(Path(__file__).parents[1]), ids=str)
def test_the_repo_conforms(check: Check) -> None:
    check()
