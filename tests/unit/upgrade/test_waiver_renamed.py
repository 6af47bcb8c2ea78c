"""A waived template change stays waived when a later version renames or moves its file."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from template_versions import MANAGED, commit, git, repo_of, version

from carrental_mlops.governance.ledger import read_ledger, waive, write_ledger
from carrental_mlops.upgrade.phases import proceed, start
from carrental_mlops.upgrade.plan import plan

FIX = MANAGED.replace("line 3\n", "fix\n")


@pytest.mark.parametrize("text", [FIX, FIX.replace("line 18\n", "x\n")], ids=["renamed alone", "and changed"])
def test_a_waived_change_stays_waived_under_the_files_new_name(tmp_path: Path, text: str) -> None:
    v = [version(tmp_path, f"1.{n}.0", files) for n, files in enumerate(({"Makefile": MANAGED}, {"Makefile": FIX}))]
    v.append(version(tmp_path, "1.2.0", {"make/Makefile": text}))
    v.append(version(tmp_path, "1.3.0", {"make/Makefile": text.replace("line 10\n", "ten\n")}))
    repo = repo_of(v[0], tmp_path / "repo")
    (repo / "Makefile").write_text(MANAGED.replace("line 3\n", "mine\n"))
    commit(repo)
    start(plan(repo, v[0], v[1]))
    (repo / "Makefile").write_text(MANAGED.replace("line 3\n", "mine\n"))
    git(repo, "add", "Makefile")
    proceed(repo)
    until = datetime.date.today() + datetime.timedelta(days=9)
    write_ledger(repo, waive(read_ledger(repo), "Makefile", "our own runner", "a@example.com", until))
    commit(repo)
    for before, after in ((v[1], v[2]), (v[2], v[3])):
        done = start(plan(repo, before, after))
        assert done.commit and done.returned == () and done.unmerged == ()
        (entry,) = read_ledger(repo)
        assert (entry.path, entry.base, entry.reason) == ("make/Makefile", "1.0.0", "our own runner")
        assert entry.until == until.isoformat() and "-line 3\n+fix\n" in entry.patch
        assert "mine\n" in (repo / "make" / "Makefile").read_text()


def test_waivers_of_findings_follow_the_file_that_the_template_renamed(tmp_path: Path) -> None:
    old, new = (version(tmp_path, n, {f: MANAGED}) for n, f in (("1.0.0", "Makefile"), ("1.1.0", "make/Makefile")))
    repo = repo_of(old, tmp_path / "repo")
    waivers = repo / "config" / "waivers.yaml"
    waivers.parent.mkdir(exist_ok=True)
    text = "# ours\n- {code: CRM201, path: Makefile, person: a@example.com}\n- {code: CRM202, path: other}\n"
    waivers.write_text(text)
    commit(repo)
    start(plan(repo, old, new))
    assert waivers.read_text() == text.replace("Makefile", "make/Makefile")
    assert git(repo, "status", "--porcelain") == ""
