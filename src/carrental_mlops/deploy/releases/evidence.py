"""What speaks for a model before it is released: the gate's verdict, load tests, and who waives what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.models import Slo
from carrental_mlops.deploy.releases.release import Evidence, ModelRef, Waiver
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.integrations.mlflow_registry import RegisteredModel

Kind = Literal["gate", "load_test"]

WAIVERS = "releases/waivers.yaml"
"""Where a repo keeps its waivers: a list of `what`, `by`, `reason`, `expires`."""
LONGEST = timedelta(days=90)
"""A waiver that holds for longer is refused."""


def required(config: RepoConfig, env: str) -> tuple[Kind, ...]:
    """What a release in `env` needs: the gate everywhere, the load test in the last environment, where it serves.

    A staging release needs none, for it is what is loaded; neither does a batch service, which promises no latency.
    """
    loaded = env == config.last and config.slo.p99_ms is not None
    return ("gate", "load_test") if loaded else ("gate",)


def gate_evidence(model: RegisteredModel) -> Evidence | None:
    """The gate's verdict as it was registered with `model`; None where none was, or where the gate had no rule."""
    try:
        checks = json.loads(model.tags.get("gate", "[]"))
    except ValueError:  # MLflow cut it short: what cannot be read was not shown
        checks = []
    if not isinstance(checks, list) or not checks:
        return None
    run = model.tags.get("crm.mlflow_run_id")
    return Evidence(
        kind="gate",
        passed=all(str(check).startswith("met: ") for check in checks),
        at=datetime.fromtimestamp(model.registered_at, UTC),
        model_digest=model.digest,
        said=tuple(map(str, checks)),
        file=f"runs:/{run}" if run else None,
    )


def load_test_evidence(root: Path, slo: Slo, model: ModelRef, files: Sequence[Path] = ()) -> Evidence | None:
    """The newest load test of `model` that failed, or held at least what `slo` promises; None where there is none.

    Args:
        root: of the model repo; `.crm/loadtests/*/summary.json` are read.
        slo: what is promised now; a test that passed against less or looser limits shows nothing, nor does `smoke`.
        model: whose digest the tested service named.
        files: further `summary.json` files, such as those of a CI job.

    Raises:
        DataError: a file of `files` is missing or no summary of a load test.
    """
    found = [*_summaries(sorted((root / ".crm" / "loadtests").glob("*/summary.json"))), *_summaries(files, named=True)]
    ours = [(path, told) for path, told in found if told["model"]["digest"] == model.digest]
    fits = [(path, told) for path, told in ours if told["profile"] != "smoke" and _shows(told, slo)]
    if not fits:
        return None
    path, told = max(fits, key=lambda one: str(one[1]["started"]))
    near = path.resolve().is_relative_to(root.resolve())
    steps = [step for step in told["steps"] if step["judged"]]
    figures = tuple(f"{s['name']}: p99 {s['p99_ms']:.4g} ms, {100 * s['error_rate']:.3g} % failed" for s in steps)
    return Evidence(
        kind="load_test",
        passed=bool(told["passed"]),
        at=datetime.fromisoformat(told["started"]),
        model_digest=model.digest,
        said=figures if told["passed"] else tuple(told["reasons"]),
        file=str(path.resolve().relative_to(root.resolve())) if near else str(path),
    )


def waivers(root: Path, now: datetime) -> tuple[Waiver, ...]:
    """The waivers of the repo that hold at `now`; expired ones do not count.

    Raises:
        ConfigError: the file is no list of waivers, or one holds for longer than 90 days from `now`.
    """
    import yaml

    path = root / WAIVERS
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        found = TypeAdapter(tuple[Waiver, ...]).validate_python(given)
    except FileNotFoundError:
        return ()
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}", "mend the YAML at that line") from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {at}: {first['msg']}", "a waiver has what, by, reason, expires") from error
    for one in found:
        if one.expires > now + LONGEST:
            raise ConfigError(f"{path}: the waiver of {one.what} by {one.by} holds until {one.expires:%Y-%m-%d}",
                              f"let it expire by {now + LONGEST:%Y-%m-%d}, and renew it if it must stand")  # fmt: skip
    return tuple(one for one in found if one.expires > now)


def refusals(needed: Iterable[Kind], found: Sequence[Evidence], held: Sequence[Waiver]) -> list[str]:
    """Why a release may not be: one sentence for each kind of evidence that is missing or says no, and not waived."""
    return list(_refusals(needed, found, {one.what for one in held}))


def _refusals(needed: Iterable[Kind], found: Sequence[Evidence], waived: set[str]) -> Iterator[str]:
    for kind in needed:
        told = next((one for one in found if one.kind == kind), None)
        if kind in waived or (told is not None and told.passed):
            continue
        name = kind.replace("_", " ")
        if told is None:
            yield f"{name}: no evidence for this model"
        else:
            bad = [said for said in told.said if not said.startswith("met: ")] or list(told.said)
            yield f"{name} of {told.at:%Y-%m-%d %H:%M} UTC did not pass: {'; '.join(bad[:3])}"


def _summaries(paths: Iterable[Path], named: bool = False) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in paths:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            _ = (
                told["model"]["digest"],
                told["started"],
                told["passed"],
                told["reasons"],
                told["steps"],
                told["slo"],
                told["profile"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:  # one that was cut short shows nothing
            if named:
                raise DataError(f"{path} is no summary of a load test: {error!r}", "name the summary.json that "
                                "`crm loadtest` wrote") from error  # fmt: skip
            continue
        yield path, told


def _shows(told: dict[str, Any], slo: Slo) -> bool:
    if not told["passed"]:
        return True
    judged, limits = max((step["rps"] for step in told["steps"] if step["judged"]), default=0), told["slo"]
    held = limits["p99_ms"] <= (slo.p99_ms or 0) and limits["error_rate"] <= slo.error_rate
    return bool(held and judged >= max(1, round(slo.rps)))
