"""Records of vulnerabilities in the OSV format."""

from __future__ import annotations

import datetime
from typing import Any


def osv_record(name: str, package: str, fixed: str, **more: Any) -> dict[str, Any]:
    """A record of a vulnerability of every version below `fixed`."""
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    affected = [{"package": {"name": package, "ecosystem": "PyPI"}, "ranges": ranges}]
    return {"id": name, "modified": f"{datetime.date.today()}T00:00:00Z", "affected": affected, **more}
