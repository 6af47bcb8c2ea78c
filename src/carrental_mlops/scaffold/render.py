"""A new model repo, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.answers import complete
from carrental_mlops.scaffold.catalogue import describe, template_dir
from carrental_mlops.scaffold.git import first_commit
from carrental_mlops.scaffold.ownership import RECORD, record
from carrental_mlops.scaffold.rendering import Rendered, Rendering
from carrental_mlops.scaffold.scratch import scratch


@dataclass(frozen=True)
class NewRepo:
    """What was made, or in a dry run what would be."""

    path: Path
    template: str
    version: str
    answers: dict[str, str]
    files: tuple[str, ...]
    """Relative to `path`, sorted."""
    commit: str | None
    """Hash of the first commit; none in a dry run."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"path": str(self.path), "files": list(self.files)}


def new_repo(
    template: str, answers: Mapping[str, str], parent: Path, *, dry_run: bool = False, trust: bool = False
) -> NewRepo:
    """Render `template` into `parent/<name>` with a first commit.

    The repo is made in a hidden folder beside its place and renamed in one step, so that an interrupt leaves nothing;
    what a killed process left there, the next call removes.

    Args:
        template: a name of the catalogue.
        answers: question to answer; defaults fill the rest.
        parent: an existing folder.
        dry_run: render elsewhere, keep nothing.
        trust: also a template of a package that `CRM_TEMPLATE_PACKAGES` does not name.

    Raises:
        TemplateError: unknown template, one that is not allowed or refused, an answer that is not allowed, a place that
            is taken or not writable, or git refuses.
    """
    with template_dir(template, trust=trust) as source:
        return repo_from(source, answers, parent, dry_run=dry_run)


def repo_from(source: Path, answers: Mapping[str, str], parent: Path, *, dry_run: bool = False) -> NewRepo:
    """`new_repo` of a whole template as a folder."""
    about = describe(source)
    full = complete(about.questions, answers)
    target = parent / full["name"]
    _check_place(target)
    with _scratch(None if dry_run else parent) as folder:
        rendered = Rendering(source).rendered(full)
        rendered[RECORD] = Rendered(record(rendered, about.name, about.version, full, about.package))
        made = _write(rendered, folder / full["name"])
        files = tuple(sorted(rendered))
        commit = None
        if not dry_run:
            commit = first_commit(made, f"{full['name']}: from {about.name} of {about.origin}")
            _move(made, target)
    return NewRepo(target, about.name, about.version, full, files, commit)


def _check_place(target: Path) -> None:
    if not target.parent.is_dir():
        raise TemplateError(f"{target.parent} is not a folder", f"mkdir -p {target.parent}")
    if target.exists() or target.is_symlink():
        raise TemplateError(f"{target} exists already", "choose another --name or --dir, or move that folder away")


@contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    with ExitStack() as held:
        try:
            folder = held.enter_context(scratch(parent))
        except OSError as error:
            raise TemplateError(
                f"cannot write in {parent}: {error.strerror}", "crm new --dir FOLDER_OF_YOURS"
            ) from error
        try:
            yield folder
        except OSError as error:
            raise TemplateError(
                f"cannot write the new repo: {error}", "free some space, or choose another --dir"
            ) from error


def _move(made: Path, target: Path) -> None:
    _check_place(target)
    made.rename(target)


def _write(files: Mapping[str, Rendered], into: Path) -> Path:
    for path, file in files.items():
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        if file.executable:
            target.chmod(0o755)
    return into
