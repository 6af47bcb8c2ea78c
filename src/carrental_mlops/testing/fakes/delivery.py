"""Fakes of what a release meets: traffic between champion and canary, the switch's place, a builder of images, time."""

from __future__ import annotations

import sys
from pathlib import Path

from carrental_mlops.deploy.image.builders import Order
from carrental_mlops.errors import PlatformError


class FakeTraffic:
    """Splits requests (`deploy.rollout.traffic.Traffic`): `history` has each weight; `down` refuses changes."""

    def __init__(self) -> None:
        self.champion, self.canary = "champion", True
        self.history: list[int] = [0]
        self.down = False

    def weight(self) -> int:
        """What the canary gets (percent)."""
        return self.history[-1]

    def set(self, weight: int) -> None:
        """Give the canary `weight` percent.

        Raises:
            PlatformError: `down`, or the canary is gone; the split is as it was.
        """
        self._hold()
        if not self.canary:
            raise PlatformError("there is no canary any more", "deploy one: crm deploy --canary")
        self.history.append(weight)

    def promote(self) -> None:
        """The canary's release is the champion and answers everything."""
        self._hold()
        self.champion, self.canary = "canary", False
        self.history.append(100)

    def roll_back(self) -> None:
        """The champion answers everything."""
        self._hold()
        self.canary = False
        self.history.append(0)

    def _hold(self) -> None:
        if self.down:
            raise PlatformError("the fake traffic cannot be changed", "traffic.down = False", retryable=True)


class FakePlace:
    """Where a service reads its switch (`deploy.rollout.switch.Place`)."""

    def __init__(self) -> None:
        self.text = "{}\n"
        self.down = False

    def read(self) -> str:
        """What is there; `{}` where nothing is."""
        return self.text

    def write(self, text: str) -> None:
        """Put `text` there.

        Raises:
            PlatformError: `down`; what was there is there still.
        """
        if self.down:
            raise PlatformError("the fake place cannot be written", "place.down = False", retryable=True)
        self.text = text


class FakeBuilder:
    """A builder of images (`deploy.image.builders.Builder`): Python writes a digest of the order, and no image."""

    name = "fake"

    def commands(self, order: Order, scratch: Path) -> list[list[str]]:
        """One command, which leaves the digest in `scratch`."""
        code = (
            "import hashlib, pathlib, sys; "
            "pathlib.Path(sys.argv[1]).write_text('sha256:' + hashlib.sha256(sys.argv[2].encode()).hexdigest())"
        )
        return [[sys.executable, "-c", code, str(scratch / "digest"), order.name]]

    def digest(self, scratch: Path) -> str:
        """What the command left."""
        return (scratch / "digest").read_text().strip()


class FakeClock:
    """`time`'s clocks, moved by `sleep` alone: `monkeypatch.setattr(module.time, "time", clock.time)`.

    Args:
        now: seconds since 1970-01-01 UTC.
    """

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._now, self._run = now, 0.0

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._now + self._run

    def monotonic(self) -> float:
        """Seconds since the clock was made; never goes back."""
        return self._run

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, at once.

        Raises:
            ValueError: it is negative.
        """
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self._run += seconds
