"""Ctrl-C and SIGTERM end a run in order, also where a library swallows the interrupt."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Inside, SIGINT and SIGTERM raise KeyboardInterrupt at once, and again at the next call of what is yielded.

    The second time is needed where the first fell into a callback or a `__del__`, whose exceptions Python drops.
    A signal that is ignored, as in a shell's background job, or that somebody handles already, is left alone.
    """
    told: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        told.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if told:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    ours = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) in _DEFAULTS]
    before = {number: signal.signal(number, stop) for number in ours}
    show = sys.unraisablehook
    sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, KeyboardInterrupt) else show(lost)
    try:
        yield check
    finally:
        sys.unraisablehook = show
        for number, handler in before.items():
            signal.signal(number, handler)
