"""A real Kubernetes control plane on 127.0.0.1 for tests: etcd, apiserver, controllers, scheduler, kwok for nodes.

`make control-plane` puts the binaries and the custom resource definitions into one folder. Nothing listens on any other
address, and all of it ends with the test session.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

BINARIES = Path(os.environ.get("CRM_CONTROL_PLANE") or Path.home() / ".cache/carrental-mlops/control-plane")
"""Read when tests are collected: each test has a HOME of its own."""
NEEDED = ("etcd", "kube-apiserver", "kubectl")
NODES = 3
_READY_S = 90
_Body = Mapping[str, Any]


def missing(*names: str) -> str | None:
    """Why there is no control plane here: which of its binaries cannot be found; None: all are there."""
    lacking = [name for name in names or NEEDED if binary(name) is None]
    if not lacking:
        return None
    return f"no {', '.join(lacking)} in {BINARIES / 'bin'} or on PATH; run `make control-plane`"


def binary(name: str) -> Path | None:
    """The binary of this name in the folder of `CRM_CONTROL_PLANE`, else on PATH."""
    built = BINARIES / "bin" / name
    found = str(built) if os.access(built, os.X_OK) else shutil.which(name)
    return Path(found) if found else None


@dataclass
class ControlPlane:
    """The running processes, and how to ask them."""

    folder: Path
    port: int
    token: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the apiserver."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """Whose current context `test` is a cluster administrator."""
        return self.folder / "kubeconfig"

    def start(self, name: str, command: Sequence[str] | None = None) -> None:
        """Start a process, or start one again that was killed; its output goes to `<name>.log`."""
        if command is not None:
            self.commands[name] = list(command)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.commands[name], stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """SIGKILL: what a machine that loses power does."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)

    def start_apiserver(self) -> None:
        """Start the apiserver after `kill("kube-apiserver")`, and wait until it is ready."""
        self.start("kube-apiserver")
        self.until(lambda: self.ask("/readyz") == "ok", "the apiserver is not ready", "kube-apiserver")

    def stop(self) -> None:
        """End every process, etcd last."""
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            process.terminate()
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: _Body | Sequence[_Body] | None = None,
        kind: str = "application/json",
    ) -> Any:
        """Answer of the apiserver to one request: of JSON the value, else the text.

        Raises:
            urllib.error.HTTPError: The status is 400 or above.
            OSError: Nobody answers.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
        )
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            text = answer.read().decode()
            return json.loads(text) if "json" in (answer.headers.get_content_type() or "") else text

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator."""
        command = [str(binary("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        answer = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        assert not check or answer.returncode == 0, f"kubectl {' '.join(arguments)}: {answer.stderr}"
        return answer

    def apply(self, objects: Sequence[_Body], *, dry_run: bool = False) -> subprocess.CompletedProcess[str]:
        """Server-side apply with strict field validation; its return code is the caller's to judge."""
        flags = ("--dry-run=server",) if dry_run else ()
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        how = ("--server-side", "--force-conflicts", "--validate=strict", *flags)
        return self.kubectl("apply", *how, "-f", "-", stdin=text, check=False)

    def get(self, kind: str, namespace: str, *selector: str) -> list[dict[str, Any]]:
        """The objects of a kind, such as `deployments.apps`, in a namespace."""
        items = json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *selector).stdout)["items"]
        return list(items)

    def namespace(self, name: str, *, restricted: bool = False) -> str:
        """Make a namespace, whose pods must meet the restricted pod security standard where asked."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"} if restricted else {}
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        answer = self.apply([made, account])
        assert answer.returncode == 0, answer.stderr
        return name

    def until(self, true: Callable[[], bool], otherwise: str, log: str, seconds: float = _READY_S) -> None:
        """Wait until something holds; a refused connection counts as not yet.

        Raises:
            AssertionError: It did not hold in time, or the process ended; the message holds the end of its log.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if true():
                    return
            except (OSError, urllib.error.HTTPError):
                pass
            if log in self.processes and self.processes[log].poll() is not None:
                break
            time.sleep(0.1)
        path = self.folder / f"{log}.log"
        raise AssertionError(f"{otherwise}: {path.read_text(errors='replace')[-3_000:] if path.exists() else ''}")


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """A control plane with its state below `folder`; ready when the default service account is there.

    Controllers, scheduler and nodes run where their binaries are found.
    """
    from control_plane_certificates import write_certificates

    ports = dict(zip(("api", "etcd", "peer", "controllers", "scheduler", "kwok"), _free_ports(6), strict=True))
    plane = ControlPlane(folder, ports["api"], secrets.token_hex(16))
    write_certificates(folder)
    (folder / "tokens.csv").write_text(f"{plane.token},admin,admin,system:masters\n")
    (folder / "tokens.csv").chmod(0o600)
    plane.kubeconfig.write_text(_kubeconfig(plane))
    plane.kubeconfig.chmod(0o600)
    try:
        plane.start("etcd", _etcd(folder, ports))
        plane.commands["kube-apiserver"] = _apiserver(folder, ports)
        plane.start_apiserver()
        if binary("kube-controller-manager"):
            plane.start("kube-controller-manager", _controllers(folder, ports))
            plane.until(
                lambda: bool(plane.ask("/api/v1/namespaces/default/serviceaccounts/default")),
                "the controllers made no service account",
                "kube-controller-manager",
            )
        if binary("kube-scheduler"):
            plane.start("kube-scheduler", _scheduler(folder, ports))
        if binary("kwok"):
            _start_nodes(plane, ports)
        yield plane
    finally:
        plane.stop()


def _etcd(folder: Path, ports: Mapping[str, int]) -> list[str]:
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "peer"))
    return [
        str(binary("etcd")),
        f"--data-dir={folder / 'etcd'}",
        *(f"--{flag}={client}" for flag in ("listen-client-urls", "advertise-client-urls")),
        *(f"--{flag}={peer}" for flag in ("listen-peer-urls", "initial-advertise-peer-urls")),
        f"--initial-cluster=default={peer}",
    ]


