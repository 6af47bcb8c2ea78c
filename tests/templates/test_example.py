"""`examples/fraud-payments` is the template as it is now plus its patch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_is_the_rendered_template_and_its_patch(tmp_path: Path) -> None:
    code = "import sys, pathlib, refresh; refresh.render_into(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=EXAMPLES, check=True)
    fresh, kept = tmp_path / "fraud-payments", EXAMPLES / "fraud-payments"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."]
    names = subprocess.run(listed, cwd=kept, capture_output=True, text=True, check=True).stdout.split()
    made = sorted(p.relative_to(fresh).as_posix() for p in fresh.rglob("*") if p.is_file())
    fix = "python examples/refresh.py"
    assert sorted(n for n in names if (kept / n).exists()) == made, fix
    assert [p for p in made if (fresh / p).read_bytes() != (kept / p).read_bytes()] == [], fix
