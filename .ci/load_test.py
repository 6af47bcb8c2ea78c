"""A fresh model of each template, trained, served and held to its SLO by k6. A missed SLO ends it with exit code 5.

python .ci/load_test.py --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))
CRM = Path(sys.executable).with_name("crm")


def crm(*arguments: str, cwd: Path, ok: tuple[int, ...] = (0,)) -> str:
    """What `crm` printed on stdout."""
    done = subprocess.run([CRM, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in ok:
        sys.exit(done.returncode)
    return done.stdout


def loaded(template: str, folder: Path) -> dict[str, object]:
    """What the load test of a fresh `template` measured."""
    from demo_service import problems, serve

    crm("new", "--template", template, "--name", "fresh-model", "--no-input", cwd=folder)
    repo = folder / "fresh-model"
    for pipeline in ("training", "features"):
        crm("run", pipeline, "--json", cwd=repo)
    served = serve(CRM, repo, crm)
    return {"template": template, "problems": problems(served), **served["load"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Folder of <template>.json")
    out: Path = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    bad = 0
    for template in json.loads(crm("templates", "list", "--json", cwd=ROOT)):
        with tempfile.TemporaryDirectory() as folder:
            found = loaded(template["name"], Path(folder))
        (out / f"{template['name']}.json").write_text(json.dumps(found, indent=2, default=str) + "\n")
        print(template["name"], "held" if found["passed"] else f"missed: {found['reasons']}", *found["problems"])
        bad += bool(found["problems"]) or not found["passed"]
    return 5 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
