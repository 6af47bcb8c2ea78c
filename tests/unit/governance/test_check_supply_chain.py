"""Vulnerabilities and licences of the lock; data that is missing or old is a failure."""

from __future__ import annotations

import datetime
import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
from osv_records import osv_record

from carrental_mlops.errors import DataError, PlatformError
from carrental_mlops.governance import licences, osv
from carrental_mlops.governance.check import check
from carrental_mlops.governance.locks import normal

LOCK = "requirements/serving.txt"
HASH = "--hash=sha256:" + "0" * 64


def lock(repo: Path, *entries: str) -> Path:
    """A repo whose only lock is that of what serves."""
    for path in (repo / "requirements").iterdir():
        path.unlink()
    (repo / LOCK).write_text("".join(f"{entry} \\\n    {HASH}\n" for entry in entries))
    return repo


def codes(repo: Path, *only: str, **given: object) -> list[str]:
    return [f.code for f in check(repo, only=only, **given).findings]  # type: ignore[arg-type]


def put(folder: Path, record: dict[str, object]) -> None:
    (folder / f"{record['id']}.json").write_text(json.dumps(record))


def test_a_locked_version_below_the_mended_one_is_found_with_its_line_and_mend(repo: Path, osv: Path) -> None:
    put(osv, osv_record("GHSA-1", "Left_Pad", "1.10", aliases=["CVE-2026-1"], summary="pads wrongly"))
    (one,) = check(lock(repo, "numpy==2.0", "left-pad==1.9"), only=["CRM62"]).findings
    assert (one.code, one.path, one.line) == ("CRM620", LOCK, 3)
    assert "left-pad 1.9: CVE-2026-1, pads wrongly" in one.what and "left-pad==1.10" in one.mend
    assert codes(lock(repo, "left-pad==1.10"), "CRM62") == []


def test_two_databases_that_describe_one_vulnerability_make_one_finding(repo: Path, osv: Path) -> None:
    put(osv, osv_record("GHSA-1", "left-pad", "2", aliases=["CVE-2026-1"], database_specific={"severity": "LOW"}))
    put(osv, osv_record("PYSEC-2", "left-pad", "2", aliases=["CVE-2026-1"]))
    (one,) = check(lock(repo, "left-pad==1"), only=["CRM62"]).findings
    assert one.severity == "error"


def test_a_moderate_vulnerability_is_a_warning(repo: Path, osv: Path) -> None:
    put(osv, osv_record("GHSA-1", "left-pad", "2", database_specific={"severity": "MODERATE"}))
    (one,) = check(lock(repo, "left-pad==1"), only=["CRM62"]).findings
    assert one.severity == "warning"


def test_a_withdrawn_record_and_one_of_another_ecosystem_do_not_count(repo: Path, osv: Path) -> None:
    put(osv, osv_record("GHSA-1", "left-pad", "2", withdrawn="2026-01-01T00:00:00Z"))
    other = osv_record("GHSA-2", "left-pad", "2")
    other["affected"][0]["package"]["ecosystem"] = "npm"
    put(osv, other)
    assert codes(lock(repo, "left-pad==1"), "CRM62") == []


