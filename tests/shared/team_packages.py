"""A team's package with a template, as an installer leaves it: a module's folder and metadata with an entry point."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from carrental_mlops.scaffold.compose import REPO_FOLDER
from carrental_mlops.scaffold.team_compose import FROM

PACKAGE = "risk-templates"
TEMPLATE = "churn-batch"
README = '{% include "crm/README.md" %}\nOurs.\n'


def team_package(
    site: Path,
    version: str = "1.0",
    files: Mapping[str, str | bytes] | None = None,
    told: Mapping[str, object] | None = None,
    *,
    distribution: str = "Risk_Templates",
    module: str = "risk_templates.churn",
    name: str = TEMPLATE,
) -> Path:
    """`site` as if the package were installed there; returns the template's folder. Importing the package fails."""
    folder = site.joinpath(*module.split("."))
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('a template package was imported')\n")
    questions = {FROM: "fraud-realtime", "_summary": "Of the risk team.", **(told or {})}
    (folder / "cookiecutter.json").write_text(json.dumps(questions))
    for path, text in (files if files is not None else {"README.md": README, "extra.txt": "one\n"}).items():
        place = folder / REPO_FOLDER / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode() if isinstance(text, str) else text)
    for old in site.glob(f"{distribution}-*.dist-info/*"):
        old.unlink()
        if not any(old.parent.iterdir()):
            old.parent.rmdir()
    about = site / f"{distribution}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(f"[carrental_mlops.templates]\n{name} = {module}\n")
    return folder


def wheel(site: Path, folder: Path, version: str) -> Path:
    """What lies in `site` as a wheel."""
    folder.mkdir(exist_ok=True)
    made = folder / f"risk_templates-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path in sorted(p for p in site.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(site).as_posix())
    return made
