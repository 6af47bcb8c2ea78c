"""Templates of other packages: found by entry point without an import, and taken from those that are allowed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from carrental_mlops.errors import TemplateError

GROUP = "carrental_mlops.templates"
"""Name of a template to the module whose folder holds it, such as `churn-batch = "risk_templates.churn_batch"`."""
ALLOWED = "CRM_TEMPLATE_PACKAGES"
"""The setting: names of distributions, with commas; a template of any other one needs `--trust`."""
NO_CODE = "--trust takes a package's texts, and never runs its code"
"""What `--trust` does not do, for who asks it of a template that is refused."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class TeamTemplate:
    """One template of another package."""

    name: str
    distribution: str
    """In one spelling: lower case, with `-`."""
    version: str
    folder: Path | None
    """Holds `cookiecutter.json`; None where the installed package has no such folder."""

    @property
    def allowed(self) -> bool:
        """Whether the setting names the package."""
        return self.distribution in {one_spelling(n) for n in os.environ.get(ALLOWED, "").split(",") if n.strip()}


def team_templates() -> list[TeamTemplate]:
    """Every template that an installed package offers, sorted by name; nothing of the packages is imported."""
    found = (_template(entry) for entry in metadata.entry_points(group=GROUP))
    return sorted((t for t in found if t is not None), key=lambda t: (t.name, t.distribution))


def team_template(name: str, *, trust: bool = False) -> TeamTemplate | None:
    """The template of that name of another package, None where no package has one.

    Args:
        name: of the entry point.
        trust: also of a package that the setting does not name.

    Raises:
        TemplateError: its package is not allowed, two packages have one of that name, or it lacks its folder.
    """
    found = [t for t in team_templates() if t.name == name]
    if not found:
        return None
    if len(found) > 1:
        both = " and ".join(t.distribution for t in found)
        raise TemplateError(f"{both} both have a template `{name}`", f"uv pip uninstall {found[-1].distribution}")
    made = found[0]
    if not (made.allowed or trust):
        raise TemplateError(
            f"template `{name}` is of {made.distribution} {made.version}, which {ALLOWED} does not name",
            f"read what it writes, then: export {ALLOWED}={made.distribution}, or once: --trust (its texts; hooks and "
            "extensions are refused all the same)",
        )
    if made.folder is None:
        raise TemplateError(
            f"{made.distribution} {made.version} has no folder with cookiecutter.json for its template `{name}`",
            f'name the module whose folder holds it under [project.entry-points."{GROUP}"]',
        )
    return made


def template_folder(name: str, root: Path) -> Path | None:
    """The folder of template `name` in an unpacked wheel, by the entry points that it declares."""
    for told in sorted(root.glob("*.dist-info")):
        for entry in metadata.Distribution.at(told).entry_points.select(group=GROUP, name=name):
            return _folder(entry.value, [root])
    return None


def one_spelling(distribution: str) -> str:
    """A distribution's name, normalised. Source: packaging.python.org, name normalization."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def _template(entry: metadata.EntryPoint) -> TeamTemplate | None:
    from_ = entry.dist
    if from_ is None or not _named(from_) or not _NAME.fullmatch(entry.name):
        return None
    if one_spelling(from_.name) == "carrental-mlops":
        return None
    folder = _folder(entry.value, list(_roots(from_)))
    return TeamTemplate(entry.name, one_spelling(from_.name), from_.version, folder)


def _named(of: metadata.Distribution) -> bool:
    """Whether an installer left the package's name; where the metadata is empty, newer libraries raise."""
    try:
        return bool(of.metadata["Name"])
    except Exception:
        return False


def _roots(of: metadata.Distribution) -> Iterator[Path]:
    """Where the modules of a distribution lie: site-packages, or the sources of an editable installation."""
    yield Path(str(of.locate_file("")))
    try:
        origin = json.loads(of.read_text("direct_url.json") or "{}")
        editable, url = bool(origin.get("dir_info", {}).get("editable")), str(origin.get("url", ""))
    except (ValueError, AttributeError):  # written by another installer: not for us to mend
        return
    if editable and url.startswith("file:"):
        source = Path(unquote(urlparse(url).path))
        yield from (source / "src", source)


def _folder(module: str, roots: list[Path]) -> Path | None:
    if not _MODULE.fullmatch(module):
        return None
    for root in roots:
        place = root.joinpath(*module.split("."))
        if (place / "cookiecutter.json").is_file() and place.resolve().is_relative_to(root.resolve()):
            return place
    return None
