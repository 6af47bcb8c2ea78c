"""What comes by environment variables and mounted secrets, not by crm.yaml."""

from __future__ import annotations

import os
from pathlib import Path

from carrental_mlops.errors import ConfigError

REDIS_URL = "CRM_REDIS_URL"
"""`redis://user:password@host:port/db` (`rediss://` for TLS) of the online store."""
REDIS_URL_FILE = "CRM_REDIS_URL_FILE"
"""A file that holds such a URL, as a secret is mounted into a container."""


def online_url(configured: str | None = None) -> str | None:
    """URL of the online store: CRM_REDIS_URL, else what the file CRM_REDIS_URL_FILE holds, else `configured`
    (`feast.online` of crm.yaml), else None for SQLite.

    Raises:
        ConfigError: the file cannot be read.
    """
    if given := os.environ.get(REDIS_URL):
        return given
    if not (file := os.environ.get(REDIS_URL_FILE)):
        return configured
    try:
        return Path(file).read_text().strip() or configured
    except OSError as error:
        fix = f"mount the secret there, or unset {REDIS_URL_FILE}"
        raise ConfigError(f"{REDIS_URL_FILE} names {file}, which cannot be read: {error.strerror}", fix) from error


def fits_a_header(token: str) -> bool:
    """Whether a header of HTTP may hold `token`: ASCII that prints, without a blank."""
    return token.isascii() and token.isprintable() and " " not in token
