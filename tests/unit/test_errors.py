"""Errors say what and how to mend it, map to exit codes, and survive the way between processes."""

import pickle

import pytest

from carrental_mlops import errors
from carrental_mlops.errors import CrmError, ExitCode, PlatformError, nearest

TREE = sorted((c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, CrmError)), key=str)


@pytest.mark.parametrize("cls", TREE, ids=lambda c: c.__name__)
def test_error_pickles_with_its_message_and_notes(cls: type[CrmError]) -> None:
    error = cls("a is wrong", "mend a")
    error.add_note("in step b")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert (copy.what, copy.fix, copy.__notes__) == ("a is wrong", "mend a", ["in step b"])
    assert str(copy) == "a is wrong\nFix: mend a"


def test_retryable_survives_the_way_between_processes() -> None:
    error = PlatformError("registry down", "start it", retryable=True)
    assert pickle.loads(pickle.dumps(error)).retryable
    assert not PlatformError("a", "b").retryable


def test_exit_codes_are_what_the_docstring_says() -> None:
    codes = {cls.__name__: int(cls.exit_code) for cls in TREE}
    assert {name: code for name, code in codes.items() if code != 1} == {
        "GateRefused": 4,
        "PlatformError": 3,
        "SloMissed": 5,
    }
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 5, 130]
    assert all(name in str(errors.__doc__) for name in codes)


def test_nearest_suggests_one_name_or_lists_all() -> None:
    assert nearest("trian", ["train", "split"]) == "rename it to `train`"
    assert nearest("xyz", ["train", "split"]) == "choose one of: split, train"
