"""A file of any size is answered as the batch pipeline answers it, in memory that does not grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.aggregate import aggregate, join_as_of
from carrental_mlops.data.features import Arrays, FeatureSet, History
from carrental_mlops.data.model import Model
from carrental_mlops.data.simulator import FraudSimulation
from carrental_mlops.errors import DataError
from carrental_mlops.serving import ModelService
from carrental_mlops.steps import Champion, PredictConfig, PredictFileConfig, PredictFileStep, PredictStep
from carrental_mlops.steps.tables import FeatureRows

COLUMNS = Columns(
    id="payment_id", time="paid_at", label="is_fraud", entities=("customer_id",), rename={"AMOUNT": "amount_eur"}
)
ROWS = FraudSimulation(rows=2_000, days=40).frame()


class Habits(FeatureSet):
    history = (History(view="customer", entity="customer_id", days=(7,), mean=("amount_eur",)),)
    request = ("amount_eur", "paid_at")

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"hour": columns["paid_at"] % 86_400 / 3_600}


class Service(ModelService):
    feature_set = Habits


class PredictFile(PredictFileStep):
    service = Service


class Predict(PredictStep):
    service = Service


def _repo(root: Path) -> tuple[Path, Champion, pd.DataFrame]:
    """A repo with history tables and two files of payments; its champion; the rows with their history."""
    from lightgbm import LGBMClassifier

    tables = aggregate(ROWS, Habits.history, COLUMNS)
    tables.save(root / ".crm" / "feast")
    given = ROWS.rename(columns={"amount_eur": "AMOUNT"})
    (root / "in").mkdir()
    given[:1500].to_parquet(root / "in" / "a.parquet")
    given[1500:].to_parquet(root / "in" / "b.parquet")
    joined = join_as_of(ROWS, tables, Habits.history, COLUMNS)
    names = ("amount_eur", "customer__amount_eur_mean_7d", "hour")
    x = joined.assign(hour=joined["paid_at"].dt.hour)[list(names)].to_numpy(np.float64)
    estimator = LGBMClassifier(n_estimators=20, num_leaves=7, n_jobs=1, verbose=-1).fit(x, ROWS["is_fraud"])
    return root, Champion(Model(estimator, names, threshold=0.1), "3"), joined


def _step(root: Path, source: str = "in/*.parquet", chunk_rows: int = 333) -> PredictFile:
    config = PredictFileConfig(columns=COLUMNS, source=source, chunk_rows=chunk_rows)
    return PredictFile(config, Context(run_id="r1", root=root, stores=True))


def test_files_are_answered_as_the_batch_step_answers_their_rows(tmp_path: Path) -> None:
    root, champion, joined = _repo(tmp_path)
    done = _step(root).run(champion=champion)
    found = pd.read_parquet(root / done.output)
    wanted = Predict(PredictConfig(columns=COLUMNS)).run(rows=FeatureRows(joined), champion=champion)
    pd.testing.assert_frame_equal(found, wanted.reset_index(drop=True))
    assert done.rows == 2_000 and done.decided == found["decision"].value_counts().to_dict()
    assert pq.ParquetFile(root / done.output).num_row_groups > 4


def test_a_batch_that_fails_half_way_leaves_no_output_and_no_draft(tmp_path: Path) -> None:
    root, champion, _ = _repo(tmp_path)
    (root / "in" / "c.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match=r"c\.parquet"):
        _step(root).run(champion=champion)
    assert list((root / ".crm" / "predictions").iterdir()) == []


def test_what_is_missing_is_named_with_its_mend(tmp_path: Path) -> None:
    root, champion, _ = _repo(tmp_path)
    with pytest.raises(DataError, match="nothing at no/"):
        _step(root, "no/*.parquet").run(champion=champion)
    ROWS[["payment_id", "paid_at"]].to_parquet(root / "thin.parquet")
    with pytest.raises(DataError, match=r"lacks \['amount_eur', 'customer_id'\]"):
        _step(root, "thin.parquet").run(champion=champion)
    (root / ".crm" / "feast" / "customer.parquet").unlink()
    with pytest.raises(DataError, match=r"customer\.parquet") as error:
        _step(root).run(champion=champion)
    assert error.value.fix == "crm run features"


@pytest.mark.parametrize(("times", "found"), [(["2026-01-02", "soon"], "soon"), ([1_767_312_000, 2], "1767312000")])
def test_a_time_that_cannot_be_read_is_shown_with_its_file(tmp_path: Path, times: list[object], found: str) -> None:
    root, champion, _ = _repo(tmp_path)
    odd = ROWS.iloc[:2].rename(columns={"amount_eur": "AMOUNT"}).assign(paid_at=times)
    odd.to_parquet(root / "odd.parquet")
    with pytest.raises(DataError, match=rf"`paid_at` of odd\.parquet holds .*{found}.*, which is no ISO 8601 time"):
        _step(root, "odd.parquet").run(champion=champion)


PEAK = """
import sys
from pathlib import Path
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq
sys.path.insert(0, sys.argv[1])
import test_predict_file as t
root, rows = Path(sys.argv[2]), int(sys.argv[3])
if sys.argv[4] == "write":
    part = pd.concat([t.ROWS] * 10).rename(columns={"amount_eur": "AMOUNT"})
    with pq.ParquetWriter(root / f"{rows}.parquet", pa.Table.from_pandas(part, preserve_index=False).schema) as out:
        for _ in range(rows // len(part)):
            out.write_table(pa.Table.from_pandas(part, preserve_index=False))
    sys.exit()
_, champion, _ = t._repo(root)
done = t._step(root, f"{rows}.parquet", 20_000).run(champion=champion)
assert done.rows == rows, done
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024)
"""


def _peak_mib(root: Path, rows: int) -> float:
    def child(*what: str) -> str:
        command = [sys.executable, "-c", PEAK, str(Path(__file__).parent), str(root), str(rows), *what]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    root.mkdir()
    child("write")
    return float(child("score"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("rows", [200_000, pytest.param(1_000_000, marks=pytest.mark.e2e)])
def test_the_peak_memory_of_four_times_the_rows_is_that_of_the_rows(tmp_path: Path, rows: int) -> None:
    small, large = (_peak_mib(tmp_path / str(n), n) for n in (rows, 4 * rows))
    assert large < small + 40, f"{small:.0f} MiB for {rows:,} rows, {large:.0f} MiB for {4 * rows:,}"
