"""Small files that are written once and never changed: in a folder, or below an S3 prefix."""

from __future__ import annotations

from pathlib import Path

from carrental_mlops.errors import PlatformError
from carrental_mlops.files import create_file
from carrental_mlops.integrations.s3 import S3Objects


class ObjectStore:
    """The files below one place.

    Args:
        root: of the model repo.
        place: a folder of the repo, or `s3://bucket/prefix/`.

    Every method raises PlatformError when the place cannot be read or written.
    """

    def __init__(self, root: Path, place: str) -> None:
        self.shown = place
        self._bucket = place.startswith("s3://")
        self._folder = root / place

    def names(self, below: str) -> list[str]:
        """Of the files in the folder `below`, none of deeper ones; empty where there is no such folder."""
        if self._bucket:
            found = (entry.path for entry in S3Objects(f"{self.shown}{below}/").entries())
            return [name for name in found if "/" not in name]
        folder = self._folder / below
        try:
            return [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(folder, error) from error

    def read(self, name: str) -> bytes | None:
        """What `name` holds; None where there is no such file."""
        if self._bucket:
            found = S3Objects(self.shown).contents([name])[0]
            if isinstance(found, FileNotFoundError):
                return None
            if isinstance(found, Exception):
                raise found
            return found
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self._folder / name, error) from error

    def create(self, name: str, content: bytes) -> bool:
        """Write `name`, whole, unless it is there: then False. Of several writers at once one wins."""
        if self._bucket:
            return S3Objects(self.shown).create(name, content)
        return create_file(self._folder / name, content)


def _unreadable(path: Path, error: OSError) -> PlatformError:
    return PlatformError(f"{path} cannot be read: {error.strerror}", "allow reading it")
