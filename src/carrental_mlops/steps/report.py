"""One HTML file that says what was trained, on what, how good it is and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, final

import pandas as pd

from carrental_mlops.config import Columns
from carrental_mlops.core import Context, Step, StepConfig, call, hook
from carrental_mlops.data.datasets import frame_digest
from carrental_mlops.data.measures.curves import Curve
from carrental_mlops.data.measures.drift import profile, stability_index
from carrental_mlops.data.measures.evaluation import Evaluation
from carrental_mlops.data.model import Model
from carrental_mlops.files import whole_file
from carrental_mlops.integrations.plots import bar_chart, line_chart
from carrental_mlops.steps.champion import Champion
from carrental_mlops.steps.explain import Explanation
from carrental_mlops.steps.gate import Verdict
from carrental_mlops.steps.register import Registration
from carrental_mlops.steps.tables import TestRows, TrainRows

_TEMPLATE = "report.html.jinja"
_SHOWN_FEATURES = 20


class ReportConfig(StepConfig):
    """What the report's tables are made from."""

    columns: Columns
    """Filled from the top level of crm.yaml."""


@dataclass(frozen=True)
class Report:
    """Where the report lies and what it found about the data."""

    path: str
    """Relative to the repo, or empty for a run in process, whose report is an artefact only."""
    drift: Mapping[str, float]
    """Feature name to its stability index on the test rows."""


def _html_by_title(result: Any, given: dict[str, Any]) -> str | None:
    wrong = [title for title, text in result.items() if not isinstance(title, str) or not isinstance(text, str)]
    return f"returned something other than text for {wrong}" if wrong else None


class ReportStep(Step):
    """Always written, whatever the gate said; never cached, for each run has its own. Hooks: `sections`."""

    config: ReportConfig
    cacheable: ClassVar[bool] = False

    @final
    def run(
        self,
        *,
        model: Model,
        train: TrainRows,
        test: TestRows,
        evaluation: Evaluation,
        verdict: Verdict,
        explanation: Explanation,
        champion: Champion,
        registration: Registration,
    ) -> Report:
        """The report as artefact `report.html` and, where the run stores, as `.crm/reports/<run id>.html`.

        Raises:
            PlatformError: a file cannot be written; no half of one is left.
            ContractError: `sections` returned something else.
        """
        drift = _drift(model, train, test, champion)
        page = _rendered(
            context=self.context,
            written=datetime.now(UTC),
            model=model,
            data=_data(train, test, self.config.columns),
            evaluation=evaluation,
            verdict=verdict,
            explanation=explanation,
            champion=champion,
            registration=registration,
            charts=_charts(evaluation.curves),
            importance=_importance(explanation),
            drift=drift,
            reference=f"what champion {champion.version} was trained on" if champion.profile else "the train rows",
            lineage=_lineage(self.context),
            sections=call(self.sections, rows=test, evaluation=evaluation),
        )
        _write(self.context.artefact("report.html"), page)
        moved = [index for index in drift.values() if index == index]
        self.context.metric("drift_max_psi", max(moved, default=0.0))
        return Report(_stored(self.context, page), drift)

    @hook(since="0.1", returns="section title to its HTML, shown after the standard sections", check=_html_by_title)
    def sections(self, *, rows: pd.DataFrame, evaluation: Evaluation) -> Mapping[str, str]:
        """Default: none.

        Args:
            rows: (n, …) test rows.
            evaluation: the candidate's figures.
        """
        return {}


def _drift(model: Model, train: pd.DataFrame, test: pd.DataFrame, champion: Champion) -> dict[str, float]:
    reference = champion.profile or profile(train, model.columns)
    found = {n: stability_index(b, test[n].to_numpy(float)) for n, b in reference.items() if n in test.columns}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _data(train: pd.DataFrame, test: pd.DataFrame, columns: Columns) -> list[dict[str, Any]]:
    summaries = []
    for name, rows in (("train", train), ("test", test)):
        span = rows[columns.time]
        summaries.append(
            {
                "name": name,
                "rows": len(rows),
                "positives": int(rows[columns.label].sum()),
                "first": str(span.min()),
                "last": str(span.max()),
                "missing": float(rows.isna().to_numpy().mean()),
                "digest": frame_digest(rows),
            }
        )
    return summaries


def _lineage(context: Context) -> dict[str, str]:
    from carrental_mlops.integrations.mlflow import lineage, tracking_uri

    known = lineage(context, tracking_uri(context.root))
    commit = known.get("git_commit", "not under git")
    changed = " and changes that were not committed" if known.get("git_dirty") == "true" else ""
    template = f"{known['template']} {known.get('template_version', '')}" if "template" in known else "none"
    return {
        "git commit": commit + changed,
        "fingerprint of code and config": known.get("fingerprint", "not taken in process"),
        "seed": str(context.seed),
        "carrental-mlops": known["package_version"],
        "template": template,
        "MLflow run": known.get("mlflow_run_id", "none: in process nothing is tracked"),
    }


def _charts(curves: Mapping[str, Curve]) -> dict[str, str]:
    if not curves:
        return {}
    lines = {name: {name: (curve.x, curve.y)} for name, curve in curves.items()}
    return {
        "Precision and recall": line_chart(lines["pr"], "recall", "precision"),
        "ROC": line_chart(lines["roc"], "false positive rate", "true positive rate", diagonal=True),
        "Calibration": line_chart(lines["calibration"], "predicted", "observed", diagonal=True, dots=True),
    }


def _importance(explanation: Explanation) -> str:
    shown = {one.feature: one.mean_abs for one in explanation.features[:_SHOWN_FEATURES]}
    return bar_chart(shown, f"mean absolute SHAP value ({explanation.unit})")


def _rendered(**values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8")).render(values)


def _stored(context: Context, page: str) -> str:
    if not context.stores:
        return ""
    path = context.state / "reports" / f"{context.run_id}.html"
    _write(path, page)
    return path.relative_to(context.root).as_posix()


def _write(path: Path, page: str) -> None:
    with whole_file(path) as draft:
        draft.write_text(page, encoding="utf-8")
