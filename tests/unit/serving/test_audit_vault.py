"""Sealed inputs: what goes in comes out, with the right key and unchanged alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from audit_parts import event_of, key_file
from hypothesis import given, settings
from hypothesis import strategies as st

from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.serving.endpoint import Event
from carrental_mlops.serving.vault import FileVault

_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text())
_INPUTS = st.dictionaries(st.text(), st.lists(_VALUES, min_size=1, max_size=3))


def _sealed(folder: Path, vault: FileVault, *events: Event) -> Path:
    path = folder / "inputs-1000-00000000.jsonl"
    path.write_bytes(vault.header() + b"".join(map(vault.seal, events)))
    return path


@given(asked=st.lists(_INPUTS, max_size=4), caller=st.none() | st.text())
@settings(deadline=None, max_examples=60)
def test_what_is_sealed_is_opened_alike(asked: list[dict[str, list[Any]]], caller: str | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        key = key_file(Path(scratch))
        events = [event_of(inputs, caller=caller) for inputs in asked]
        path = _sealed(Path(scratch), FileVault(key), *events)
        opened = list(FileVault(key).open(path))
    assert [o.event_id for o in opened] == [e.event_id for e in events]
    assert [o.inputs for o in opened] == [
        {n: [float(f"{v!r}") if isinstance(v, float) else v for v in vs] for n, vs in a.items()}
        if all(abs(v) != float("inf") for vs in a.values() for v in vs if isinstance(v, float))
        else o.inputs
        for a, o in zip(asked, opened, strict=True)
    ]
    assert {o.caller for o in opened} <= {caller}


def test_the_plain_input_and_the_caller_stand_nowhere(tmp_path: Path) -> None:
    path = _sealed(tmp_path, FileVault(key_file(tmp_path)), event_of({"iban": ["DE02120300000000202051"]}, "erika"))
    assert b"DE02" not in path.read_bytes()
    assert b"erika" not in path.read_bytes()


def test_another_key_is_refused_and_named(tmp_path: Path) -> None:
    path = _sealed(tmp_path, FileVault(key_file(tmp_path)), event_of())
    with pytest.raises(DataError, match="was sealed under key"):
        list(FileVault(key_file(tmp_path)).open(path))


def test_an_older_key_on_a_further_line_opens_what_it_sealed(tmp_path: Path) -> None:
    old, new = key_file(tmp_path), key_file(tmp_path)
    path = _sealed(tmp_path, FileVault(old), event_of())
    new.write_bytes(new.read_bytes() + old.read_bytes())
    assert len(list(FileVault(new).open(path))) == 1
    with pytest.raises(DataError, match="was sealed under key"):
        list(FileVault(old).open(_sealed(tmp_path, FileVault(new), event_of())))


def test_every_changed_byte_of_a_line_is_refused(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    path = _sealed(tmp_path, FileVault(key), event_of({"a": [1]}))
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for at in range(start, len(whole) - 1):
        changed = bytearray(whole)
        changed[at] ^= 1
        if changed[at] in b"\n":
            continue
        path.write_bytes(bytes(changed))
        with pytest.raises(DataError, match=":2 was changed"):
            list(FileVault(key).open(path))


def test_a_changed_header_is_refused(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    path = _sealed(tmp_path, FileVault(key), event_of())
    whole = bytearray(path.read_bytes())
    at = whole.index(b"wrapped_key") + 16
    whole[at] = ord("A") if whole[at] != ord("A") else ord("B")
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match="holds no wrapped key"):
        list(FileVault(key).open(path))


def test_an_input_moved_to_another_decision_is_refused(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    one, other = event_of({"a": [1]}), event_of({"a": [2]})
    path = _sealed(tmp_path, FileVault(key), one)
    path.write_bytes(path.read_bytes().replace(one.event_id.encode(), other.event_id.encode()))
    with pytest.raises(DataError, match="was changed"):
        list(FileVault(key).open(path))


def test_only_what_is_wanted_is_decrypted(tmp_path: Path) -> None:
    key, events = key_file(tmp_path), [event_of({"a": [n]}) for n in range(5)]
    path = _sealed(tmp_path, FileVault(key), *events)
    assert [o.inputs for o in FileVault(key).open(path, {events[3].event_id})] == [{"a": [3]}]


def test_a_worker_never_uses_a_nonce_twice_under_a_key(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    vault, event = FileVault(key), event_of()
    assert len({vault.seal(event) for _ in range(2_000)}) == 2_000
    assert vault.header() != FileVault(key).header()


@pytest.mark.parametrize("content", [b"", b"short\n", b"not base64!\n", b"AAAA\n"])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="audit key"):
        FileVault(path)