def _apiserver(folder: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        str(binary("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
        f"--secure-port={ports['api']}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.0.0.0/16",
        f"--tls-cert-file={folder / 'apiserver.crt'}",
        f"--tls-private-key-file={folder / 'apiserver.key'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--shutdown-delay-duration=0s",
        "--feature-gates=WatchList=false",  # etcd 3.4, as in Debian, cannot: all who ask wait up to 60 s
    ]


def _controllers(folder: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        str(binary("kube-controller-manager")),
        f"--kubeconfig={folder / 'kubeconfig'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports['controllers']}",
        f"--cert-dir={folder / 'controllers'}",
        "--leader-elect=false",
        f"--service-account-private-key-file={folder / 'accounts.key'}",
        f"--root-ca-file={folder / 'ca.crt'}",
    ]


def _scheduler(folder: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        str(binary("kube-scheduler")),
        f"--kubeconfig={folder / 'kubeconfig'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports['scheduler']}",
        f"--cert-dir={folder / 'scheduler'}",
        "--leader-elect=false",
    ]


def _start_nodes(plane: ControlPlane, ports: Mapping[str, int]) -> None:
    """kwok answers for the nodes: it keeps them alive and says of each pod bound to one that it runs and is ready."""
    plane.start(
        "kwok",
        [
            str(binary("kwok")),
            f"--kubeconfig={plane.kubeconfig}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
            f"--server-address=127.0.0.1:{ports['kwok']}",
        ],
    )
    for number in range(NODES):
        plane.ask("/api/v1/nodes", "POST", _node(number))

    def all_ready() -> bool:
        nodes = plane.ask("/api/v1/nodes")["items"]
        return sum("Ready" in true_conditions(node) for node in nodes) == NODES

    plane.until(all_ready, "the nodes are not ready", "kwok")


def _node(number: int) -> dict[str, Any]:
    """A node in a zone of its own, with a GPU."""
    size = {"cpu": "32", "memory": "128Gi", "pods": "110", "nvidia.com/gpu": "4", "ephemeral-storage": "500Gi"}
    labels = {
        "kubernetes.io/hostname": f"node-{number}",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": f"eu-central-1{'abc'[number % 3]}",
        "topology.kubernetes.io/region": "eu-central-1",
        "nvidia.com/gpu.present": "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{number}", "labels": labels},
        "status": {"capacity": size, "allocatable": size},
    }


def true_conditions(thing: _Body) -> list[str]:
    """Types of the conditions that hold of an object."""
    return [one["type"] for one in thing.get("status", {}).get("conditions") or () if one["status"] == "True"]


def _kubeconfig(plane: ControlPlane) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": plane.url, "certificate-authority": str(plane.folder / "ca.crt")},
                }
            ],
            "users": [{"name": "admin", "user": {"token": plane.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
