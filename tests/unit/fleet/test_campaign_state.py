"""The file that a campaign goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from carrental_mlops.errors import ConfigError
from carrental_mlops.fleet.campaign_state import CampaignState, Entry


def _kept(path: Path) -> bytes:
    state = CampaignState(path, "1.2.0")
    with state.held():
        state.put(Entry("fraud", 0))
        state.put(Entry("price", 1))
    return path.read_bytes()


def test_a_kill_at_any_byte_of_the_file_leaves_a_campaign_that_goes_on(tmp_path: Path) -> None:
    whole = _kept(tmp_path / "whole")
    for size in range(len(whole) + 1):
        path = tmp_path / "killed"
        path.write_bytes(whole[:size])
        assert _kept(path) == whole


@pytest.mark.parametrize("text", ["notes", "notes of mine\nand half a line", '{"campaign": "1.1.0"}\n'])
def test_a_file_of_another_kind_is_refused_and_left_as_it_was(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state"
    path.write_text(text)
    state = CampaignState(path, "1.2.0")
    with pytest.raises(ConfigError, match="campaign"), state.held():
        pass
    assert path.read_text() == text
