"""A model that passed, in the registry: challenger, and champion when it is better."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np

from carrental_mlops.core import Step, StepConfig, call, hook
from carrental_mlops.data.datasets import frame_digest
from carrental_mlops.data.measures.drift import bins_to_json, profile
from carrental_mlops.data.measures.evaluation import Evaluation
from carrental_mlops.data.model import Model
from carrental_mlops.integrations.pins import distribution_of, pinned
from carrental_mlops.steps.champion import INTERFACE, PROFILE, Champion
from carrental_mlops.steps.gate import Verdict
from carrental_mlops.steps.tables import TrainRows

if TYPE_CHECKING:
    from carrental_mlops.integrations.mlflow import Registry

CARD = "model_card.md"
"""File beside a registered model."""
REQUIREMENTS = "requirements.txt"
"""File beside a registered model: the packages it was trained with, those that loading and scoring it need, pinned."""


@dataclass(frozen=True)
class Registration:
    """What became of the candidate."""

    digest: str
    """sha256 of the saved model."""
    version: str | None = None
    """In the registry; None where nothing was registered."""
    alias: Literal["none", "challenger", "champion"] = "none"
    reason: str = ""
    """One sentence on why it is what it is."""


class RegisterConfig(StepConfig):
    """Whether a better model takes over by itself."""

    promote: bool = True
    """False leaves a better model challenger until a person promotes it."""


def _some_text(result: Any, given: dict[str, Any]) -> str | None:
    return None if isinstance(result, str) and result.strip() else "returned no text"


def _pins(model: Model) -> tuple[str, ...]:
    if model.booster is not None:
        return pinned(["carrental-mlops", "numpy", "pandas", "lightgbm"])
    return pinned(["carrental-mlops", "numpy", "pandas", "skops", distribution_of(type(model.estimator).__module__)])


class RegisterStep(Step):
    """Registers what passed the gate; its effect lies outside the run: never cached. Hooks: `model_card`."""

    config: RegisterConfig
    cacheable: ClassVar[bool] = False

    @final
    def run(
        self, *, model: Model, train: TrainRows, evaluation: Evaluation, verdict: Verdict, champion: Champion
    ) -> Registration:
        """What became of `model`. On a no, and in process, the registry is left untouched.

        It becomes champion only if the champion still is the one that it was compared with.

        Raises:
            PlatformError: the registry cannot be reached.
            ContractError: `model_card` returned something else.
        """
        with tempfile.TemporaryDirectory(prefix="crm-register-") as scratch:
            folder = Path(scratch) / "model"
            digest = model.save(folder)
            card = call(self.model_card, model=model, evaluation=evaluation, verdict=verdict)
            (folder / CARD).write_text(card, encoding="utf-8")
            self.context.artefact(CARD).write_text(card, encoding="utf-8")
            (folder / PROFILE).write_text(bins_to_json(profile(train, model.columns)))
            if verdict.interface:
                (folder / INTERFACE).write_text(verdict.interface)
            pins = _pins(model)
            (folder / REQUIREMENTS).write_text("\n".join(pins) + "\n", encoding="utf-8")
            self.context.param("model_digest", digest)
            self.context.param("features", ", ".join(model.columns))
            tags = {
                "features": ", ".join(model.columns),
                "pip_requirements": "\n".join(pins),
                "crm.data.train": frame_digest(train),
            }
            registration = self._registered(Registration(digest), folder, tags, evaluation, verdict, champion)
        self.context.param("model_version", registration.version or "none")
        self.context.param("model_alias", registration.alias)
        self.context.log.info("register: %s", registration.reason)
        return registration

    @hook(since="0.1", returns="Markdown that says what the model is for and how good it is", check=_some_text)
    def model_card(self, *, model: Model, evaluation: Evaluation, verdict: Verdict) -> str:
        """Default: service, metrics, columns and the gate's checks; the same text for the same model.

        Args:
            model: the candidate, calibrated and at its threshold.
            evaluation: its figures on the test rows.
            verdict: the gate's answer.
        """
        figures = "\n".join(f"- {name}: {value:.4g}" for name, value in evaluation.metrics.items())
        checks = "\n".join(f"- {check}" for check in verdict.checks) or "- no rules"
        return (
            f"# {self.context.service}\n\n"
            f"Scores a row from {len(model.columns)} columns; positive from {model.threshold:.4g} up.\n\n"
            f"## On {evaluation.rows} test rows, {evaluation.positives} of them positive\n\n{figures}\n\n"
            f"## Gate\n\n{checks}\n\n## Columns\n\n{', '.join(model.columns)}\n"
        )

    def _registered(
        self,
        asked: Registration,
        folder: Path,
        tags: Mapping[str, str],
        evaluation: Evaluation,
        verdict: Verdict,
        champion: Champion,
    ) -> Registration:
        if not verdict.passed:
            return replace(asked, reason=f"not registered: the gate said no ({'; '.join(verdict.reasons)})")
        if not self.context.stores:
            return replace(asked, reason="not registered: a run in process stores nothing")
        if champion.digest == asked.digest:
            return replace(asked, version=champion.version, alias="champion", reason="it is the champion already")
        from carrental_mlops.integrations.mlflow import lineage, registry_for

        registry = registry_for(self.context)
        tags = {
            **tags,
            **{f"crm.{name}": value for name, value in lineage(self.context, registry.uri).items()},
            "gate": json.dumps(verdict.checks),
            "threshold": repr(evaluation.threshold),
            "env": self.context.env,
        }
        figures = {name: value for name, value in evaluation.metrics.items() if np.isfinite(value)}
        version = registry.register(folder, asked.digest, self.context.run_id, tags, figures)
        return self._placed(registry, replace(asked, version=version, alias="challenger"), verdict, champion)

    def _placed(
        self, registry: Registry, challenger: Registration, verdict: Verdict, champion: Champion
    ) -> Registration:
        version = str(challenger.version)
        if not verdict.promote:
            return replace(challenger, reason=f"challenger: no better than champion {champion.version}")
        if not self.config.promote:
            return replace(challenger, reason="challenger: steps.register.promote is off")
        if registry.promote(version, champion.version):
            taken = f"better than version {champion.version}" if champion.version else "the first that passed"
            return replace(challenger, alias="champion", reason=f"champion: {taken}")
        now = registry.champion()
        self.context.log.warning("register: another run promoted first; version %s stays challenger", version)
        return replace(
            challenger,
            reason=f"challenger: compared with champion {champion.version or 'none'}, "
            f"but another run has promoted {now.version if now else 'none'} since",
        )
