"""`make demo`: a new model repo, its training pipeline on ZenML, MLflow and Feast, a batch scored by the champion,
and the champion as a service: asked over the network, load tested against its SLO, stopped.

    python examples/demo.py                     # simulated payments
    python examples/demo.py --data FILE         # your own file; its mapping: examples/mappings/<name>.yaml or --mapping

A second run reuses the repo and ZenML's cache. Everything lies in .demo/.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo_service import problems, serve, told

Run = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
CRM = Path(sys.executable).with_name("crm")
REFUSED = 4
"""Exit code of a run whose gate said no, and of this demo then."""


def crm(*arguments: str, cwd: Path, ok: tuple[int, ...] = (0,)) -> str:
    """What `crm` printed on stdout; its progress goes straight to the terminal."""
    print(f"$ crm {' '.join(arguments)}", file=sys.stderr, flush=True)
    process = subprocess.Popen([CRM, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True)
    try:
        out, _ = process.communicate()
    except KeyboardInterrupt:
        stop(process)
        raise
    if process.returncode not in ok:
        sys.exit(process.returncode)
    return out


def stop(process: subprocess.Popen[str]) -> None:
    """Let `crm` close its run: a terminal told it of Ctrl-C too; if not, it is told here."""
    for seconds, number in ((5, signal.SIGINT), (20, signal.SIGKILL)):
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            process.send_signal(number)
    process.wait()


def new_repo(name: str) -> Path:
    folder = ROOT / ".demo"
    folder.mkdir(exist_ok=True)
    if not (folder / name / ".crm.json").is_file():
        crm("new", "--template", "fraud-realtime", "--name", name, "--no-input", cwd=folder)
    return folder / name


def use_data(repo: Path, data: Path, mapping: Path) -> None:
    """Point the repo's config at `data`; the mapping holds the dotted keys that differ."""
    import yaml

    values = {"steps.ingest.source": str(data)}
    if mapping.is_file():
        values |= yaml.safe_load(mapping.read_text())
    pairs = [f"{key}={json.dumps(value, default=str)}" for key, value in values.items()]
    crm("config", "set", *pairs, cwd=repo)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Parquet or CSV file of payments")
    parser.add_argument("--mapping", type=Path, help="YAML of dotted config keys, such as columns.rename.TX_AMOUNT")
    args = parser.parse_args()
    started = time.monotonic()
    data = args.data.resolve() if args.data else None
    repo = new_repo("fraud-payments" if data is None else f"fraud-{data.stem.lower().replace('_', '-')}")
    if data is not None:
        use_data(repo, data, (args.mapping or ROOT / "examples" / "mappings" / f"{data.stem}.yaml").resolve())
    training = json.loads(crm("run", "training", "--json", cwd=repo, ok=(0, REFUSED)))
    if training["refused"] is not None:
        refused(repo, training)
        sys.exit(REFUSED)
    batch = json.loads(crm("run", "batch_inference", "--json", cwd=repo))
    crm("run", "features", "--json", cwd=repo)
    served = serve(CRM, repo, crm)
    summary(repo, training, batch, time.monotonic() - started, told(served, ROOT))
    if wrong := problems(served):
        sys.exit("\n".join(wrong))


def refused(repo: Path, training: Run) -> None:
    """Why nothing was promoted, so that no batch was scored, and where to read on."""
    here = repo.relative_to(ROOT)
    print(f"""
The gate refused the model, so no batch was scored
  verdict    {training["refused"]}
  report     {report(repo, training).relative_to(ROOT)}
  rules      {here}/config/crm.yaml, steps.gate
  next       cd {here} && ../../.venv/bin/crm report open""")


def report(repo: Path, training: Run) -> Path:
    return repo / ".crm" / "reports" / f"{training['run_id']}.html"


def summary(repo: Path, training: Run, batch: Run, seconds: float, service: str) -> None:
    """What was done, what the model is worth, what the service answered, where each thing lies."""
    import pandas as pd

    metrics = training["metrics"]
    predictions = repo / ".crm" / "predictions" / f"{batch['run_id']}.parquet"
    scored = pd.read_parquet(predictions)
    decided = ", ".join(f"{n:,} {name}" for name, n in scored["decision"].value_counts().items())
    cached = sum(step["status"] == "cached" for step in training["steps"])
    print(f"""
Done in {seconds:.0f} s
  repo       {repo.relative_to(ROOT)}
  training   {len(training["steps"])} steps on ZenML ({cached} from the cache), {metrics["rows_train"]:,.0f} rows
  gate       passed
  champion   version {scored["model_version"].iloc[0]}
  batch      {len(scored):,} rows: {decided}

What the model is worth, on {metrics["rows_test"]:,.0f} later rows it never saw
  average precision {metrics["average_precision"]:.3f}    ROC AUC {metrics["roc_auc"]:.3f}
  at its threshold: precision {metrics["precision"]:.2f}, recall {metrics["recall"]:.2f}
  errors cost {metrics["cost_eur_per_1000"]:,.0f} EUR per 1,000 payments

{service}

Where things lie
  report       {report(repo, training).relative_to(ROOT)}
  predictions  {predictions.relative_to(ROOT)}
  load test    {repo.relative_to(ROOT)}/.crm/loadtests
  MLflow       .venv/bin/mlflow ui --backend-store-uri {training["urls"]["mlflow"]}
  next         cd {repo.relative_to(ROOT)} && ../../.venv/bin/crm hooks""")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
