"""HAProxy as a mesh: the weights of two servers of one backend."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.errors import ConfigError, PlatformError

_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class HAProxy:
    """Two servers of one HAProxy backend, by its runtime API.

    Args:
        admin: path of the admin socket (`stats socket PATH level admin`).
        backend: name of the backend, which has the servers `champion` and `canary`.

    Source: https://docs.haproxy.org/2.6/management.html#9.3 (`set server`, `show servers state`; weights 0 to 256).
    """

    admin: Path
    backend: str

    def weight(self) -> int:
        """What the canary gets (percent)."""
        weights = {name: self._weight(name) for name in ("champion", "canary")}
        return round(100 * weights["canary"] / max(sum(weights.values()), 1))

    def set(self, weight: int) -> None:
        """Give the canary `weight` percent, the champion the rest; the canary's share is taken from last."""
        for name, share in (("canary", weight), ("champion", 100 - weight)):
            said = self._ask(f"set server {self.backend}/{name} weight {share}")
            if said:
                raise ConfigError(f"HAProxy does not set {self.backend}/{name} to {share}: {said}", "mend its backend")

    def promote(self) -> None:
        """All to the canary's server."""
        self.set(100)

    def roll_back(self) -> None:
        """All to the champion's server."""
        self.set(0)

    def _weight(self, name: str) -> int:
        said = self._ask(f"get weight {self.backend}/{name}")
        try:
            return int(said.split()[0])
        except (IndexError, ValueError):
            raise ConfigError(f"HAProxy has no server {self.backend}/{name}: {said}", "name its servers so") from None

    def _ask(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(_TIMEOUT_S)
                asked.connect(str(self.admin))
                asked.sendall(f"{command}\n".encode())
                parts = []
                while part := asked.recv(4096):
                    parts.append(part)
        except OSError as error:
            what = f"HAProxy's admin socket {self.admin} does not answer: {error.strerror or error}"
            raise PlatformError(what, "start it with `stats socket PATH level admin`", retryable=True) from error
        return b"".join(parts).decode().strip()
