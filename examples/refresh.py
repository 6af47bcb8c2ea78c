"""Write `examples/fraud-payments/` anew: the template as rendered now, with `fraud-payments.patch` on it.

    python examples/refresh.py

The patch is what a team would have edited: one hook of one step, its setting, and the slot that runs it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from carrental_mlops.scaffold.render import new_repo

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "fraud-payments"


def render_into(folder: Path) -> Path:
    """The example as it should be, without its git, in `folder`."""
    made = new_repo("fraud-realtime", {}, folder).path
    subprocess.run(["git", "apply", str(HERE / "fraud-payments.patch")], cwd=made, check=True)
    shutil.rmtree(made / ".git")
    return made


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        fresh = render_into(Path(scratch))
        shutil.rmtree(EXAMPLE, ignore_errors=True)
        shutil.copytree(fresh, EXAMPLE)
    print(f"wrote {EXAMPLE}")
