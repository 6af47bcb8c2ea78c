"""Nodes and a mesh of one machine: each predictor of a SeldonDeployment is answered by a process of its own image.

On the test control plane kwok only says of a pod that it runs. Here the image that a predictor names is pulled by its
digest with buildah, its container's command runs in the image's own file system, HAProxy splits requests as `traffic`
says, and Prometheus finds the processes with the labels that its operator would take from the pods. One process stands
for all pods of a predictor; its volumes, limits, secrets and network policies are not shown by it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from background_program import answers, found, free_port, process
from control_plane import ControlPlane
from haproxy_traffic import HAProxy

BUILDAH = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot", "CRM_IMAGE_BUILDER": "buildah"}
_POLL_S = 0.3
_READY_S = 120.0
_HAPROXY = """
global
  stats socket {admin} level admin
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
"""
_SERVICE = """
frontend {namespace}
  bind 127.0.0.1:{port}
  default_backend {namespace}
backend {namespace}
  balance roundrobin
  option redispatch
  retries 2
  server champion 127.0.0.1:9 weight 0
  server canary 127.0.0.1:9 weight 0
"""
_PROMETHEUS = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: models
    file_sd_configs: [{{files: ["{targets}"]}}]
"""


BASE = "localhost/crm-test-base:bookworm"
"""Stands for `python:3.11-slim`: no public registry is at hand."""


def base_image(folder: Path) -> str:
    """A Debian with Python, kept by buildah for the next run; this machine's certificates are trusted in it."""
    if BASE.rpartition(":")[0] in _buildah("images", "--format", "{{.Name}}").split():
        return BASE
    root, certificates = folder / "root", Path("etc/ssl/certs/ca-certificates.crt")
    packages = "--include=python3,python3-venv,ca-certificates"
    made = ("debootstrap", "--variant=minbase", packages, "bookworm", str(root))
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    shutil.copy(Path("/") / certificates, root / certificates)
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY root /\nENV SSL_CERT_FILE=/{certificates}\n")
    _buildah("bud", "--format", "oci", "--timestamp", "0", "--tag", BASE, str(folder))
    return BASE


def missing() -> list[str]:
    """Programs that this wants and that are not here."""
    lacks = [name for name in ("buildah", "debootstrap", "haproxy", "prometheus") if found(name) is None]
    lacks += [] if found("crane") or found("docker-registry") else ["docker-registry or crane"]
    return lacks + ([] if os.geteuid() == 0 else ["root, for buildah"])


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry of images on loopback; its address. What was built for it is forgotten by buildah at the end."""
    address = f"127.0.0.1:{free_port()}"
    (folder / "images").mkdir(parents=True)
    command = [found("crane") or "", "registry", "serve", "--address", address, "--disk", str(folder / "images")]
    if found("crane") is None:
        told = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
            "http": {"addr": address},
            "log": {"level": "warn"},
        }
        (folder / "registry.json").write_text(json.dumps(told))
        command = [str(found("docker-registry")), "serve", str(folder / "registry.json")]
    with process(folder, "registry", *command):
        answers(f"http://{address}/v2/")
        try:
            yield address
        finally:
            lines = _buildah("images", "--format", "{{.Name}} {{.ID}}").splitlines()  # an older build has no tag
            for image in {line.split()[1] for line in lines if line.startswith(f"{address}/")}:
                _buildah("rmi", "--force", image)


@dataclass
class _Container:
    name: str
    port: int
    running: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it and remove its file system."""
        with suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()
        _buildah("rm", self.name)


