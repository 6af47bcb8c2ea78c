"""The first `crm run training` of a new repo in a fresh process, against the same work by hand in ZenML and MLflow.

The hand-written peer (`by_hand.py`) reads the same simulated rows, makes the same features, trains LightGBM and
evaluates, then logs the model with `mlflow.lightgbm.log_model` as the documentation shows it, requirements inferred.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from measure import BIN, Row, alternate, wall

HERE = Path(__file__).parent


def rows(runs: int = 3) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)

        def ours() -> float:
            shutil.rmtree(base / "bench", ignore_errors=True)
            wall([BIN / "crm", "new", "--template", "fraud-realtime", "--name", "bench", "--no-input"], base)
            return wall([BIN / "crm", "run", "training"], base / "bench")

        def by_hand() -> float:
            shutil.rmtree(base / "hand", ignore_errors=True)
            (base / "hand").mkdir()
            env = {"ZENML_CONFIG_PATH": str(base / "hand" / "zenml"), "ZENML_ANALYTICS_OPT_IN": "false"}
            return wall([sys.executable, HERE / "by_hand.py"], base / "hand", env)

        mine, peer = alternate(ours, by_hand, runs=runs)
    return [Row("first `crm run training`", mine, "by hand in ZenML and MLflow, defaults", peer, "<= 0.5x")]


if __name__ == "__main__":
    for row in rows():
        print(row.markdown())
