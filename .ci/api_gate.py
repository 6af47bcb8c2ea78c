"""Refuses a changed hook, or a public name that is gone, that neither a major version nor CHANGELOG.md tells.

python .ci/api_gate.py [BASE]     # BASE: a tag or commit, a wheel, or a folder that holds carrental_mlops/

Without BASE it compares with the newest tag `v…` before this commit. Sources are read and never imported; no network.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import griffe

from carrental_mlops.fleet.package_releases.hook_changes import hook_changes, overdue, package_hooks
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.changelog import about, hook_entries, removed_entries, version_key
from carrental_mlops.upgrade.deprecations import declared

PACKAGE = "carrental_mlops"
ROOT = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.M)
_NEWEST = "9999"
"""No section is newer."""
_SAFE = {griffe.BreakageKind.PARAMETER_CHANGED_DEFAULT, griffe.BreakageKind.ATTRIBUTE_CHANGED_VALUE}
"""What griffe calls breaking and no caller has to follow."""


def gate(old: Material, new: Material) -> list[str]:
    """Why `new` is refused as what follows `old`; a sentence each.

    A changed, renamed or removed hook wants a major version, or a line under **Hook** in the sections of the
    changelog that are newer than `old`; a public name that is gone or is called otherwise, the same or a line under
    **Removed**. What is announced to stay longer, or was to be gone by now, is refused in any case.
    """
    wrong = overdue(new)
    wrong += _too_early(old, new)
    if version_key(new.version).major > version_key(old.version).major:
        return wrong
    entries = hook_entries(new.changelog, old.version, _NEWEST)
    fix = "Fix: say so under **Hook** in CHANGELOG.md, or raise the major version"
    for change in hook_changes(old, new):
        owner, _, name = change.hook.partition(".")
        if change.breaks and not about(entries, owner, name):
            wrong.append(f"hook `{change.hook}` {change.what}: {'; '.join(change.details)}. {fix}")
    told = " ".join(e.text for e in (*entries, *removed_entries(new.changelog, old.version, _NEWEST)))
    for path, what in public_changes(old, new):
        if f"`{path.rpartition('.')[2]}`" not in told and f"`{path}`" not in told:
            wrong.append(f"`{path}`: {what}. Fix: say so under **Removed** in CHANGELOG.md, or raise the major version")
    return wrong


def public_changes(old: Material, new: Material) -> list[tuple[str, str]]:
    """Public names of `old` that are gone in `new` or take other arguments: `module.name`, and what changed.

    Public is what the `__all__` of a module names; hooks are left to `hook_changes`.
    """
    before, after = (griffe.load(PACKAGE, search_paths=[m.root], allow_inspection=False) for m in (old, new))
    hooks = {name.partition(".")[2] for name in package_hooks(old)}
    found = []
    for module in _public_modules(before):
        there = _member(after, module.path)
        for name in map(str, module.exports or ()):
            path = f"{module.path}.{name}"
            if there is None or name not in {str(n) for n in there.exports or ()}:
                found.append((path, "it is gone"))
            else:
                found += [(path, what) for what in _breakages(module, there, name, hooks)]
    return found


def _breakages(before: griffe.Object, after: griffe.Object, name: str, hooks: set[str]) -> list[str]:
    try:
        one, other = (o.final_target if o.is_alias else o for o in (before[name], after[name]))
    except (KeyError, griffe.AliasResolutionError):
        return []  # a name from outside the package
    told = [b for b in griffe.find_breaking_changes(one, other) if b.kind not in _SAFE]
    return [_explained(b) for b in told if b.obj.name not in hooks and not _is_closed(b.obj)]


def _explained(breakage: griffe.Breakage) -> str:
    told = breakage.as_dict()
    values = [getattr(told[key], "name", str(told[key])) for key in ("old_value", "new_value")]
    return f"{breakage.obj.path}: {breakage.kind.value.lower()} (was {values[0]}, is {values[1]})"


def _is_closed(found: griffe.Object | griffe.Alias) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in found.path.split("."))


def _public_modules(root: griffe.Object | griffe.Alias) -> list[griffe.Object]:
    """Those whose `__all__` says what is public."""
    found = [root] if root.exports else []
    for inner in root.modules.values():
        if not inner.is_alias:
            found += _public_modules(inner)
    return found


def _member(root: griffe.Object | griffe.Alias, path: str) -> griffe.Object | None:
    try:
        return root[path.partition(".")[2]] if "." in path else root
    except KeyError:
        return None


def _too_early(old: Material, new: Material) -> list[str]:
    known = package_hooks(new)
    gone = [c for c in declared(old) if c.removed_in and c.of in package_hooks(old) and c.of not in known]
    early = [c for c in gone if version_key(new.version) < version_key(c.removed_in)]
    said = "hook `{}` is gone in {}; {} promised it until {}. Fix: keep it until then"
    return [said.format(c.of, new.version, old.version, c.removed_in) for c in early]


def checkout(root: Path, into: Path) -> Material:
    """The checkout as it is now, laid out as a wheel."""
    return _laid_out(root / "src" / PACKAGE, root / "CHANGELOG.md", into)


def earlier(base: str, root: Path, into: Path) -> Material:
    """What `base` holds: a wheel, a folder with the package, or a tag or commit of the checkout at `root`."""
    place = Path(base)
    if place.suffix == ".whl" and place.is_file():
        with zipfile.ZipFile(place) as archive:
            archive.extractall(into)
        return Material(_version(into / PACKAGE), into)
    if (place / PACKAGE).is_dir():
        return Material(_version(place / PACKAGE), place)
    done = subprocess.run(["git", "-C", str(root), "archive", base, "--", "src", "CHANGELOG.md"], capture_output=True)
    if done.returncode:
        sys.exit(
            f"{base} cannot be read: {done.stderr.decode().strip()}. Fix: name a tag, a commit, a wheel or a folder"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into / "git")
    return _laid_out(into / "git" / "src" / PACKAGE, into / "git" / "CHANGELOG.md", into / "laid-out")


def last_tag(root: Path) -> str | None:
    """The newest tag `v…` that this commit has behind it; None where there is none.

    Raises:
        OSError: git does not read the checkout.
    """
    here = _tags(root, "--points-at")
    before = [tag for tag in _tags(root, "--merged") if tag not in here and re.match(r"v\d", tag)]
    return max(before, key=lambda tag: version_key(tag[1:])) if before else None


def _tags(root: Path, which: str) -> list[str]:
    listed = ["git", "-C", str(root), "tag", "--list", "v*", which, "HEAD"]
    done = subprocess.run(listed, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())
    return done.stdout.split()


def _laid_out(package: Path, changelog: Path, into: Path) -> Material:
    shutil.copytree(package, into / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    assets = into / PACKAGE / "_assets"
    assets.mkdir()
    (assets / "CHANGELOG.md").write_text(changelog.read_text(encoding="utf-8"), encoding="utf-8")
    return Material(_version(into / PACKAGE), into)


def _version(package: Path) -> str:
    found = _VERSION.search((package / "__init__.py").read_text(encoding="utf-8"))
    if found is None:
        sys.exit(f"{package / '__init__.py'} says no __version__. Fix: compare with a version of this package")
    return found[1]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", help="Default: the newest tag v… before this commit.")
    base = parser.parse_args(arguments).base
    try:
        base = base or last_tag(root)
    except OSError as error:
        print(f"api: git does not read {root}: {error}: nothing was compared", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    with tempfile.TemporaryDirectory() as folder:
        now = checkout(root, Path(folder) / "now")
        if base is None:
            wrong = overdue(now)
            print(f"api: no tag v… before {now.version}: nothing was compared", *wrong, sep="\n")
            return 1 if wrong else 0
        old = earlier(base, root, Path(folder) / "old")
        wrong = gate(old, now)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    print(f"api: {now.version} against {old.version} ({base}): {f'{len(wrong)} refused' if wrong else 'well'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
