"""Work that imports the repo or heavy libraries, in a process of its own: `python -m` this module.

What the repo prints at import stays out of the answer, and a crash of its code ends that process alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from carrental_mlops.errors import PlatformError
from carrental_mlops.integrations.fresh_python import fresh_python

Work = Literal["hooks", "evidence"]
_LONGEST_S = 240
_TOLD = 400


def ask(work: Work, root: Path) -> Any:
    """What the process says of the repo at `root`, as plain values.

    Raises:
        PlatformError: it did not end in time, or died.
    """
    with tempfile.TemporaryDirectory(prefix="crm-check-") as folder:
        answer = Path(folder) / "answer.json"
        arguments = ["-m", __name__, work, str(root), str(answer)]
        try:
            done = fresh_python(arguments, folder=root, limit_s=_LONGEST_S)
        except subprocess.TimeoutExpired as error:
            what = f"looking at {work} took longer than {_LONGEST_S} s"
            raise PlatformError(what, "see what the repo's modules do at import", retryable=True) from error
        if done.returncode or not answer.is_file():
            said = done.stderr.strip()[-_TOLD:] or f"it ended with {done.returncode}"
            raise PlatformError(f"looking at {work} failed: {said}", "crm doctor says what is missing here")
        return json.loads(answer.read_text(encoding="utf-8"))


def _main(work: str, root: Path, answer: Path) -> None:
    if work == "hooks":
        from carrental_mlops.governance.apart.hooks import look
    else:
        from carrental_mlops.governance.apart.evidence import look  # type: ignore[assignment]
    told = look(root)
    answer.write_text(json.dumps(told, default=str), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
