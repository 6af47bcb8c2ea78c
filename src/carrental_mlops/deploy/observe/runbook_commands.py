"""The commands of a runbook, with the names of one service in one environment."""

from __future__ import annotations

from dataclasses import dataclass

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests import labels


@dataclass(frozen=True)
class Commands:
    """What somebody types who was just called.

    Args:
        service: its name.
        env: environment.
        namespace: where it runs there.
        context: kubectl's; None for the current one.
        prometheus: where PromQL is asked.
    """

    service: str
    env: str
    namespace: str
    context: str | None
    prometheus: str

    @classmethod
    def of(cls, config: RepoConfig, env: str) -> Commands:
        """Those of the repo's service."""
        deploy = config.deploy
        return cls(config.service, env, deploy.namespace, deploy.context, config.watch.prometheus)

    def query(self, expr: str) -> str:
        """Ask Prometheus."""
        return f"promtool query instant {self.prometheus} '{expr}'"

    def pods(self) -> str:
        """Pods and why they are not ready."""
        return f"{self._kubectl} describe pods -l {labels.NAME}={self.service}"

    def logs(self) -> str:
        """What the pods say."""
        return f"crm logs --env {self.env}"

    def status(self) -> str:
        """What runs."""
        return f"crm status --env {self.env}"

    def diagnose(self) -> str:
        """What changed, and who is suspect."""
        return f"crm diagnose {self.service} --env {self.env} --since 1h"

    def rollback(self) -> str:
        """Back to the release before."""
        return f"crm rollback --env {self.env}"

    def switch(self, to: str) -> str:
        """The kill switch."""
        return f'crm switch {self.service} --env {self.env} --to {to} --reason "alert at night" --until 2h'

    def switch_state(self) -> str:
        """What answers now, and why."""
        return f"crm switch {self.service} --env {self.env}"

    def runs(self) -> str:
        """Stored runs."""
        return f"crm runs list --env {self.env}"

    def train(self) -> str:
        """A new model."""
        return f"crm run training --env {self.env}"

    def features(self) -> str:
        """Fresh features."""
        return f"crm run features --env {self.env}"

    def audit(self) -> str:
        """The newest answers."""
        return f"crm audit show --env {self.env}"

    def prune(self) -> str:
        """Room on the audit's disk."""
        return f"crm audit prune --env {self.env} --dry-run"

    def batch_logs(self) -> str:
        """What the newest runs of the batch job said."""
        ours = f"{labels.NAME}={self.service},{labels.PART}={labels.BATCH}"
        return f"{self._kubectl} logs -l {ours} --all-containers --prefix --tail 50"

    def batch_state(self) -> str:
        """The batch job and its runs, with what Kubernetes says of them."""
        return f"{self._kubectl} describe cronjobs,jobs -l {labels.NAME}={self.service}"

    def batch_again(self) -> str:
        """A run now."""
        name = f"{self.service}-{labels.BATCH}"
        return f"{self._kubectl} create job {name}-by-hand --from cronjob/{name}"

    @property
    def _kubectl(self) -> str:
        return f"kubectl {f'--context {self.context} ' if self.context else ''}-n {self.namespace}"
