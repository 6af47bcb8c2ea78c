"""Terraform: where it is, and one command of it with its errors told in our words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError, CrmError, PlatformError

BINARY = "CRM_TERRAFORM"
OLDEST = (1, 11)
"""The first version whose S3 lock needs no DynamoDB."""


class StateLocked(PlatformError):
    """Another apply, or one that was cut off, holds the state's lock."""

    def __init__(self, what: str, fix: str, retryable: bool = True, lock: str = "") -> None:
        super().__init__(what, fix, retryable)
        self.args = (what, fix, retryable, lock)

    @property
    def lock(self) -> str:
        """Id of the lock."""
        return str(self.args[3])


def find_terraform() -> Path:
    """The terraform binary: CRM_TERRAFORM, else PATH.

    Raises:
        PlatformError: there is none, or it is older than 1.11.
    """
    named = os.environ.get(BINARY)
    found = shutil.which(named or "terraform")
    if found is None:
        what = f"{BINARY}={named} is no program" if named else "no terraform: not in CRM_TERRAFORM, not on PATH"
        raise PlatformError(what, "install Terraform 1.11 or later, or set CRM_TERRAFORM to its binary")
    told = subprocess.run([found, "version", "-json"], capture_output=True, text=True, check=False)  # noqa: S603
    try:
        version = str(json.loads(told.stdout)["terraform_version"])
        number = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
    except (ValueError, KeyError, TypeError) as error:
        raise PlatformError(f"{found} does not say its version", "set CRM_TERRAFORM to a Terraform binary") from error
    if number < OLDEST:
        raise PlatformError(f"{found} is Terraform {version}; the lock in S3 needs 1.11", "install a newer Terraform")
    return Path(found)


@dataclass(frozen=True)
class Terraform:
    """Terraform in one folder of `.tf` files.

    Args:
        binary: from `find_terraform`.
        folder: where the `.tf` files lie.
        data: where Terraform keeps providers and the backend's settings; one for each environment.
        variables: a `.tfvars.json` file.
    """

    binary: Path
    folder: Path
    data: Path
    variables: Path

    def init(self, backend: Mapping[str, str]) -> None:
        """Fetch providers and open the state that `backend` names."""
        told = [f"-backend-config={key}={value}" for key, value in backend.items()]
        self._run(["init", "-input=false", "-reconfigure", *told])

    def plan(self, out: Path, destroy: bool = False) -> None:
        """Write a plan to `out`."""
        how = ["-destroy"] if destroy else []
        self._run(["plan", *how, "-input=false", "-lock-timeout=10s", f"-out={out}", self._vars()])

    def show(self, plan: Path) -> dict[str, Any]:
        """The plan as `terraform show -json` tells it."""
        shown: dict[str, Any] = json.loads(self._ask(["show", "-json", str(plan)]))
        return shown

    def apply(self, plan: Path, started: Callable[[int], None]) -> None:
        """Apply `plan`, as it is; `started` is told Terraform's process id.

        Its words go to `apply.log` beside the plan and from there to stderr, so that Terraform ends well even where
        this process is killed. Ctrl-C reaches Terraform too, which ends what it is at and keeps its state.
        """
        log = plan.with_name("apply.log")
        command = self._command(["apply", "-input=false", "-lock-timeout=10s", str(plan)])
        with log.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(command, env=self._env(), stdout=out, stderr=subprocess.STDOUT)  # noqa: S603
        started(process.pid)
        said = _followed(log, process)
        if process.returncode:
            raise refusal_of("apply", said, process.returncode)

    def addresses(self) -> set[str]:
        """Of every resource in the state."""
        return set(self._ask(["state", "list"]).split("\n")) - {""}

    def adopt(self, address: str, identity: str) -> bool:
        """Take an existing object into the state; False where there is none."""
        try:
            self._run(["import", "-input=false", "-lock-timeout=10s", self._vars(), address, identity], quiet=True)
        except StateLocked:
            raise
        except CrmError as error:
            if "non-existent remote object" in error.what or "Cannot import" in error.what:
                return False
            raise
        return True

    def unlock(self, lock: str) -> None:
        """Release the lock with this id."""
        self._run(["force-unlock", "-force", lock])

    def _vars(self) -> str:
        return f"-var-file={self.variables}"

    def _command(self, words: Sequence[str]) -> list[str]:
        return [str(self.binary), f"-chdir={self.folder}", words[0], "-no-color", *words[1:]]

    def _env(self) -> dict[str, str]:
        return {**os.environ, "TF_DATA_DIR": str(self.data), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}

    def _ask(self, words: Sequence[str]) -> str:
        command = [part for part in self._command(words) if part != "-no-color" or words[0] != "state"]
        told = subprocess.run(command, env=self._env(), capture_output=True, text=True, check=False)  # noqa: S603
        if told.returncode == 0:
            return told.stdout
        if "No state file was found" in told.stderr:
            return ""
        raise refusal_of(words[0], told.stderr)

    def _run(self, words: Sequence[str], quiet: bool = False) -> None:
        """What Terraform says goes to stderr as it comes, and is kept for the error."""
        said: list[str] = []
        with subprocess.Popen(  # noqa: S603 - our own words
            self._command(words), env=self._env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout or ():
                said.append(line)
                if not quiet:
                    sys.stderr.write(line)
        if process.returncode:
            raise refusal_of(words[0], "".join(said), process.returncode)


def _followed(log: Path, process: subprocess.Popen[bytes]) -> str:
    """What `process` writes to `log`, shown on stderr as it comes, until it ends; Ctrl-C waits for it."""
    said, stopped = [], None
    with log.open(encoding="utf-8", errors="replace") as lines:
        while True:
            try:
                ended = process.poll() is not None
                said.append(lines.read())
                sys.stderr.write(said[-1])
                if ended:
                    break
                time.sleep(0.2)
            except KeyboardInterrupt as error:
                stopped = error
    if stopped is not None:
        raise stopped
    return "".join(said)


def refusal_of(command: str, said: str, code: int = 1) -> CrmError:
    """What Terraform's own error means for who ran `command`."""
    if code < 0:
        return PlatformError(f"terraform {command} was killed (signal {-code})", "crm infra plan", retryable=True)
    if "Error acquiring the state lock" in said:
        told = {key: _field(said, key) for key in ("ID", "Who", "Operation", "Created")}
        what = f"the state is locked by {told['Who']} since {told['Created']} ({told['Operation']})"
        return StateLocked(what, "wait for that command to end", True, told["ID"])
    if "Saved plan is stale" in said:
        return ConfigError("the state has changed since the plan was made", "crm infra plan, then apply that plan")
    if "No valid credential sources found" in said or "ExpiredToken" in said:
        return PlatformError(
            "AWS knows no credentials here, or they have expired", "aws sso login, or take the CI role"
        )
    if "Failed to query available provider packages" in said:
        return PlatformError(
            "Terraform cannot fetch the AWS provider", "set TF_CLI_CONFIG_FILE to a file that names a mirror"
        )
    if re.search(r"S3 bucket .* does not exist|NoSuchBucket", said) and command == "init":
        return ConfigError("the bucket of the state does not exist", "create it: docs/how-to/infrastructure.md")
    first = said.partition("Error: ")[2] or said.strip() or "no word"
    what = " ".join(line.strip(" │╷╵") for line in first.splitlines()[:12] if line.strip(" │╷╵"))
    return PlatformError(f"terraform {command}: {what}", "mend what it names, then: crm infra plan")


def _field(said: str, key: str) -> str:
    found = re.search(rf"^\W*{key}:\s+(.+)$", said, re.MULTILINE)
    return found[1].strip() if found else "?"
