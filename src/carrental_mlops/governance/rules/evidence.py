"""Family 7: what speaks for the model that serves, and whether it still does."""

from __future__ import annotations

import datetime
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.files import whole_file
from carrental_mlops.governance.apart.process import ask
from carrental_mlops.governance.cache import FOLDER, own_code
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView

NO_GATE = Code(
    "CRM701", Severity.WARNING, "the champion has no gate that it passed",
    "The model decides although nothing shows that it is better than none.",
    "`crm run training`; the gate of pipelines.py wants rules, `steps.gate` of crm.yaml.",
)  # fmt: skip
NO_LOAD_TEST = Code(
    "CRM702", Severity.WARNING, "what serves has no load test that it passed",
    "Nothing shows that the SLO is held.",
    "`crm loadtest --profile load` against staging, then `crm promote`.",
)  # fmt: skip
OLD_LOAD_TEST = Code(
    "CRM703", Severity.WARNING, "the load test is older than the model",
    "Another model was loaded; this one may be slower.",
    "`crm loadtest --profile load` against the model that is champion.",
)  # fmt: skip
OLD_PACKAGE = Code(
    "CRM704", Severity.WARNING, "the evidence is older than the package",
    "Defaults, the service and its libraries have changed since: what was shown was shown of other code.",
    "`crm run training` and `crm loadtest --profile load` with the package that is installed.",
)  # fmt: skip
STALE = Code(
    "CRM705", Severity.WARNING, "the evidence of what serves is old",
    "Traffic and data change; what was shown half a year ago is no evidence of today.",
    "Train, load and promote again; evidence holds 180 days.",
)  # fmt: skip
NOT_READ = Code(
    "CRM706", Severity.WARNING, "registry or releases could not be read",
    "Nobody knows whether there is evidence.",
    "`crm status` and `crm runs list` say what does not answer.", passing=True,
)  # fmt: skip
NONE_YET = Code(
    "CRM707", Severity.NOTE, "no model is registered",
    "There is nothing yet that evidence could speak for.",
    "`crm run training`",
)  # fmt: skip
WAIVED = Code(
    "CRM708", Severity.WARNING, "a waiver of evidence in releases/waivers.yaml has expired or cannot be read",
    "The next release is refused where it is needed.",
    "Show the evidence and remove the entry, or let a person answer for it again.",
)  # fmt: skip
CODES = (NO_GATE, NO_LOAD_TEST, OLD_LOAD_TEST, OLD_PACKAGE, STALE, NOT_READ, NONE_YET, WAIVED)
LONGEST = datetime.timedelta(days=180)
_ASK_AGAIN_S = 600
"""A registry on a server is asked again after so long; one in the repo whenever its file has changed."""


def _find(view: RepoView) -> Iterator[Finding]:
    yield from _waivers(view)
    if view.config is None:
        return
    if _nowhere(view):
        yield NONE_YET.found("no model is registered here, so there is nothing to show yet", "crm run training")
        return
    try:
        told = _standing(view)
    except PlatformError as error:
        yield NOT_READ.found(error.what, error.fix)
        return
    for said in told["unread"]:
        yield NOT_READ.found(f"not read: {said}", "crm status and crm runs list say what does not answer")
    champion, release = told["champion"], told["release"]
    if champion:
        yield from of_champion(view, champion)
    elif not told["unread"] and not release:
        yield NONE_YET.found("no model is champion, so there is nothing to show yet", "crm run training")
    if release:
        yield from of_release(view, release)


def _nowhere(view: RepoView) -> bool:
    """Whether there is neither a registry nor a release, so that no process need be asked."""
    if _is_remote(view) or (view.root / ".crm" / "mlflow.db").is_file():
        return False
    folders = {config.deploy.releases for _, config in view.configs.values()}
    return not any(path.stem.isdigit() for folder in folders for path in (view.root / folder).glob("*/*.json"))


def _is_remote(view: RepoView) -> bool:
    """Whether registry or releases lie where no file of the repo says that they changed."""
    configs = [config for _, config in view.configs.values()]
    named = "MLFLOW_TRACKING_URI" in os.environ
    return named or any(c.mlflow.tracking_uri or "://" in c.deploy.releases for c in configs)


