"""Who has ended, and what is installed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from carrental_mlops.integrations.pins import distribution_of, pinned
from carrental_mlops.integrations.processes import BOOT, HOST, PID, STARTED, has_ended, identity

_TELL = """
import json, sys
from carrental_mlops.integrations.processes import identity
print(json.dumps(identity()), flush=True)
sys.stdin.read()
"""


def test_this_process_has_not_ended() -> None:
    assert not has_ended(identity())
    assert identity()[PID] == str(os.getpid())


def test_a_process_that_was_killed_has_ended_even_before_its_parent_asked() -> None:
    command = [sys.executable, "-c", _TELL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        assert not has_ended(told)
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert has_ended(told)
        child.wait()
        assert has_ended(told)


def test_another_process_under_the_same_id_is_not_the_one_that_started_then() -> None:
    assert has_ended(identity() | {STARTED: "1"})


@pytest.mark.parametrize("told", [{HOST: "elsewhere"}, {BOOT: "another/pid:[1]"}, {PID: "?"}, {STARTED: ""}])
def test_what_cannot_be_known_has_not_ended(told: dict[str, str]) -> None:
    assert has_ended({**identity(), STARTED: "1"})
    assert not has_ended({**identity(), STARTED: "1", **told})


def test_a_restart_ends_all_processes_where_the_store_is_of_this_machine() -> None:
    before = identity() | {BOOT: "another/pid:[1]"}
    assert has_ended(before, restart_counts=True)
    assert not has_ended(before)


def test_pins_name_every_package_that_is_needed_at_its_installed_version() -> None:
    pins = pinned(["LightGBM"])
    assert f"lightgbm=={importlib.metadata.version('lightgbm')}" in pins
    assert {"numpy", "scipy"} <= {pin.partition("==")[0] for pin in pins}
    assert list(pins) == sorted(pins)
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+", pin) for pin in pins)
    assert pinned(["not-installed-anywhere"]) == ()


def test_the_distribution_of_a_module_may_have_another_name() -> None:
    assert distribution_of("sklearn.linear_model") == "scikit-learn"
    assert distribution_of("nobody_knows") == "nobody_knows"
