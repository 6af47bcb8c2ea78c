"""Both sides of an upgrade as whole templates, also where the template is one of a team's package."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from carrental_mlops.errors import ConfigError, TemplateError
from carrental_mlops.files import file_digest
from carrental_mlops.scaffold.ownership import Recorded, TemplatePackage
from carrental_mlops.scaffold.team_compose import team_compose
from carrental_mlops.scaffold.team_templates import TeamTemplate, one_spelling, team_template, template_folder
from carrental_mlops.scaffold.versions import Material, cached_folder, folder_digest, unpack_wheel

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!]*")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def template_sides(recorded: Recorded, old: Material, new: Material, *, trust: bool = False) -> tuple[Path, Path]:
    """The template that a repo stands on and the one to go to, whole.

    A team's package goes from the version that the repo names to the installed one; the earlier one comes from the
    folder `CRM_WHEELS`, the cache or the index, and none of its code is run.

    Args:
        recorded: what `.crm.json` says.
        old: the version of this package that the repo stands on.
        new: the one to go to.
        trust: also a package that `CRM_TEMPLATE_PACKAGES` does not name.

    Raises:
        TemplateError: no such template, or it is refused.
        ConfigError: a version is gone.
        PlatformError: the index does not answer.
    """
    if recorded.package is None:
        return old.template(recorded.template), new.template(recorded.template)
    now = installed_team(recorded, trust=trust)
    assert now.folder is not None  # noqa: S101 - `team_template` gives none without
    package = TemplatePackage(now.distribution, now.version)
    then = now.folder if package == recorded.package else _earlier(recorded.template, recorded.package)
    return whole(recorded.template, recorded.package, then, old), whole(recorded.template, package, now.folder, new)


def installed_team(recorded: Recorded, *, trust: bool = False) -> TeamTemplate:
    """The installed package's template that a repo of a team's template stands on.

    Raises:
        TemplateError: it is not installed, is another package's, or is not allowed.
    """
    wanted = recorded.package
    assert wanted is not None  # noqa: S101 - asked of those alone
    found = team_template(recorded.template, trust=trust)
    if found is None or found.distribution != wanted.name:
        raise TemplateError(
            f"this repo was made from `{recorded.template}` of {wanted.name}, which is not installed",
            f"uv pip install {wanted.name}",
        )
    return found


def whole(name: str, package: TemplatePackage, theirs: Path, ours: Material) -> Path:
    """A team's template on a version of ours, composed once into the cache.

    Raises:
        TemplateError: it is refused.
        PlatformError: the cache cannot be written.
    """
    parts = (name, package.name, package.version, ours.version)
    digests = (folder_digest(theirs), folder_digest(ours.assets / "templates"))
    key = hashlib.sha256("\0".join((*parts, *digests)).encode()).hexdigest()[:16]
    return cached_folder(f"composed-{key}/{name}", lambda into: _compose(name, package, theirs, ours, into))


def _compose(name: str, package: TemplatePackage, theirs: Path, ours: Material, into: Path) -> None:
    team_compose(name, package, theirs, ours.template, ours.version, into)


def _earlier(template: str, package: TemplatePackage) -> Path:
    name, version = one_spelling(package.name), package.version
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
        raise ConfigError(f".crm.json names `{name}` {version}, which is no package", "git checkout -- .crm.json")
    wheels = os.environ.get("CRM_WHEELS")
    found = sorted(Path(wheels).glob(f"{name.replace('-', '_')}-{version}-*.whl")) if wheels else []
    if found:
        root = cached_folder(
            f"{name}-{version}-{file_digest(found[0])[:16]}", lambda into: unpack_wheel(found[0], into)
        )
    else:
        root = cached_folder(f"{name}-{version}", lambda into: _from_index(name, version, into))
    folder = template_folder(template, root)
    if folder is None:
        raise ConfigError(f"{name} {version} has no template `{template}`", "put a wheel that has it into CRM_WHEELS")
    return folder


def _from_index(name: str, version: str, into: Path) -> None:
    from carrental_mlops.integrations.own_package import install_alone

    install_alone(version, into, name)
