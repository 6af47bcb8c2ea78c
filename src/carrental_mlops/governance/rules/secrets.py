"""Family 6, first part: secrets in files that are or would be committed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec

from carrental_mlops.errors import PlatformError
from carrental_mlops.files import file_digest, whole_file
from carrental_mlops.governance.cache import FOLDER
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView

SECRET = Code(
    "CRM601", Severity.ERROR, "a file holds a secret",
    "Whoever reads the repo, or a clone of it, has it; git keeps it after it was deleted.",
    "Revoke it where it was issued, put the new one into the secret store, and name it in `deploy.secrets`. What is no "
    "secret: a waiver for its path.",
)  # fmt: skip
NO_SCANNER = Code(
    "CRM602", Severity.ERROR, "no file was searched for secrets",
    "A scanner that is not there finds nothing: that is no good news.",
    "`uv pip install 'carrental-mlops[deploy]'`, which brings detect-secrets.", passing=True,
)  # fmt: skip
UNREAD = Code(
    "CRM603", Severity.WARNING, "a file is too large to be searched for secrets",
    "Nobody looked into it, and it slows every clone.",
    "Keep data outside git: `steps.ingest.source` names where it lies.",
)  # fmt: skip
_LARGEST = 2 * 2**20
_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector",
    "IbmCosHmacDetector", "JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector",
    "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SoftlayerDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
_HIGH_ENTROPY = ({"name": "Base64HighEntropyString", "limit": 4.5}, {"name": "HexHighEntropyString", "limit": 3.2})
_FILTERS = (
    "detect_secrets.filters.heuristic.is_indirect_reference",
    "detect_secrets.filters.heuristic.is_likely_id_string",
    "detect_secrets.filters.heuristic.is_not_alphanumeric_string",
    "detect_secrets.filters.heuristic.is_potential_uuid",
    "detect_secrets.filters.heuristic.is_prefixed_with_dollar_sign",
    "detect_secrets.filters.heuristic.is_sequential_string",
    "detect_secrets.filters.heuristic.is_templated_secret",
)
"""Without those that ask the issuer whether a secret is valid, and without pragmas in the file: a waiver has a name."""
_DIGEST = re.compile(r"sha(256|384|512)[-:\"' =]", re.IGNORECASE)


def _find(view: RepoView) -> Iterator[Finding]:
    if find_spec("detect_secrets") is None:
        yield NO_SCANNER.found("detect-secrets is not installed, so no file was searched for secrets",
                               "uv pip install 'carrental-mlops[deploy]'")  # fmt: skip
        return
    known = _known(view)
    now: dict[str, list[list[object]]] = {}
    for path in view.files:
        full = view.root / path
        if full.is_symlink():
            continue
        if full.stat().st_size > _LARGEST:
            what = f"{path} has more than {_LARGEST // 2**20} MiB and was not searched for secrets"
            yield UNREAD.found(what, "keep data outside git", path)
            continue
        name = f"{path} {file_digest(full)}"
        now[name] = known[name] if name in known else _scanned(view, path)
        for line, kind in now[name]:
            what = f"{kind} in {path}"
            yield SECRET.found(what, "revoke it, and read its successor from the secret store", path, int(str(line)))
    _keep(view, now)


def _scanned(view: RepoView, path: str) -> list[list[object]]:
    """Line and kind of each secret; the secret itself goes nowhere."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    lines = view.text(path).splitlines()
    plugins = [*({"name": name} for name in _PLUGINS), *_HIGH_ENTROPY]
    with transient_settings({"plugins_used": plugins, "filters_used": [{"path": name} for name in _FILTERS]}):
        found = {(secret.line_number, secret.type) for secret in scan_file(str(view.root / path))}
    return [
        [line, kind]
        for line, kind in sorted(found)
        if not ("Entropy" in kind and line <= len(lines) and _DIGEST.search(lines[line - 1]))
    ]


def _known(view: RepoView) -> dict[str, list[list[object]]]:
    try:
        told = json.loads((view.root / FOLDER / "scanned.json").read_text(encoding="utf-8"))
        return dict(told["files"]) if told["by"] == _by() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(view: RepoView, now: dict[str, list[list[object]]]) -> None:
    try:
        with whole_file(view.root / FOLDER / "scanned.json") as draft:
            draft.write_text(json.dumps({"by": _by(), "files": now}), encoding="utf-8")
    except PlatformError:
        return


def _by() -> str:
    """Which scanner with which settings."""
    from importlib.metadata import version

    return f"{version('detect-secrets')} {_PLUGINS} {_HIGH_ENTROPY} {_FILTERS} {_DIGEST.pattern} {_LARGEST}"


def _reads(view: RepoView) -> tuple[str, ...]:
    return view.files


def _outside(_: RepoView) -> str:
    return str(find_spec("detect_secrets") is not None)


RULE = Rule("secrets", (SECRET, NO_SCANNER, UNREAD), _find, _reads, _outside)
