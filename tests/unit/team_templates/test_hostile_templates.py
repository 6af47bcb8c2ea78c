"""What a template of another package tries, and what becomes of it; nothing of it reaches the repo or the machine."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from small_repo import crm
from team_packages import TEMPLATE, team_package

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold import rendering_apart
from carrental_mlops.scaffold.answers import complete
from carrental_mlops.scaffold.catalogue import describe, template_dir
from carrental_mlops.scaffold.compose import REPO_FOLDER
from carrental_mlops.scaffold.render import new_repo
from carrental_mlops.scaffold.rendering import Rendering


def refused(site: Path, tmp_path: Path, match: str) -> None:
    repos = tmp_path / "repos"
    repos.mkdir(exist_ok=True)
    with pytest.raises(TemplateError, match=match):
        new_repo(TEMPLATE, {}, repos)
    assert list(repos.iterdir()) == []


def in_this_process() -> None:
    """What the process apart does, without its bounds."""
    with template_dir(TEMPLATE) as folder:
        Rendering(folder, apart=False).rendered(complete(describe(folder).questions, {}))


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ lipsum.__globals__['os'].popen('touch owned').read() }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ cookiecutter.__class__.__init__.__globals__ }}",
        "{{ (''|attr('__class__')).__mro__ }}",
        "{{ '%s'|format(1)|map(attribute='__class__')|list }}{{ nowhere }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(cycler) }}",
        "{% set f = ''.format %}{{ f.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% include '../../../etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% do cookiecutter.clear() %}",
    ],
)
def test_a_text_that_reads_or_runs_is_refused_with_its_place(text: str, site: Path) -> None:
    team_package(site, files={"a.txt": text})
    with pytest.raises(TemplateError, match=r"does not render: a\.txt"):
        in_this_process()


def test_the_process_apart_says_what_was_refused(site: Path, tmp_path: Path) -> None:
    team_package(site, files={"a.txt": "{{ cycler.__init__.__globals__.os.environ }}"})
    refused(site, tmp_path, r"template churn-batch does not render: a\.txt: access to attribute '__init__'")


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10 ** 10 }}",
        "{{ 9 ** (9 ** 9) }}",
        "{% for a in range(99999) %}{{ 'xxxxxxxxxx' * 99999 }}{% endfor %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ [1] | batch(10 ** 9, 0) | list }}",
    ],
    ids=["loops", "a constant", "a power", "output", "recursion", "a filter"],
)
def test_what_takes_too_much_is_stopped(text: str, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering_apart, "WALL_S", 1)
    team_package(site, files={"a.txt": text})
    began = time.monotonic()
    refused(site, tmp_path, r"takes more than it may|does not render: a\.txt")
    assert time.monotonic() - began < 20


def test_the_process_that_renders_has_no_environment(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = "import json, os, sys; sys.exit(json.dumps([f'saw {sorted(os.environ)} in {os.getcwd()}', 'x']))"
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    monkeypatch.setattr(rendering_apart, "_CODE", tell)
    team_package(site)
    with pytest.raises(TemplateError) as told:
        new_repo(TEMPLATE, {}, tmp_path)
    assert set(re.findall(r"'(\w+)'", told.value.what)) <= {"LC_CTYPE"}
    assert "crm-render-" in told.value.what


def test_a_process_that_was_taken_over_still_writes_only_below_the_repo(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; open(sys.argv[2], 'w').write('[[\"../out.txt\", \"eA==\", false]]')"
    monkeypatch.setattr(rendering_apart, "_CODE", code)
    team_package(site)
    refused(site, tmp_path, r"outside the new repo")
    monkeypatch.setattr(rendering_apart, "_CODE", code.replace("../out.txt", ".git/config"))
    refused(site, tmp_path, r"into its \.git")


@pytest.mark.parametrize(
    "path",
    ["{{'..'}}/x", "{{'/etc'}}/x", "a/{{'..'}}/{{'..'}}/x", "{{'.git'}}/hooks/post-checkout", "{{'.GIT'}}/config"],
)
def test_a_path_that_leads_out_is_refused(path: str, site: Path) -> None:
    team_package(site, files={path: "x"})
    with pytest.raises(TemplateError, match=r"outside the new repo or into its \.git"):
        in_this_process()


@pytest.mark.parametrize(
    "told",
    [
        {"_extensions": ["os.system"]},
        {"_jinja2_env_vars": {"finalize": "x"}},
        {"_crm_package": {"name": "carrental-mlops", "version": "1"}},
        {"_crm_version": "9"},
        {"__secret": "{{ lipsum.__globals__ }}"},
        {"colour": "{{ lipsum.__globals__ }}"},
        {"colour": "{{ cookiecutter.__class__ }}"},
        {"colour": "{{ cookiecutter.name * 99999999 }}"},
        {"colour": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"},
        {"colour": "{{ cookiecutter.name | center(999999999) }}"},
        {"colour": ["{{ cookiecutter.name }}", "b"]},
        {"colour": {"a": "b"}},
        {"colour": "x" * 300},
        {"_summary": "\x1b[2Jgone"},
        {"_crm_from": None},
        {"_crm_from": "../../etc"},
        {"__prompts__": ["a"]},
        {"_copy_without_render": "*"},
    ],
    ids=str,
)
def test_questions_that_are_more_than_text_are_refused(told: dict[str, object], site: Path, tmp_path: Path) -> None:
    team_package(site, told=told)
    refused(site, tmp_path, r"is no key|holds tags|may name answers|is not|does not say|stands on|parse")


def test_hooks_links_and_files_in_other_places_are_refused(site: Path, tmp_path: Path) -> None:
    folder = team_package(site)
    (folder / "hooks").mkdir()
    (folder / "hooks" / "post_gen_project.py").write_text("raise SystemExit('ran')")
    refused(site, tmp_path, "has hooks")
    (folder / "hooks" / "post_gen_project.py").unlink()
    (folder / "plan.py").write_text("")
    refused(site, tmp_path, "is in no place of a template")
    (folder / "plan.py").unlink()
    (folder / REPO_FOLDER / "link").symlink_to("/etc/passwd")
    refused(site, tmp_path, "is a link")
    (folder / REPO_FOLDER / "link").unlink()
    (folder / REPO_FOLDER / "folder").symlink_to("/etc")
    refused(site, tmp_path, "is a link")
    (folder / REPO_FOLDER / "folder").unlink()
    (folder / REPO_FOLDER / "requirements").mkdir()
    (folder / REPO_FOLDER / "requirements" / "dev.txt").write_text("evil==1\n")
    refused(site, tmp_path, "requirements/ is its own")


@pytest.mark.parametrize("how", ["hook", "extension"])
def test_trust_lets_no_hook_and_no_extension_run_and_says_so(
    how: str, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = tmp_path / "ran"
    code = f"from pathlib import Path; Path({str(ran)!r}).touch()\n"
    folder = team_package(site, told={"_extensions": ["hostile_extension.Extension"]} if how == "extension" else None)
    if how == "hook":
        (folder / "hooks").mkdir()
        (folder / "hooks" / "pre_gen_project.py").write_text(code)
    (site / "hostile_extension.py").write_text(code)
    monkeypatch.setenv("CRM_TEMPLATE_PACKAGES", "another")
    (tmp_path / "repos").mkdir()
    monkeypatch.chdir(tmp_path / "repos")
    asked = ("new", "--template", TEMPLATE, "--no-input")
    assert crm(*asked) == 1
    assert "--trust (its texts; hooks and extensions are refused all the same)" in capsys.readouterr().err
    assert crm(*asked, "--trust") == 1
    told = capsys.readouterr().err
    assert "--trust takes a package's texts, and never runs its code" in told
    assert ("has hooks" if how == "hook" else "`_extensions` is no key") in told
    assert not ran.exists() and list((tmp_path / "repos").iterdir()) == []


def test_a_template_of_many_or_large_files_is_refused(site: Path, tmp_path: Path) -> None:
    folder = team_package(site, files={"large.bin": b"\0" * (9 << 20)})
    refused(site, tmp_path, "1 files, 9437184 bytes; at most")
    (folder / REPO_FOLDER / "large.bin").unlink()
    for number in range(1001):
        (folder / REPO_FOLDER / str(number)).touch()
    refused(site, tmp_path, "1001 files")


def test_a_module_that_leads_out_of_its_package_is_no_template(site: Path, tmp_path: Path) -> None:
    outside = team_package(tmp_path / "elsewhere", module="out")
    (site / "risk_out").symlink_to(outside)
    team_package(site)
    (site / "Risk_Templates-1.0.dist-info" / "entry_points.txt").write_text(
        "[carrental_mlops.templates]\nchurn-batch = risk_out\n"
    )
    refused(site, tmp_path, "has no folder with cookiecutter.json")
