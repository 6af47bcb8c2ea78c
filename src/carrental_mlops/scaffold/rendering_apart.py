"""A template of another package, rendered in a process of its own that gets no environment and little of the machine.

The sandbox keeps a template from reading and running; this keeps it from taking: a loop without end, a text that
grows. The limits of memory and processes are the kernel's and hold on Linux; time and output are bounded everywhere.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.rendering import Rendered, Rendering, path_inside

CPU_S = 10
"""Time of the processor that one rendering may take (seconds)."""
WALL_S = 60
"""Time that it may take by the clock (seconds)."""
MEMORY_BYTES = 1 << 30
OUTPUT_BYTES = 64 << 20
_CODE = "import sys; sys.path[:0] = sys.argv[3:]; from carrental_mlops.scaffold.rendering_apart import main; main()"


def rendered_apart(folder: Path, answers: Mapping[str, str]) -> dict[str, Rendered]:
    """What `Rendering(folder).rendered(answers)` gives, made in a bounded process.

    Raises:
        TemplateError: the template does not render, or not within the bounds.
    """
    import carrental_mlops

    ours = str(Path(carrental_mlops.__file__).parents[1])
    with tempfile.TemporaryDirectory(prefix="crm-render-") as scratch:
        made = Path(scratch) / "made.json"
        command = [sys.executable, "-I", "-X", "utf8", "-c", _CODE, str(folder), str(made)]
        command += [] if ours in sys.path and "site-packages" in ours else [ours]
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and code
                command, input=json.dumps(dict(answers)), env={}, cwd=scratch, capture_output=True, text=True,
                timeout=WALL_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise _too_much(folder) from error
        if done.returncode:
            raise _told(folder, done.stderr)
        return _read(folder, made)


def main() -> None:
    """The process itself: template and place of the result in `sys.argv`, answers on stdin."""
    folder, made = Path(sys.argv[1]), Path(sys.argv[2])
    import jinja2.sandbox  # noqa: F401 - while nothing is bounded

    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, OUTPUT_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a system that does not know the limit
            resource.setrlimit(what, (most, most))
    try:
        found = Rendering(folder, apart=False).rendered(json.loads(sys.stdin.read()))
        told = [[p, base64.b64encode(f.content).decode(), f.executable] for p, f in found.items()]
        made.write_text(json.dumps(told))
    except TemplateError as error:
        sys.exit(json.dumps([error.what, error.fix]))


def _read(folder: Path, made: Path) -> dict[str, Rendered]:
    """The result, held again to what a template may write: the process may have been taken over."""
    try:
        told = json.loads(made.read_bytes())
        found = {str(p): Rendered(base64.b64decode(c), bool(executable)) for p, c, executable in told}
    except (OSError, ValueError, TypeError, binascii.Error) as error:
        raise _too_much(folder) from error
    for path in found:
        if path_inside(path, folder.name) != path:
            raise TemplateError(f"template {folder.name} renders to {path!r}", "mend that path in the template")
    return found


def _told(folder: Path, said: str) -> TemplateError:
    try:
        what, fix = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError, TypeError):
        return _too_much(folder)
    return TemplateError(str(what), str(fix))


def _too_much(folder: Path) -> TemplateError:
    most = f"{CPU_S} s of processor, {MEMORY_BYTES >> 30} GiB of memory, {OUTPUT_BYTES >> 20} MiB of text"
    return TemplateError(
        f"template {folder.name} takes more than it may to render ({most})",
        f"look for a loop or a text that grows in the template `{folder.name}`",
    )
