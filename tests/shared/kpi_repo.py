"""A model repo whose past is written with seeded dates: commits, merges, trainings, releases, journal."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from releases import stored

from carrental_mlops.deploy.releases.journal import JournalEntry, Kind
from carrental_mlops.deploy.releases.release import Event, State
from carrental_mlops.deploy.releases.store import ReleaseStore

START = datetime(2026, 1, 5, tzinfo=UTC)
_WHO = {f"GIT_{role}_{part}": "ana@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
CONFIG = """\
service: {name}
package: tiny
owner: {team}
tier: {tier}
columns: {{id: row_id, time: at, label: is_bad, entities: [customer_id]}}
slo: {{p99_ms: 50, rps: 10, error_rate: 0.01}}
"""


def day(number: float) -> datetime:
    """So many days after 5 January 2026, UTC."""
    return START + timedelta(days=number)


@dataclass
class KpiRepo:
    """Days are counted from `START`."""

    root: Path
    name: str = "fraud"
    team: str = "risk-ds@example.com"
    tier: int = 1
    template: str = "fraud-realtime"
    _files: int = field(default=0)

    def new(self, at: float, version: str = "0.1.0") -> str:
        """The first commit, as `crm new` makes it."""
        (self.root / "config").mkdir(parents=True)
        (self.root / "config" / "crm.yaml").write_text(CONFIG.format(name=self.name, team=self.team, tier=self.tier))
        for env in ("staging", "prod"):
            (self.root / "config" / f"{env}.yaml").write_text("")
        (self.root / ".gitignore").write_text(".crm/\nreleases/\n")
        self.git("init", "-q", "-b", "main")
        return self.version(at, version)

    def version(self, at: float, version: str) -> str:
        """A commit that says the repo stands on `version`."""
        told = {"template": self.template, "version": version, "answers": {}, "files": {}}
        (self.root / ".crm.json").write_text(json.dumps(told))
        return self.commit(at, f"carrental-mlops {version}", change=False)

    def commit(self, at: float, message: str, change: bool = True) -> str:
        """A commit of everything; `change` adds a file."""
        if change:
            self._files += 1
            (self.root / f"file{self._files}.txt").write_text(message)
        self.git("add", "-A", at=at)
        self.git("commit", "-q", "-m", message, at=at)
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str, at: float) -> str:
        """A commit on a new branch, which is left again."""
        self.git("switch", "-q", "-c", name)
        made = self.commit(at, "work")
        self.git("switch", "-q", "main")
        return made

    def merge(self, name: str, at: float) -> str:
        """The merge commit, as GitLab writes it."""
        self.git("merge", "-q", "--no-ff", "-m", f"Merge branch '{name}' into 'main'", name, at=at)
        return self.git("rev-parse", "HEAD")

    def idea(self, feature: str, at: float) -> None:
        """An entry of ideas.yaml, committed."""
        with (self.root / "ideas.yaml").open("a") as file:
            file.write(f"- {{feature: {feature}, date: {day(at):%Y-%m-%d}, person: ana}}\n")
        self.commit(at, f"Idea: {feature}", change=False)

    def train(self, at: float, commit: str, passed: bool, pipeline: str = "training") -> None:
        """A run of an hour in the repo's own MLflow, ended at `at`; a refused gate ends it as FAILED."""
        from mlflow.entities import RunTag

        from carrental_mlops.integrations.mlflow_client import client_for, tracking_uri

        client = client_for(tracking_uri(self.root))
        known = client.get_experiment_by_name(self.name)
        experiment = known.experiment_id if known else client.create_experiment(self.name)
        end = int(day(at).timestamp() * 1000)
        tags = {"crm.pipeline": pipeline, "crm.git_commit": commit, "crm.run_id": f"training-{at}"}
        run = client.create_run(experiment, start_time=end - 3_600_000, tags=tags).info.run_id
        client.log_batch(run, tags=[RunTag("crm.env", "local")])
        client.log_metric(run, "gate.gate_passed", float(passed))
        client.set_terminated(run, status="FINISHED" if passed else "FAILED", end_time=end)

    def deploy(self, env: str, at: float, commit: str | None = None, state: State | None = "available",
               after: float = 0, track: str = "champion", **changed: object) -> str:  # fmt: skip
        """Id of a release asked for at `at`, which came to `state` `after` days later; None: nothing was begun."""
        store = ReleaseStore(self.root, "releases/")

        def make(name: str):
            made = stored(name, env=env, at=day(at), commit=commit, **changed)
            return made.model_copy(update={"values": {"tracks": [{"name": track, "release": name}]}})

        name = store.add(env, make).release.id
        for one, when in (("started", at), (state, at + after)):
            if state is not None:
                store.record(Event(release=name, state=one, at=day(when), by="ana"))
        return name

    def journal(self, env: str, at: float, kind: Kind, name: str | None = None, **data: object) -> None:
        """An entry of the journal."""
        entry = JournalEntry(kind=kind, at=day(at), by="ana", said="", release=name, data=data)
        path = self.root / "releases" / env / "journal" / f"{entry.at:%Y%m%dT%H%M%S.%fZ}-0.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entry.model_dump_json())

    def git(self, *arguments: str, at: float = 0) -> str:
        """What git wrote; commits bear the date of `at`."""
        when = day(at).isoformat()
        dated = {**os.environ, **_WHO, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        command = ["git", "-C", str(self.root), *arguments]
        done = subprocess.run(command, env=dated, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
