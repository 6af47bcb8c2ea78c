"""Which templates there are, and each one as a folder that cookiecutter can render."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.assets import asset_dir
from carrental_mlops.errors import TemplateError, nearest
from carrental_mlops.scaffold.compose import BASE, QUESTIONS, compose, flavours
from carrental_mlops.scaffold.ownership import TemplatePackage
from carrental_mlops.scaffold.rendering import FOREIGN
from carrental_mlops.scaffold.team_compose import team_compose
from carrental_mlops.scaffold.team_templates import TeamTemplate, team_template, team_templates


@dataclass(frozen=True)
class Question:
    """One thing a template asks."""

    name: str
    prompt: str
    """What a person reads."""
    default: str
    """A Jinja expression of the answers before it, or plain text."""
    choices: tuple[str, ...] = ()
    """Allowed answers; none for free text."""


@dataclass(frozen=True)
class Template:
    """One entry of the catalogue."""

    name: str
    summary: str
    version: str
    """Of this package, which carries it or what it stands on."""
    questions: tuple[Question, ...]
    package: TemplatePackage | None = None
    """The package of a team that it comes from; None where it is one of ours."""

    @property
    def origin(self) -> str:
        """`risk-templates 1.2.0 on carrental-mlops 0.1.0`, or ours alone."""
        ours = f"carrental-mlops {self.version}"
        return f"{self.package.name} {self.package.version} on {ours}" if self.package else ours


def names() -> list[str]:
    """Names of this package's templates, sorted."""
    return flavours(asset_dir("templates"))


def catalogue() -> list[Template]:
    """All templates of this package, sorted by name."""
    return [find(name) for name in names()]


def find(name: str, *, trust: bool = False) -> Template:
    """One template, described. Raises as `template_dir` does."""
    with template_dir(name, trust=trust) as folder:
        return describe(folder)


@contextmanager
def template_dir(name: str, *, trust: bool = False) -> Iterator[Path]:
    """The whole cookiecutter template, there until the block ends; ours goes before a team's of the same name.

    Args:
        name: of the template.
        trust: also from a package that `CRM_TEMPLATE_PACKAGES` does not name.

    Raises:
        TemplateError: there is none of that name (says which is closest), or its package is not allowed.
    """
    with tempfile.TemporaryDirectory(prefix="crm-template-") as scratch:
        if name in names():
            yield _ours(name, Path(scratch))
            return
        team = team_template(name, trust=trust)
        if team is None:
            known = [*names(), *(t.name for t in team_templates())]
            raise TemplateError(f"no template `{name}` in carrental-mlops {__version__}", nearest(name, known))
        yield team_dir(team, Path(scratch))


def team_dir(team: TeamTemplate, scratch: Path) -> Path:
    """A team's template on the installed version of ours, whole, in a folder below `scratch`.

    Raises:
        TemplateError: the template is refused.
    """
    assert team.folder is not None  # noqa: S101 - `team_template` gives none without
    package = TemplatePackage(team.distribution, team.version)

    def ours(base: str) -> Path:
        if base not in names():
            raise TemplateError(f"template {team.name} stands on `{base}`, which is not here", nearest(base, names()))
        return _ours(base, scratch)

    return team_compose(team.name, package, team.folder, ours, __version__, scratch / "team" / team.name)


def _ours(name: str, scratch: Path) -> Path:
    sources = asset_dir("templates")
    if not (sources / BASE).is_dir():
        return sources / name
    return compose(sources, name, asset_dir("requirements"), __version__, scratch / name)


def describe(folder: Path) -> Template:
    """What a composed template asks and says of itself."""
    told: dict[str, Any] = json.loads((folder / QUESTIONS).read_text(encoding="utf-8"))
    prompts: dict[str, str] = told.get("__prompts__", {})
    return Template(
        name=told["_crm_template"],
        summary=told["_summary"],
        version=told["_crm_version"],
        package=TemplatePackage(**told[FOREIGN]) if FOREIGN in told else None,
        questions=tuple(
            Question(
                name=key,
                prompt=prompts.get(key, key),
                default=value[0] if isinstance(value, list) else str(value),
                choices=tuple(value) if isinstance(value, list) else (),
            )
            for key, value in told.items()
            if not key.startswith("_")
        ),
    )
