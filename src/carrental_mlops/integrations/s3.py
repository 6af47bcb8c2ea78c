"""Objects of an S3 bucket, through s3fs; credentials and endpoint come from AWS's own settings."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carrental_mlops.errors import CrmError, DataError, PlatformError
from carrental_mlops.integrations.source_files import ListedFile, hidden

_TRIES, _CONNECT_S = 3, 10
_DENIED = ("AccessDenied", "Forbidden", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "pre-conditions you specified did not hold")


class S3Objects:
    """The objects that `url` names: one key, all below a prefix that ends in `/`, or those that match a glob.

    Args:
        url: `s3://bucket/key`, `s3://bucket/prefix/` or `s3://bucket/prefix/*.csv`.

    Every method raises DataError (no such bucket or key) or PlatformError (denied, no credentials, no endpoint).
    """

    def __init__(self, url: str) -> None:
        self.shown = url
        self._bucket, _, key = url.removeprefix("s3://").partition("/")
        wild = next((n for n, letter in enumerate(key) if letter in "*?["), None)
        self._pattern = _pattern(key) if wild is not None else None
        self._fixed = key if wild is None else key[:wild]
        self._cut = self._fixed.rfind("/") + 1
        self._client: Any = None

    def entries(self) -> Iterator[ListedFile]:
        """See `Files`; a page of the listing is held at a time. A key without `/` at its end may be a prefix too."""
        token: dict[str, str] = {}
        below = self._fixed if self._pattern or self._fixed.endswith("/") or not self._fixed else f"{self._fixed}/"
        while True:
            page = self._call("list_objects_v2", Bucket=self._bucket, Prefix=self._fixed, **token)
            for one in page.get("Contents", ()):
                key = str(one["Key"])
                wanted = self._pattern.fullmatch(key) if self._pattern else key.startswith(below)
                if (wanted or key == self._fixed) and not key.endswith("/") and not hidden(key[self._cut :]):
                    yield ListedFile(key[self._cut :], int(one["Size"]), str(one["ETag"]).strip('"'))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def contents(self, paths: Sequence[str]) -> list[bytes | Exception]:
        """See `Files`; fetched at the same time. What all of them would meet, such as a lost endpoint, raises."""
        names = [self._key(path) for path in paths]
        found = self._files().cat(names, on_error="return") if len(names) > 1 else self._one(names[0])
        return [self._settled(found[name]) for name in names]

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """See `Files`."""
        with tempfile.TemporaryDirectory(prefix="crm-s3-") as scratch:
            local = Path(scratch) / Path(path).name
            try:
                self._files().get_file(self._key(path), str(local))
            except Exception as error:  # botocore and s3fs raise many kinds
                raise self._translated(error) from error
            yield local

    def store(self, path: Path) -> None:
        """Put the file `path` where the URL, of one key, says."""
        try:
            self._files().put_file(str(path), self.shown)
        except Exception as error:  # botocore and s3fs raise many kinds
            raise self._translated(error, "s3:PutObject") from error

    def create(self, path: str, content: bytes) -> bool:
        """Put `content` as `path` below the prefix, unless something is there: then False, and nothing is written.

        Source: Amazon S3 User Guide, "Conditional writes" (`If-None-Match: *` of PutObject; 412, or 409 in a race).
        """
        bucket, _, key = self._key(path).partition("/")
        try:
            self._files().call_s3("put_object", Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
        except Exception as error:  # botocore and s3fs raise many kinds
            if any(word in f"{type(error).__name__}: {error}" for word in _TAKEN) or isinstance(error, FileExistsError):
                return False
            raise self._translated(error, "s3:PutObject") from error
        return True

    def digest(self, path: str) -> str | None:
        """See `Files`: an ETag that differs is taken for another content."""
        return None

    def _key(self, path: str) -> str:
        return f"{self._bucket}/{self._fixed[: self._cut]}{path}"

    def _one(self, name: str) -> dict[str, bytes | Exception]:
        try:
            return {name: self._files().cat_file(name)}
        except Exception as error:  # judged by `_settled`, like one among many
            return {name: error}

    def _settled(self, found: bytes | Exception) -> bytes | Exception:
        if isinstance(found, FileNotFoundError) or not isinstance(found, Exception):
            return found
        error = self._translated(found)
        raise error from found

    def _files(self) -> Any:
        if self._client is None:
            import s3fs

            settings = {
                "connect_timeout": _CONNECT_S,
                "retries": {"max_attempts": _TRIES, "mode": "standard"},
                "max_pool_connections": 64,
            }
            self._client = s3fs.S3FileSystem(config_kwargs=settings, use_listings_cache=False)
            self._client.retries = 2  # times _TRIES of botocore, which does not repeat a body cut short
        return self._client

    def _call(self, method: str, **given: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._files().call_s3(method, **given)
            return answer
        except Exception as error:  # botocore and s3fs raise many kinds
            raise self._translated(error) from error

    def _translated(self, error: Exception, rights: str = "s3:ListBucket and s3:GetObject") -> CrmError:
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, FileNotFoundError) or "NoSuchBucket" in text:
            return DataError(
                f"{self.shown}: no such bucket or key: {error}", "mend the address in crm.yaml; to look: aws s3 ls"
            )
        if "NoCredentials" in text or "Unable to locate credentials" in text:
            return PlatformError(f"{self.shown}: no AWS credentials found", "log in: aws sso login, or set AWS_PROFILE")
        if isinstance(error, PermissionError) or any(word in text for word in _DENIED):
            return PlatformError(
                f"{self.shown}: access denied: {error}",
                f"ask for {rights} on `{self._bucket}`, or log in as another: aws sso login",
            )
        return PlatformError(
            f"{self.shown}: S3 does not answer as expected: {text}",
            "check AWS_ENDPOINT_URL, AWS_REGION and the network",
            retryable=True,
        )


def _pattern(glob: str) -> re.Pattern[str]:
    """As a local glob: `*` stays within a folder, `**/` goes through any number of them."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    return re.compile("".join(words.get(p, p if p.startswith("[") else re.escape(p)) for p in parts))