@pytest.mark.parametrize(
    ("events", "inside"),
    [
        ([{"introduced": "0"}, {"fixed": "1.2"}], ["1.0", "1.2rc1"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.2"}], ["1.0", "1.2rc1", "1.2"]),
        ([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.3"}], ["1.10"]),
        ([{"introduced": "1.3"}, {"fixed": "1.11"}, {"introduced": "0"}, {"fixed": "0.9"}], ["1.10"]),
    ],
)
def test_ranges_are_evaluated_as_osv_says(osv: Path, events: list[dict[str, str]], inside: list[str]) -> None:
    record = osv_record("GHSA-1", "left-pad", "2")
    record["affected"][0]["ranges"][0]["events"] = events
    put(osv, record)
    from carrental_mlops.governance.osv import look_up

    versions = ["1.0", "1.2rc1", "1.2", "1.10"]
    assert [v.version for v in look_up([("left-pad", v) for v in versions]).found] == sorted(inside)


def test_without_data_nothing_is_well(repo: Path, osv: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere", "not.zip"):
        (tmp_path / "not.zip").write_text("no zip")
        monkeypatch.setenv("CRM_OSV", str(tmp_path / place))
        (one,) = check(repo, only=["CRM62"]).findings
        assert one.code == "CRM621" and one.severity == "error" and "not looked up" in one.what
    assert not (repo / ".crm" / "check" / "vulnerabilities.json").exists()


def test_old_data_is_a_failure(repo: Path, osv: Path) -> None:
    today = datetime.date.today()
    assert codes(repo, "CRM62", today=today + datetime.timedelta(days=14)) == []
    assert codes(repo, "CRM62", today=today + datetime.timedelta(days=15)) == ["CRM622"]


def test_the_zip_that_osv_publishes_is_read_as_it_is(osv: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("GHSA-1.json", json.dumps(osv_record("GHSA-1", "left-pad", "2")))
    from carrental_mlops.governance.osv import look_up

    looked = look_up([("left-pad", "1")], str(tmp_path / "all.zip"))
    assert [v.id for v in looked.found] == ["GHSA-1"] and looked.records == 1


class _Osv(http.server.BaseHTTPRequestHandler):
    """A stand-in for osv.dev that speaks its protocol as its page describes it; the real one cannot be reached here."""

    def do_POST(self) -> None:
        if self.path != "/v1/querybatch":
            return self._send(["nonsense"])
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        answers = []
        for one in asked:
            hit = one["package"] == {"name": "left-pad", "ecosystem": "PyPI"}
            page = one.get("page_token")
            ids = ["GHSA-2"] if page else ["GHSA-1"]
            more = {} if page else {"next_page_token": "2"}
            answers.append({"vulns": [{"id": name} for name in ids], **more} if hit else {})
        return self._send({"results": answers})

    def do_GET(self) -> None:
        name = self.path.removeprefix("/v1/vulns/")
        self._send(osv_record(name, "left-pad", "2" if name == "GHSA-1" else "3"))

    def _send(self, told: object) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Osv) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_server_is_asked_in_batches_and_pages(server: str) -> None:
    looked = osv.look_up([("numpy", "2.0"), ("left-pad", "1")], server)
    assert [(v.id, v.fixed) for v in looked.found] == [("GHSA-1", "2"), ("GHSA-2", "3")] and looked.newest is None


def test_a_server_that_does_not_answer_or_answers_nonsense_is_a_failure(server: str) -> None:
    with pytest.raises(PlatformError, match="does not say"):
        osv.look_up([("numpy", "2.0")], "http://127.0.0.1:9")
    with pytest.raises(PlatformError, match="does not say"):
        osv.look_up([("left-pad", "1")], f"{server}/elsewhere")
    with pytest.raises(DataError):
        osv.look_up([("numpy", "2.0")], "/nowhere")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("MIT", "allowed"),
        ("Apache-2.0 AND MIT", "allowed"),
        ("BSD 3-Clause License", "allowed"),
        ("GNU Library or Lesser General Public License (LGPL)", "allowed"),
        ("LGPL-3.0-or-later", "allowed"),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", "allowed"),
        ("GPL-3.0-only OR MIT", "allowed"),
        ("GPL-3.0-only", "denied"),
        ("AGPL-3.0", "denied"),
        ("GNU Affero General Public License v3", "denied"),
        ("GPL-2.0 AND MIT", "denied"),
        ("SSPL-1.0", "denied"),
        ("CC-BY-NC-4.0", "denied"),
        ("Business Source License 1.1", "denied"),
        ("House rules", "unknown"),
    ],
)
def test_licences_are_judged_by_what_they_say(said: str, verdict: str) -> None:
    assert licences.judge(said) == verdict


def dist(repo: Path, name: str, metadata: str) -> None:
    """A package in the repo's own environment."""
    folder = repo / ".venv" / "lib" / "python3.11" / "site-packages" / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{metadata}\n")


def test_a_package_whose_licence_forbids_it_or_is_unknown_is_found(repo: Path) -> None:
    dist(repo, "copyleft", "License-Expression: AGPL-3.0-only")
    dist(repo, "either", "Classifier: License :: OSI Approved :: Artistic License\n"
         "Classifier: License :: OSI Approved :: GNU General Public License (GPL)")  # fmt: skip
    dist(repo, "vague", "License: UNKNOWN")
    dist(repo, "house", "License-Expression: LicenseRef-House-Rules")
    lock(repo, "copyleft==1.0", "either==1.0", "vague==1.0", "house==1.0", "nowhere==1.0")
    found = {f.what.split()[0]: f.code for f in check(repo, only=["CRM63"]).findings}
    assert found == {"copyleft": "CRM630", "vague": "CRM631", "house": "CRM631", "nowhere": "CRM631"}


def test_a_tool_that_is_not_shipped_may_be_under_any_licence(repo: Path) -> None:
    dist(repo, "copyleft", "License-Expression: AGPL-3.0-only")
    lock(repo, "numpy==2.0")
    (repo / "requirements/dev.txt").write_text(f"copyleft==1.0 {HASH}\n")
    assert codes(repo, "CRM63") == []


def test_the_table_knows_every_package_of_our_own_locks() -> None:
    table = json.loads(licences.TABLE.read_text())
    missing = [name for name in licences.locked_by_us() if normal(name) not in table]
    assert missing == [], "python -m carrental_mlops.governance.licences"
    assert {name: said for name, said in table.items() if licences.judge(said) != "allowed"} == {}


@pytest.mark.parametrize(("module", "code"), [("detect_secrets", "CRM602"), ("helm_python", "CRM509")])
def test_a_tool_that_is_not_installed_is_a_failure_whatever_part_was_asked_for(
    module: str, code: str, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PathFinder.find_spec
    hide = lambda name, *rest: None if name == module else real(name, *rest)  # noqa: E731
    monkeypatch.setattr(PathFinder, "find_spec", hide)
    for name in [n for n in __import__("sys").modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(__import__("sys").modules, name)
    (one,) = check(repo, only=[f"{code[:5]}1"], keep=False).findings
    assert one.code == code and one.severity == "error" and "carrental-mlops[deploy]" in one.mend
