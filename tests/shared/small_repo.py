"""The least that is a model repo, and `crm` in this process."""

from __future__ import annotations

from pathlib import Path

from carrental_mlops.cli.main import main

CONFIG = """service: payments
package: payments
owner: a@example.com
tier: 3
columns: {id: payment_id, time: paid_at, label: is_fraud, entities: [customer_id]}
"""


def small_repo(root: Path) -> Path:
    """`root`, with a crm.yaml of the service `payments`."""
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(CONFIG)
    return root


def crm(*arguments: str) -> int:
    """The exit code of the command."""
    try:
        return main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
