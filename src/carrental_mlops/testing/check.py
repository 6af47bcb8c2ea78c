"""One thing that is held of one class, by name: a test of its own under `pytest.mark.parametrize`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Check:
    """Call it; it raises where the class breaks what it holds. `str` is the name of the test."""

    subject: str
    """`FraudTrain`, or `FraudTraining.train` for a step of a run."""
    name: str
    """What holds, as a sentence without its subject: `describes its settings`."""
    hold: Callable[[], None] = field(repr=False, compare=False)
    quick: bool = True
    """False where it starts a process or a server, or measures."""

    def __call__(self) -> None:
        """Hold it.

        Raises:
            CrmError: names the class, its file and line, and the mend.
        """
        self.hold()

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}"


def hold_all(found: Iterable[Check], quick: bool = False) -> None:
    """Call each of `found` in turn; the first that is broken raises.

    Args:
        found: what to hold.
        quick: leave out what starts a process or a server, or measures.
    """
    for check in found:
        if check.quick or not quick:
            check()
