"""One service in one environment: its repo, its releases, its place in the cluster, and what runs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carrental_mlops.config.repo import of_cluster
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.labels import BATCH, NAME, RELEASE, TRACK
from carrental_mlops.deploy.releases.release import Release
from carrental_mlops.deploy.releases.store import ReleaseStore

_STUCK = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "InvalidImageName",
          "CreateContainerError", "RunContainerError")  # fmt: skip


@dataclass(frozen=True)
class Running:
    """What Helm put into the cluster last."""

    values: Mapping[str, Any]
    revision: int
    status: str
    """Helm's word, such as `deployed` or `pending-upgrade`."""

    @property
    def tracks(self) -> dict[str, str]:
        """Track to the id of its release, such as `champion` to `prod-6`."""
        return {str(one["name"]): str(one["release"]) for one in self.values.get("tracks", ())}

    @property
    def newest(self) -> str:
        """Id of the release that is tried, else of the champion."""
        return list(self.tracks.values())[-1] if self.tracks else ""


@dataclass(frozen=True)
class Pod:
    """One pod of the service."""

    name: str
    track: str
    release: str
    phase: str
    ready: bool
    restarts: int
    reason: str
    """Why it is not ready; empty where it is, or nobody says."""
    containers: tuple[str, ...]

    @property
    def stuck(self) -> bool:
        """Whether it will hardly become ready by itself."""
        return self.reason.startswith(_STUCK)


@dataclass(frozen=True)
class BatchJob:
    """The batch job as the cluster has it."""

    schedule: str
    """Cron, UTC."""
    suspended: bool
    active: int
    """Runs that are under way."""
    last_start: str | None
    """Of the newest run, RFC 3339; None: it never ran."""
    last_success: str | None
    """End of the newest run that went well, RFC 3339."""


@dataclass(frozen=True)
class Site:
    """See the module.

    Args:
        repo: as `env` sees it.
        env: environment.
        store: the service's releases.
        cluster: its namespace.
    """

    repo: ModelRepo
    env: str
    store: ReleaseStore
    cluster: Cluster

    @classmethod
    def of(cls, repo: ModelRepo, env: str | None) -> Site:
        """That of `repo` in `env`.

        Raises:
            ConfigError: `env` is the first environment or None: that is this machine.
        """
        of_cluster(repo.config, env)
        deploy = repo.config.deploy
        store = ReleaseStore(repo.root, deploy.releases)
        return cls(repo, env or repo.config.local, store, Cluster(deploy.namespace, deploy.context))

    @property
    def service(self) -> str:
        """Its name."""
        return self.repo.config.service

    def running(self) -> Running | None:
        """What Helm put there last; None where the service is not there.

        Raises:
            PlatformError: the cluster cannot be reached.
        """
        at = (self.service, self.cluster.namespace, self.cluster.context)
        revisions = helm.revisions(*at)
        values = helm.given(*at) if revisions else None
        return Running(values, revisions[-1].revision, revisions[-1].status) if values is not None else None

    def pods(self) -> list[Pod]:
        """The service's pods, by name.

        Raises:
            PlatformError: the cluster cannot be reached.
        """
        return sorted((_pod(one) for one in self.cluster.list("v1", "Pod", {NAME: self.service})), key=lambda p: p.name)

    def batch(self) -> BatchJob | None:
        """The batch job; None where the cluster has none.

        Raises:
            PlatformError: the cluster cannot be reached.
        """
        found = self.cluster.get("batch/v1", "CronJob", f"{self.service}-{BATCH}")
        if found is None:
            return None
        spec, status = found["spec"], found.get("status") or {}
        times = (status.get("lastScheduleTime"), status.get("lastSuccessfulTime"))
        return BatchJob(spec["schedule"], bool(spec.get("suspend")), len(status.get("active") or ()), *times)

    def workload(self) -> tuple[bool, str]:
        """Whether Seldon or KServe says that the service is available, and its own words.

        Raises:
            PlatformError: the cluster cannot be reached.
        """
        if self.repo.config.deploy.platform == "seldon":
            found = self.cluster.get("machinelearning.seldon.io/v1", "SeldonDeployment", self.service)
            status = (found or {}).get("status") or {}
            state = str(status.get("state", "no state yet")) if found else "no SeldonDeployment"
            return state == "Available", f"{state}: {status['description']}" if status.get("description") else state
        found = self.cluster.get("serving.kserve.io/v1beta1", "InferenceService", self.service)
        conditions = ((found or {}).get("status") or {}).get("conditions") or []
        ready = next((one for one in conditions if one.get("type") == "Ready"), None)
        if found is None or ready is None:
            return False, "not ready yet" if found else "no InferenceService"
        return ready["status"] == "True", str(ready.get("message") or f"Ready is {ready['status']}")

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """What is not yet as `values` want it, one sentence each; none: the release is available."""
        up, said = self.workload()
        found, pods = [] if up else [f"{values['platform']} says: {said}"], self.pods()
        for track in values["tracks"]:
            ours = [pod for pod in pods if (pod.track, pod.release) == (track["name"], track["release"])]
            ready = sum(pod.ready for pod in ours)
            if ready < track["minimum"]:
                found.append(f"{track['name']} {track['release']}: {ready} of {track['minimum']} pods are ready")
            found += [f"{pod.name}: {pod.reason}" for pod in ours if not pod.ready and pod.reason]
        return found

    def release(self, name: str) -> Release:
        """The release of the id `name`.

        Raises:
            ConfigError: there is none.
        """
        return self.store.get(name).release


def _pod(found: Mapping[str, Any]) -> Pod:
    metadata, status = found["metadata"], found.get("status") or {}
    labels, containers = metadata.get("labels") or {}, status.get("containerStatuses") or []
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    ready = conditions.get("Ready", {}).get("status") == "True" and "deletionTimestamp" not in metadata
    return Pod(
        metadata["name"],
        labels.get(TRACK, ""),
        labels.get(RELEASE, ""),
        "Terminating" if "deletionTimestamp" in metadata else str(status.get("phase", "")),
        ready,
        sum(int(one.get("restartCount", 0)) for one in containers),
        "" if ready else _reason(status, conditions, containers),
        tuple(one["name"] for one in found["spec"]["containers"]),
    )


def _reason(status: Mapping[str, Any], conditions: Mapping[str, Any], containers: list[Mapping[str, Any]]) -> str:
    for one in containers:
        state, before = one.get("state") or {}, (one.get("lastState") or {}).get("terminated") or {}
        told = state.get("waiting") or state.get("terminated")
        if told and told.get("reason") not in (None, "ContainerCreating", "PodInitializing", "Completed"):
            last = f", after {before['reason']} (exit {before.get('exitCode')})" if before.get("reason") else ""
            return f"{told['reason']}{last}"
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
    return str(status.get("reason") or "")
