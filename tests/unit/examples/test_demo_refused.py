"""`make demo` after a gate's no: the verdict and the report instead of a batch that has no champion."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[3] / "examples" / "demo.py"
CRM = """\
#!{python}
import pathlib, sys
log = pathlib.Path({log!r})
log.write_text((log.read_text() if log.exists() else "") + " ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "run":
    print({told!r})
    sys.exit(4)
"""


def test_a_refused_model_ends_the_demo_with_the_verdict_and_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(DEMO.parent)
    spec = importlib.util.spec_from_file_location("demo_script", DEMO)
    assert spec and spec.loader
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    told = json.dumps({"refused": "`gate` said no: recall is 0.1", "run_id": "training-1", "steps": [], "metrics": {}})
    log, crm = tmp_path / "asked", tmp_path / "crm"
    crm.write_text(CRM.format(python=sys.executable, log=str(log), told=told))
    crm.chmod(0o755)
    monkeypatch.setattr(demo, "CRM", crm)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    repo = tmp_path / ".demo" / "fraud-payments"
    repo.mkdir(parents=True)
    (repo / ".crm.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    with pytest.raises(SystemExit) as ended:
        demo.main()
    assert ended.value.code == 4
    assert log.read_text().splitlines() == ["run training --json"]
    out = capsys.readouterr().out
    assert "`gate` said no: recall is 0.1" in out
    assert ".demo/fraud-payments/.crm/reports/training-1.html" in out and "crm report open" in out
