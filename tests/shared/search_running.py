"""A real OpenSearch of one node on this machine, from Maven's jars, which are kept in the user's cache."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from background_program import answers, free_port, process

_HERE = Path(__file__).parent / "search_node"


def _jars() -> Path:
    """Folder of OpenSearch's jars; 200 MB are fetched the first time."""
    for name in ("java", "mvn"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not here: apt-get install default-jdk-headless maven")
    home = pwd.getpwuid(os.getuid()).pw_dir  # HOME is the test's own
    folder = Path(os.environ.get("XDG_CACHE_HOME", f"{home}/.cache")) / "crm-tests" / "opensearch-2.19.0"
    if not (folder / ".whole").is_file():
        command = ["mvn", "-q", "-B", f"-Duser.home={home}", "-f", str(_HERE / "pom.xml")]
        fetched = subprocess.run(
            [*command, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if fetched.returncode:
            pytest.skip(f"OpenSearch's jars cannot be fetched: {fetched.stdout[-300:]}")
        (folder / ".whole").touch()
    return folder


@contextmanager
def opensearch(folder: Path) -> Iterator[str]:
    """Its URL, until the block ends.

    Args:
        folder: for its data.
    """
    jars, port = _jars(), free_port()
    (folder / "config").mkdir(parents=True)
    command = ["java", "-Xmx512m", "-cp", f"{jars}/*", str(_HERE / "SearchNode.java"), str(folder), str(port)]
    url = f"http://127.0.0.1:{port}"
    with process(folder, "said", *command) as started:
        answers(url, 240, started, folder / "said.log")
        yield url