def of_champion(view: RepoView, champion: dict[str, Any]) -> Iterator[Finding]:
    """What is missing or old of the evidence for `champion`, as `standing.look` tells of it."""
    name = f"the champion, version {champion['version']},"
    gate, load = champion["gate"], champion["load_test"]
    if gate is None:
        yield NO_GATE.found(f"{name} was registered without a rule of the gate", "crm run training")
    elif not gate["passed"]:
        bad = next((said for said in gate["said"] if not said.startswith("met: ")), "")
        yield NO_GATE.found(f"{name} did not pass the gate: {bad}", "crm run training, or: crm run rollback")
    if load and not load["passed"]:
        yield NO_LOAD_TEST.found(f"{name} failed its load test: {'; '.join(load['said'][:2])}",
                                 "crm loadtest --profile load", load["file"])  # fmt: skip
    elif load is None and (other := _other_test(view)):
        yield OLD_LOAD_TEST.found(f"the newest load test, {other}, is of another model than {name[:-1]}",
                                  "crm loadtest --profile load")  # fmt: skip
    elif load and (since := _package_since(view)) and _instant(load["at"]) < since:
        yield OLD_PACKAGE.found(f"the load test of {load['at'][:10]} is older than the environment that serves "
                                f"({since:%Y-%m-%d}, requirements/serving.txt)", "crm loadtest --profile load",
                                load["file"])  # fmt: skip
    if champion["package"] and _minor(champion["package"]) < _minor(__version__):
        yield OLD_PACKAGE.found(f"{name} was trained by carrental-mlops {champion['package']}; here is {__version__}",
                                "crm run training")  # fmt: skip


def of_release(view: RepoView, release: dict[str, Any]) -> Iterator[Finding]:
    """What is missing or old of the evidence that `release`, a `Release` as plain values, was made on."""
    config, name = view.config, f"release {release['id']}"
    if config is None:
        return
    needs = {"gate": NO_GATE} | ({"load_test": NO_LOAD_TEST} if config.slo.p99_ms else {})
    for kind, code in needs.items():
        shown = next((one for one in release["evidence"] if one["kind"] == kind), None)
        waiver = next((one for one in release["waivers"] if one["what"] == kind), None)
        if shown is None or not shown["passed"]:
            if waiver is None or _instant(waiver["expires"]).date() < view.today:
                ended = f"; the waiver by {waiver['by']} has expired" if waiver else ""
                what = f"{name} runs without a {kind.replace('_', ' ')} that it passed{ended}"
                yield code.found(what, "crm promote, once it is shown")
        elif view.today - _instant(shown["at"]).date() > LONGEST:
            what = f"the {kind.replace('_', ' ')} of {name} is of {shown['at'][:10]}"
            yield STALE.found(what, "crm run training, crm loadtest --profile load, crm promote")
    if _minor(release["package"]) < _minor(__version__):
        what = f"{name} was made by carrental-mlops {release['package']}; here is {__version__}"
        yield OLD_PACKAGE.found(what, "crm promote", severity=Severity.NOTE)


def _waivers(view: RepoView) -> Iterator[Finding]:
    from carrental_mlops.deploy.releases.evidence import WAIVERS, waivers

    if view.read(WAIVERS) is None:
        return
    import yaml

    now = datetime.datetime.combine(view.today, datetime.time(), datetime.UTC)
    try:
        held = waivers(view.root, now)
    except ConfigError as error:
        yield WAIVED.found(error.what.replace(f"{view.root}/", ""), error.fix, WAIVERS)
        return
    if past := len(yaml.safe_load(view.text(WAIVERS)) or []) - len(held):
        yield WAIVED.found(f"{past} of the waivers have expired", "show the evidence and remove them", WAIVERS)


def _standing(view: RepoView) -> dict[str, Any]:
    """What registry and releases say; kept while their files are the same, ten minutes where they are remote."""
    place, key = view.root / FOLDER / "standing.json", _key(view)
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
        if told["key"] == key:
            return dict(told["said"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    said: dict[str, Any] = ask("evidence", view.root)
    if not said["unread"]:
        try:
            with whole_file(place) as draft:
                draft.write_text(json.dumps({"key": key, "said": said}), encoding="utf-8")
        except PlatformError:
            return said
    return said


def _key(view: RepoView) -> str:
    found = [".crm/mlflow.db", ".crm/mlflow.db-wal", *view.below("config")]
    for pattern in (".crm/loadtests/*/summary.json", ".crm/ci/**/summary.json", "releases/**/*.json"):
        found += [path.relative_to(view.root).as_posix() for path in view.root.glob(pattern)]
    return f"{own_code()} {view.digest(found)} {int(time.time() // _ASK_AGAIN_S) if _is_remote(view) else ''}"


def _other_test(view: RepoView) -> str | None:
    """When the newest load test that is no smoke was made; None where there is none."""
    started = []
    for path in view.root.glob(".crm/loadtests/*/summary.json"):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["profile"] != "smoke":
                started.append(str(told["started"])[:10])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return max(started, default=None)


def _package_since(view: RepoView) -> datetime.datetime | None:
    """When what serves last changed in git, UTC; None where git does not know, as in a shallow clone."""
    if (view.git("rev-parse", "--is-shallow-repository") or "").strip() != "false":
        return None
    told = (view.git("log", "-1", "--format=%cI", "--", "requirements/serving.txt") or "").strip()
    return _instant(told) if told else None


def _instant(text: str) -> datetime.datetime:
    found = datetime.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


RULE = Rule("evidence", CODES, _find, apart=True)
