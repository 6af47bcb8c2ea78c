"""Two rendered versions beside a repo's HEAD, as commits in its object store that no branch names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carrental_mlops.scaffold.git_store import Entry, Store
from carrental_mlops.scaffold.rendering import Rendered

_NOBODY = "crm <crm@localhost> 0 +0000"


@dataclass(frozen=True)
class Sides:
    """Three commits: `ours` and `theirs` have `base` as their parent."""

    base: str
    ours: str
    theirs: str


def commit_sides(store: Store, base: Mapping[str, Rendered], theirs: Mapping[str, Rendered], tree: str) -> Sides:
    """Write both versions, and the repo's tree on top of the old one; no ref names them.

    Args:
        store: of the repository.
        base: path to file as the old version rendered it.
        theirs: as the new version renders it.
        tree: of HEAD, as an object name.

    Raises:
        TemplateError: git's folder cannot be written (a full disk).
    """
    store.files(tree)  # what HEAD holds need not be written again
    before, after = (store.put_tree({p: _entry(store, f) for p, f in files.items()}) for files in (base, theirs))
    first = store.put_commit(before, None, _NOBODY, b"base")
    return Sides(
        first, store.put_commit(tree, first, _NOBODY, b"ours"), store.put_commit(after, first, _NOBODY, b"theirs")
    )


def _entry(store: Store, file: Rendered) -> Entry:
    return Entry("100755" if file.executable else "100644", store.put("blob", file.content))