@dataclass
class ImageNodes:
    """Runs what the SeldonDeployments of some namespaces name, between `start` and `stop`.

    Args:
        plane: where they are read.
        folder: for logs and configuration.
        namespaces: to the port on which requests come in.
    """

    plane: ControlPlane
    folder: Path
    namespaces: Mapping[str, int]
    prometheus_port: int
    rounds: int = 0
    """Looks at all namespaces that are done."""
    failed: list[str] = field(default_factory=list)
    """What could not be run, and why."""
    _running: dict[tuple[str, str], _Container] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def serve(self) -> None:
        """Reconcile until `over`; for a thread."""
        while not self._over.wait(_POLL_S):
            for namespace in self.namespaces:
                try:
                    self._round(namespace, self._predictors(namespace))
                except (OSError, urllib.error.HTTPError):
                    continue  # the API server is away: the next round sees
                except AssertionError as error:
                    self.failed.append(str(error))
            self.rounds += 1

    def settle(self) -> None:
        """Come back when what is wanted now runs and answers."""
        wanted, end = self.rounds + 2, time.monotonic() + 2 * _READY_S
        while self.rounds < wanted and time.monotonic() < end and not self._over.is_set():
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End every process."""
        self._over.set()

    def clear(self) -> None:
        """Remove every container."""
        while self._running:
            self._running.popitem()[1].stop()

    def _predictors(self, namespace: str) -> list[dict[str, Any]]:
        path = f"/apis/machinelearning.seldon.io/v1/namespaces/{namespace}/seldondeployments"
        return [one for item in self.plane.ask(path)["items"] for one in item["spec"]["predictors"]]

    def _round(self, namespace: str, predictors: Sequence[Mapping[str, Any]]) -> None:
        wanted = {one["name"]: one["componentSpecs"][0]["spec"]["containers"][0] for one in predictors}
        shares = {one["name"]: int(one.get("traffic", 100)) for one in predictors}
        ports = {name: self._port(namespace, container) for name, container in wanted.items()}
        self._split(namespace, ports, shares)
        self._tell(namespace, ports)
        images = {container["image"] for container in wanted.values()}
        for key in [key for key in self._running if key[0] == namespace and key[1] not in images]:
            self._running.pop(key).stop()

    def _port(self, namespace: str, container: Mapping[str, Any]) -> int:
        key = (namespace, container["image"])
        if key not in self._running:
            self._running[key] = self._start(container)
        return self._running[key].port

    def _start(self, container: Mapping[str, Any]) -> _Container:
        name, port = _buildah("from", "--tls-verify=false", container["image"]), free_port()
        command = [*container["command"], *container["args"], "--set=serving.host=127.0.0.1",
                   f"--set=serving.port={port}"]  # fmt: skip
        with (self.folder / f"{name}.log").open("wb") as log:
            running = subprocess.Popen(
                ["buildah", "run", "--isolation", "chroot", name, "--", *command],
                stdout=log, stderr=log, start_new_session=True,
                env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | BUILDAH,
            )  # fmt: skip
        started = _Container(name, port, running)
        try:
            answers(f"http://127.0.0.1:{port}/v2/health/ready", _READY_S)
        except AssertionError as error:
            started.stop()
            said = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
            raise AssertionError(f"{container['image']}: {error}: {said}") from None
        return started

    def _split(self, namespace: str, ports: Mapping[str, int], shares: Mapping[str, int]) -> None:
        for track in ("canary", "champion"):
            if track in ports:
                _ask(self.folder / "admin.sock", f"set server {namespace}/{track} addr 127.0.0.1 port {ports[track]}")
        HAProxy(self.folder / "admin.sock", namespace).set(shares.get("canary", 0))

    def _tell(self, namespace: str, ports: Mapping[str, int]) -> None:
        told = [
            {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {"namespace": namespace, "crm_carrental_track": track, "pod": f"{track}-{port}"},
            }
            for track, port in sorted(ports.items())
        ]
        path, draft = self.folder / f"targets-{namespace}.json", self.folder / f"{namespace}.draft"
        if not path.is_file() or path.read_text() != json.dumps(told):
            draft.write_text(json.dumps(told))
            draft.replace(path)


@contextmanager
def image_nodes(plane: ControlPlane, folder: Path, namespaces: Sequence[str]) -> Iterator[ImageNodes]:
    """All of it, until the block ends; where a namespace has no predictor yet, its port answers 503."""
    ports, prometheus = {name: free_port() for name in namespaces}, free_port()
    config = _HAPROXY.format(admin=folder / "admin.sock")
    config += "".join(_SERVICE.format(namespace=name, port=port) for name, port in ports.items())
    (folder / "haproxy.cfg").write_text(config)
    (folder / "prometheus.yml").write_text(_PROMETHEUS.format(targets=f"{folder}/targets-*.json"))
    watched = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
               f"--web.listen-address=127.0.0.1:{prometheus}")  # fmt: skip
    with (
        process(folder, "haproxy", str(found("haproxy")), "-db", "-f", str(folder / "haproxy.cfg")),
        process(folder, "prometheus", str(found("prometheus")), *watched),
    ):
        answers(f"http://127.0.0.1:{prometheus}/-/ready")
        nodes = ImageNodes(plane, folder, ports, prometheus)
        thread = threading.Thread(target=nodes.serve, name="image-nodes", daemon=True)
        thread.start()
        try:
            yield nodes
        finally:
            nodes.stop()
            thread.join(_READY_S)
            nodes.clear()


def _buildah(*command: str) -> str:
    done = subprocess.run(
        ("buildah", *command), env=os.environ | BUILDAH, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"buildah {' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


def _ask(admin: Path, command: str) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(5)
        asked.connect(str(admin))
        asked.sendall(f"{command}\n".encode())
        while asked.recv(4096):
            pass
