"""An interrupt that Python drops is raised again."""

from __future__ import annotations

import signal

import pytest

from carrental_mlops.orchestration.interrupt import interruptible


class _Dropped:
    """Its `__del__` is interrupted, and Python ignores what a `__del__` raises."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_lost_in_a_del_is_raised_at_the_next_check(capfd: pytest.CaptureFixture[str]) -> None:
    with interruptible() as check:
        check()
        _Dropped()
        with pytest.raises(KeyboardInterrupt):
            check()
    assert "ignored" not in capfd.readouterr().err


def test_sigterm_interrupts_and_the_handlers_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as check:
            signal.raise_signal(signal.SIGINT)
            check()
    finally:
        signal.signal(signal.SIGINT, before)
