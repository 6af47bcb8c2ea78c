"""A batch of any size scored by the champion: read, joined, answered and written a chunk at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import pandas as pd

from carrental_mlops.core import Step
from carrental_mlops.data.aggregate import AsOfJoin, FeatureTables
from carrental_mlops.data.sources.formats import in_utc
from carrental_mlops.errors import DataError
from carrental_mlops.serving import ModelService
from carrental_mlops.steps.batch_answers import BatchScorer, answers_file
from carrental_mlops.steps.champion import Champion
from carrental_mlops.steps.predict import PredictConfig


class PredictFileConfig(PredictConfig):
    """What is scored, and where the answers go."""

    source: str
    """Parquet file or glob of payments, relative to the repo; its columns are renamed as `columns.rename` says."""
    tables: str = ".crm/feast"
    """Folder of the history tables that `crm run features` made, a Parquet file a view; relative to the repo."""


@dataclass(frozen=True)
class ScoredBatch:
    """Where the answers lie and what was decided."""

    output: str
    """Empty where the run stores nothing."""
    rows: int
    decided: dict[str, int]
    """Decision to rows."""


class PredictFileStep(Step):
    """Scores a file in memory that does not grow with it. Hooks: none; `ModelService` has them."""

    config: PredictFileConfig
    service: ClassVar[type[ModelService]]
    cacheable: ClassVar[bool] = False

    @final
    def run(self, *, champion: Champion) -> ScoredBatch:
        """The champion's answer to each row of `source`, with the history that the features pipeline stored last.

        The rows meet no row contract but the service's: every field there and numeric.

        Raises:
            DataError: there is no champion, no source, no history table, a field of the service is missing, or a time
                cannot be read.
            PlatformError: the output cannot be written.
        """
        scorer = BatchScorer.of(self.service, champion, self.context, self.config.columns)
        join = self._join()
        parts = (scorer.answer(join.join(part)) for part in self._chunks())
        if self.context.stores:
            with answers_file(self.config.output, self.context, self.config.columns.id) as file:
                for answers in parts:
                    file.write(answers)
        else:
            for _ in parts:
                pass
        scorer.count(self.context)
        output = self.context.params.get("predictions", "")
        return ScoredBatch(str(output), scorer.decided.total(), dict(scorer.decided))

    def _join(self) -> AsOfJoin:
        features, folder = self.service.feature_set, self.context.root / self.config.tables
        if features.stored:
            raise DataError(
                f"predict_file: features made elsewhere are not joined here: {', '.join(features.stored)}",
                "score with BatchInferencePipeline, which joins through Feast",
            )
        tables = {h.view: folder / f"{h.view}.parquet" for h in features.history}
        if missing := [path.name for path in tables.values() if not path.is_file()]:
            raise DataError(f"predict_file: no {', '.join(missing)} in {self.config.tables}", "crm run features")
        found = FeatureTables({view: pd.read_parquet(path) for view, path in tables.items()})
        return AsOfJoin(found, features.history, self.config.columns.time)

    def _chunks(self) -> Iterator[pd.DataFrame]:
        pattern = str(self.context.root / self.config.source)
        paths = [Path(p) for p in sorted(glob.glob(pattern))]  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not paths:
            raise DataError(f"predict_file: nothing at {self.config.source}", "set steps.predict_file.source")
        for path in paths:
            yield from self._read(path)

    def _read(self, path: Path) -> Iterator[pd.DataFrame]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns, features = self.config.columns, self.service.feature_set
        wanted = {columns.id, columns.time, *features.request, *(h.entity for h in features.history)}
        try:
            with pq.ParquetFile(path) as file:
                names = {n: columns.rename.get(n, n) for n in file.schema_arrow.names}
                read = [n for n, ours in names.items() if ours in wanted]
                if missing := wanted - {names[n] for n in read}:
                    raise DataError(
                        f"predict_file: {path.name} lacks {sorted(missing)}, found {sorted(names.values())}",
                        "mend columns.rename in crm.yaml",
                    )
                for batch in file.iter_batches(self.config.chunk_rows, columns=read):
                    rows = batch.to_pandas().rename(columns=names)
                    rows[columns.time] = _times(rows[columns.time], path)
                    yield rows
        except pa.ArrowInvalid as error:
            raise DataError(f"predict_file: {path} is no Parquet file: {error}", "write it again") from error


def _times(given: pd.Series[Any], path: Path) -> pd.Series[Any]:
    found = in_utc(given)
    if len(given) and not isinstance(found.dtype, pd.DatetimeTZDtype):
        read = pd.to_datetime(given.astype(str), utc=True, errors="coerce", format="ISO8601")
        odd = given[read.isna() & given.notna()]
        example = repr((odd if len(odd) else given).iloc[0])
        raise DataError(
            f"predict_file: `{given.name}` of {path.name} holds {example}, which is no ISO 8601 time",
            f"write the column as timestamps, such as 2026-01-31T12:00:00Z, in {path.name}",
        )
    return found
