"""What a release changes in the cluster, object by object, in words; lists are paired by name and not by place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from carrental_mlops.deploy.diff.words import loss_of, restarts, words
from carrental_mlops.deploy.manifests import labels

Manifest = Mapping[str, Any]
Path = tuple[str, ...]

_MISSING: Any = object()
_KEYS = ("name", "alert", "record", "mountPath", "containerPort", "port", "key", "topologyKey", "type", "host")
"""What may tell the elements of a list apart, in this order; each has it, and no two have the same."""
_OF_THE_CLUSTER = (
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
    "namespace",
)
_OF_TOOLS = ("meta.helm.sh/", "deployment.kubernetes.io/", "kubectl.kubernetes.io/", "autoscaling.alpha.kubernetes.io/")


@dataclass(frozen=True)
class ObjectChange:
    """One thing that changes."""

    object: str
    """Kind and name, `Deployment fraud-payments`; several where the same changes in each: `3 objects`."""
    kind: Literal["added", "removed", "changed"]
    said: str
    """In words, such as `champion: memory limit 512Mi to 1Gi`."""
    path: str
    """Where, such as `spec.template.spec.containers[model].resources.limits.memory`."""
    before: Any
    after: Any
    restarts: bool
    """Whether pods are made again for it."""
    loses: str | None
    """Why fewer requests may be answered, now or later; None where that is not seen."""


def diff(before: Iterable[Manifest], after: Iterable[Manifest]) -> list[ObjectChange]:
    """What changes from the manifests `before` to those `after`; nothing where both say the same.

    Args:
        before: rendered manifests, or objects as the cluster holds them; what the cluster adds itself is left out,
            `status` too, but not its defaults.
        after: manifests of the same making.
    """
    old, new = ({_identity(one): _plain(one) for one in side} for side in (before, after))
    found = []
    for identity in sorted({*old, *new}):
        found += list(_object_changes(identity, old.get(identity), new.get(identity)))
    return _together(found)


def as_json(changes: Sequence[ObjectChange]) -> dict[str, Any]:
    """The changes, for programs."""
    return {
        "restarts": any(change.restarts for change in changes),
        "loses_availability": any(change.loses for change in changes),
        "changes": [asdict(change) for change in changes],
    }


def marks(change: ObjectChange) -> list[str]:
    """What an operator must know of `change`, in words."""
    return [*(["restarts pods"] if change.restarts else []), *([change.loses] if change.loses else [])]


def as_markdown(changes: Sequence[ObjectChange], title: str) -> str:
    """A comment for a merge request: the summary, then one line a change, by object.

    Args:
        changes: of `diff`.
        title: the first line, such as `fraud-payments in prod: prod-6 to the working tree`.
    """
    lines = [f"### {title}", "", summary(changes)]
    for name, ours in _by_object(changes).items():
        lines += ["", f"**{_escaped(name)}**", ""]
        for change in ours:
            told = "".join(f" ⚠️ **{_escaped(mark)}**" for mark in marks(change))
            lines.append(f"- {_escaped(change.said)}{told}")
    return "\n".join(lines) + "\n"


def summary(changes: Sequence[ObjectChange]) -> str:
    """How much changes, and whether it restarts pods or loses availability, in one line."""
    if not changes:
        return "Nothing changes."
    losses = sum(1 for change in changes if change.loses)
    return (
        f"{len(changes)} change{'s' if len(changes) > 1 else ''}; "
        f"pods {'restart' if any(change.restarts for change in changes) else 'stay'}; "
        f"{f'{losses} may lose availability' if losses else 'no loss of availability seen'}."
    )


def _by_object(changes: Sequence[ObjectChange]) -> dict[str, list[ObjectChange]]:
    found = defaultdict(list)
    for change in changes:
        found[change.object].append(change)
    return dict(found)


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|" else letter for letter in text)


def _identity(manifest: Manifest) -> tuple[str, str, str]:
    group = str(manifest.get("apiVersion", "")).rpartition("/")[0]
    return str(manifest.get("kind", "")), str(manifest.get("metadata", {}).get("name", "")), group


def _plain(manifest: Manifest) -> dict[str, Any]:
    """Without what the cluster and its tools write themselves."""
    found = {k: v for k, v in manifest.items() if k != "status"}
    metadata = {k: v for k, v in dict(found.get("metadata") or {}).items() if k not in _OF_THE_CLUSTER}
    for name in ("labels", "annotations"):
        kept = {k: v for k, v in (metadata.pop(name, None) or {}).items() if not k.startswith(_OF_TOOLS)}
        kept.pop(labels.MANAGED_BY, None)  # Helm writes its own name over it
        if kept:
            metadata[name] = kept
    return {**found, "metadata": metadata}


def _object_changes(
    identity: tuple[str, str, str], old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Iterator[ObjectChange]:
    kind, name, _ = identity
    shown = f"{kind} {name}"
    if old is None or new is None:
        what: Literal["added", "removed"] = "removed" if new is None else "added"
        yield ObjectChange(shown, what, f"{shown} is {what}", "", None, None, False, loss_of(kind, (), old, new))
        return
    for path, before, after in _walk((), old, new):
        change: Literal["added", "removed", "changed"] = "changed"
        if before is _MISSING:
            change, before = "added", None
        elif after is _MISSING:
            change, after = "removed", None
        shown_before, shown_after = ("hidden", "hidden") if kind == "Secret" else (before, after)
        said = words(path, shown_before, shown_after, change)
        yield ObjectChange(shown, change, said, ".".join(path), shown_before, shown_after,
                     restarts(kind, path, change), loss_of(kind, path, before, after))  # fmt: skip


def _walk(path: Path, before: Any, after: Any) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _walk((*path, str(key)), before.get(key, _MISSING), after.get(key, _MISSING))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        yield from _lists(path, before, after)
    elif before is _MISSING and isinstance(after, Mapping) and after and not _is_element(path):
        for key in after:
            yield from _walk((*path, str(key)), _MISSING, after[key])
    elif after is _MISSING and isinstance(before, Mapping) and before and not _is_element(path):
        for key in before:
            yield from _walk((*path, str(key)), before[key], _MISSING)
    elif not _same(path, before, after):
        yield path, before, after


def _is_element(path: Path) -> bool:
    """Whether it is one thing to a reader: an element of a list, or a probe."""
    return path[-1].endswith(("]", "Probe"))


def _lists(path: Path, before: Sequence[Any], after: Sequence[Any]) -> Iterator[tuple[Path, Any, Any]]:
    both = [*before, *after]
    if not all(isinstance(one, Mapping) for one in both):
        if list(before) != list(after):
            yield path, list(before), list(after)
        return
    key = next((k for k in _KEYS if _tells_apart(k, before) and _tells_apart(k, after)), None)
    old, new = ({str(one[key] if key else n): one for n, one in enumerate(side)} for side in (before, after))
    for name in [*old, *(name for name in new if name not in old)]:
        element = (*path[:-1], f"{path[-1]}[{name}]")
        yield from _walk(element, old.get(name, _MISSING), new.get(name, _MISSING))


def _tells_apart(key: str, side: Sequence[Mapping[str, Any]]) -> bool:
    values = [one[key] for one in side if isinstance(one.get(key), str | int)]
    return len(values) == len(side) == len(set(values))


def _same(path: Path, before: Any, after: Any) -> bool:
    from carrental_mlops.deploy.diff.words import amount

    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return True
    if {"requests", "limits"} & set(path[-2:-1]) and isinstance(before, str | int) and isinstance(after, str | int):
        return amount(before) == amount(after) is not None
    return False


def _together(changes: Sequence[ObjectChange]) -> list[ObjectChange]:
    """Labels and annotations that change alike in several objects, as one change."""
    alike: dict[tuple[str, str], list[ObjectChange]] = defaultdict(list)
    for change in changes:
        alike[change.said, change.kind].append(change)
    found, done = [], set()
    for change in changes:
        group = alike[change.said, change.kind]
        if len(group) == 1 or not {"labels", "annotations"} & set(change.path.split(".")):
            found.append(change)
        elif (change.said, change.kind) not in done:
            done.add((change.said, change.kind))
            objects = {one.object for one in group}
            where = f"{len(objects)} objects" if len(objects) > 1 else change.object
            found.append(ObjectChange(where, change.kind, change.said, change.path, change.before, change.after,
                                any(one.restarts for one in group), change.loses))  # fmt: skip
    return found
