"""Environment variables that go before a value of crm.yaml."""

from __future__ import annotations

import os

REDIS_URL = "CRM_REDIS_URL"
"""`redis://user:password@host:port/db` (`rediss://` for TLS) of the online store."""


def online_url(configured: str | None = None) -> str | None:
    """URL of the online store: CRM_REDIS_URL, else `configured` (`feast.online` of crm.yaml), else None for SQLite."""
    return os.environ.get(REDIS_URL) or configured
