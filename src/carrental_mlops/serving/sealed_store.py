"""Where sealed inputs are kept once a worker has closed their file: a bucket, with a life time of its own."""

from __future__ import annotations

from pathlib import Path

from carrental_mlops.config.serving import Audit
from carrental_mlops.errors import DataError
from carrental_mlops.integrations.s3 import S3Objects
from carrental_mlops.serving.segments import begun, recover

_SLACK_S = 60


def put_away(root: Path, audit: Audit) -> int:
    """Copy every closed file of sealed inputs to `serving.audit.input_sink`; it is encrypted already.

    Args:
        root: of the model repo.
        audit: the settings.

    Returns:
        How many files; 0 where no store is named.

    Raises:
        PlatformError: the store does not take them; retryable.
    """
    folder = root / audit.input_folder
    if audit.input_sink is None or not folder.is_dir():
        return 0
    recover(folder)
    store, closed = _objects(audit.input_sink), sorted(folder.glob("inputs-*.jsonl"), key=begun)
    for path in closed:
        store.create(path.name, path.read_bytes())  # False: it went there before a crash
        path.rename(path.with_suffix(".sent"))
    return len(closed)


def bring_back(root: Path, audit: Audit, since: float, until: float) -> None:
    """Fetch the files that may hold inputs of a time and are not in `input_folder`.

    Args:
        root: of the model repo.
        audit: the settings.
        since: seconds since 1970-01-01 UTC.
        until: as `since`.

    Raises:
        PlatformError: the store does not answer.
    """
    if audit.input_sink is None:
        return
    folder, store = root / audit.input_folder, _objects(audit.input_sink)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = {path.stem for path in folder.glob("inputs-*")}
    earliest = since - audit.segment_s - _SLACK_S
    names = [entry.path for entry in store.entries() if entry.path.startswith("inputs-")]
    wanted = [n for n in names if Path(n).stem not in there and earliest <= begun(Path(n)) <= until]
    for name, content in zip(wanted, store.contents(wanted) if wanted else [], strict=True):
        if isinstance(content, Exception):
            raise DataError(f"{audit.input_sink}{name} cannot be read: {content}", "crm replay again") from content
        draft = folder / f".{name}.draft"
        draft.write_bytes(content)
        draft.replace(folder / Path(name).with_suffix(".sent").name)


def _objects(url: str) -> S3Objects:
    return S3Objects(url if url.endswith("/") else f"{url}/")
