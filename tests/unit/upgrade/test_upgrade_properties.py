"""Whatever the template changes and the team edits: every edit is held, or a conflict shown."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from upgrade_properties import Op, Ops, hold

from carrental_mlops.governance.ledger import Declined
from carrental_mlops.scaffold.rendering import Rendered
from carrental_mlops.upgrade.declined import _not_held, offered_again

_Text = st.lists(st.sampled_from(["a", "b", "c", "", "-x", "+y", "@@ z", "é", "\r", "\\ No newline"]), max_size=8).map(
    "\n".join
)


@given(ops=Ops, edits=Ops)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_edit_is_held_or_a_conflict_shown(ops: list[Op], edits: list[Op], tmp_path: Path) -> None:
    hold(tmp_path / "case", ops, edits)


@given(before=_Text, now=_Text, told=_Text)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_taken_back_is_what_was_not_held(before: str, now: str, told: str) -> None:
    """With the patch taken back from the new text, the held hunks stay and the others are as before."""
    old, there, new = (text.encode() for text in (before, now, told))
    patch = _not_held("f", old, there, new)
    assert (patch == "") >= (there == new)
    entry = Declined("f", "1", "2", "0", patch)
    again = offered_again({"f": Rendered(new)}, [entry] if patch else [])["f"].content
    if not patch:
        assert again == new
        return
    assert b"declined " not in again
    assert _not_held("f", again, there, new) == patch
