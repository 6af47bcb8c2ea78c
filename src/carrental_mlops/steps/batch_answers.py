"""A batch answered chunk by chunk: what `predict` and `predict_file` share."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.errors import ConfigError, DataError, shown_url
from carrental_mlops.files import whole_file
from carrental_mlops.integrations.s3 import S3Objects
from carrental_mlops.serving import ModelService
from carrental_mlops.steps.champion import Champion


@dataclass(frozen=True, eq=False)
class BatchScorer:
    """A service that answers tables, and counts what it decided."""

    service: ModelService
    version: str
    """Of the champion."""
    id_column: str
    decided: Counter[str] = field(default_factory=Counter)
    """Decision to rows, over all calls."""

    @classmethod
    def of(cls, service: type[ModelService], champion: Champion, context: Context, columns: Columns) -> BatchScorer:
        """The champion in `service`.

        Raises:
            DataError: there is no champion.
        """
        if champion.model is None:
            raise DataError(
                f"{context.step or 'predict'}: {context.service} has no champion",
                "crm run training; if its gate said no: crm report open tells why, steps.gate.minimum holds the rule",
            )
        return cls(service(champion.model), champion.version or "", columns.id)

    def answer(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The id column, `score`, `decision`, `reason`, `model_version`: same rows, order and index.

        Raises:
            DataError: a field of the service is missing or not numeric.
        """
        request: dict[str, Any] = {n: rows[n].to_numpy() for n in self.service.fields() if n in rows.columns}
        answer = self.service.answer(request)
        decisions = answer.decisions.astype(object)
        self.decided.update(decisions.tolist())
        answers = {
            self.id_column: rows[self.id_column],
            "score": answer.scores,
            "decision": decisions,
            "reason": list(answer.reasons),
            "model_version": self.version,
        }
        return pd.DataFrame(answers, index=rows.index)

    def count(self, context: Context) -> None:
        """Record `predicted_rows` and a metric for each decision."""
        context.metric("predicted_rows", self.decided.total())
        for decision, rows in sorted(self.decided.items()):
            context.metric(f"decided_{decision}", rows)


def no_answers(id_column: str) -> pd.DataFrame:
    """What `BatchScorer.answer` gives for no rows."""
    names = {id_column: object, "score": float, "decision": object, "reason": object, "model_version": object}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in names.items()})


class AnswersFile:
    """Parquet, one row group a chunk; the types of the first chunk hold for all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, answers: pd.DataFrame) -> None:
        """Append a row group; its index is not kept."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = self._writer.schema if self._writer else None
        table = pa.Table.from_pandas(answers, schema=schema, preserve_index=False)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the footer, where a row group was written."""
        if self._writer is not None:
            self._writer.close()


@contextlib.contextmanager
def answers_file(output: str, context: Context, id_column: str) -> Iterator[AnswersFile]:
    """A file to append answers to; it appears at `output` as a whole when the block ends well, else not at all.

    Args:
        output: Parquet file, relative to the repo, or an `s3://` address; `{run_id}` is filled in.
        context: of the step; records where the file lies.
        id_column: of a file without rows.

    Raises:
        ConfigError: `output` is another kind of address.
        DataError: there is no such bucket.
        PlatformError: it cannot be written.
    """
    output = output.format(run_id=context.run_id)
    context.param("predictions", output)
    remote = output.startswith("s3://")
    if "://" in output and not remote:
        raise ConfigError(
            f"{context.step or 'predict'}: output {shown_url(output)} is neither a path nor s3://",
            "mend `output` of the step in crm.yaml",
        )
    with tempfile.TemporaryDirectory(prefix="crm-answers-") if remote else contextlib.nullcontext("") as scratch:
        with whole_file(Path(scratch) / "answers.parquet" if remote else context.root / output) as draft:
            no_answers(id_column).to_parquet(draft, index=False)  # stands where no chunk comes
            file = AnswersFile(draft)
            try:
                yield file
            finally:
                file.close()
        if remote:
            S3Objects(output).store(Path(scratch) / "answers.parquet")
