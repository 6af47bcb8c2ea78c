from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.compose import REPO_FOLDER
from carrental_mlops.scaffold.rendering import Rendering

PNG = bytes(range(256)) * 4


def template(folder: Path, files: dict[str, str | bytes], **told: Any) -> Path:
    for path, content in files.items():
        place = folder / REPO_FOLDER / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "cookiecutter.json").write_text(json.dumps({"name": "x", "ci": "gitlab", **told}))
    return folder


def test_every_kind_of_file_is_as_cookiecutter_makes_it(tmp_path: Path) -> None:
    from cookiecutter.main import cookiecutter

    files: dict[str, str | bytes] = {
        "plain.txt": "no tags\n",
        "tags.txt": "{{ cookiecutter.name }} {# gone #}{% raw %}{{ kept }}{% endraw %}\n",
        "no_newline.txt": "{{ cookiecutter.name }}",
        "crlf.txt": "{{ cookiecutter.name }}\r\nb\r\n",
        "crlf_plain.txt": "a\r\nb\r\n",
        "mixed.txt": "{{ cookiecutter.name }}\nb\r\nc\rd",
        "empty.txt": "",
        "ünï.txt": "ü {{ cookiecutter.name }}\n",
        "logo.png": PNG,
        "{{cookiecutter.name}}/{{cookiecutter.ci}}.yml": "a\n",
        "{% if cookiecutter.ci == 'github' %}hub.yml{% endif %}": "gone\n",
        "deep/{% if cookiecutter.ci == 'github' %}hub.yml{% endif %}": "gone\n",
        "part.txt": "{% include 'plain.txt' %}{{ cookiecutter | jsonify(2) }}{{ 'A b' | slugify }}",
        "kept/{{cookiecutter.name}}/a.txt": "{{ not rendered }}\n",
        "{{cookiecutter.name}}.raw": "{{ not rendered }}\n",
        "private.txt": "{{ cookiecutter.__twice }} {{ cookiecutter._raw }}\n",
    }
    made = template(
        tmp_path / "t",
        files,
        _copy_without_render=["kept", "*.raw"],
        __twice="{{ cookiecutter.name }}{{ cookiecutter.name }}",
        _raw="{{ cookiecutter.name }}",
    )
    (made / REPO_FOLDER / "plain.txt").chmod(0o755)
    ours = Rendering(made).rendered({"name": "svc", "ci": "gitlab"})
    folder = Path(cookiecutter(str(made), no_input=True, extra_context={"name": "svc"}, output_dir=str(tmp_path)))
    theirs = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    assert list(ours) == sorted(theirs)
    told = {path: file.content for path, file in ours.items() if path != "part.txt"}
    assert told == {path: p.read_bytes() for path, p in theirs.items() if path != "part.txt"}
    assert b'"name": "svc"' in ours["part.txt"].content and ours["part.txt"].content.endswith(b"a-b")
    assert {path for path, file in ours.items() if file.executable} == {"plain.txt"}
    assert os.access(theirs["plain.txt"], os.X_OK)


def test_one_rendering_serves_many_answers_and_keeps_nothing(tmp_path: Path) -> None:
    made = Rendering(template(tmp_path, {"a.txt": "{{ cookiecutter.name }}"}))
    assert [made.files({"name": n, "ci": "x"})["a.txt"] for n in ("one", "two", "one")] == [b"one", b"two", b"one"]


def test_text_of_another_encoding_is_copied(tmp_path: Path) -> None:
    made = Rendering(template(tmp_path, {"a.txt": "{{ caf\xe9 }}".encode("latin-1")}))
    assert made.files({"name": "x", "ci": "y"})["a.txt"] == b"{{ caf\xe9 }}"


@pytest.mark.parametrize(
    "path",
    ["{{'..'}}/x", "{{'/etc'}}/x", "a/{{'..'}}/{{'..'}}/x", "{{'.git'}}/hooks/post-checkout", "a/{{'.GIT'}}/config"],
)
def test_a_path_that_leads_out_or_into_git_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"outside the new repo or into its \.git"):
        Rendering(template(tmp_path, {path: "x"})).files({"name": "x", "ci": "y"})


@pytest.mark.parametrize(
    "text",
    [
        "{{ cookiecutter.nowhere }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cookiecutter.update.__globals__ }}",
        "{{ self.__init__.__globals__['os'].environ['HOME'] }}",
        "{% include '/etc/hostname' %}",
        "{% include '../../secret' %}",
        "{% import 'os' as os %}{{ os.environ }}",
        "{{ uuid4() }}",
        "{{ random_ascii_string(5) }}",
        "{{ '{0.__class__}'.format(1) }}{{ nowhere }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ 1 / 0 }}",
        "{% unknown %}",
    ],
)
def test_a_text_that_reads_what_it_may_not_is_refused_with_its_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(TemplateError, match=r"does not render: a\.txt"):
        Rendering(template(tmp_path, {"a.txt": text})).files({"name": "x", "ci": "y"})


def test_hooks_and_extensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="hooks or extensions"):
        Rendering(template(tmp_path / "a", {"a.txt": "x"}, _extensions=["os.system"]))
    made = template(tmp_path / "b", {"a.txt": "x"})
    (made / "hooks").mkdir()
    with pytest.raises(TemplateError, match="hooks or extensions"):
        Rendering(made)


@pytest.mark.parametrize("paths", [("{{'a'}}", "a"), ("{{'a'}}", "a/b")])
def test_two_files_in_one_place_are_refused(paths: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"a second file renders to a|is a file and a folder"):
        Rendering(template(tmp_path, dict.fromkeys(paths, "x"))).files({"name": "x", "ci": "y"})


def test_a_link_is_refused(tmp_path: Path) -> None:
    made = template(tmp_path, {"a.txt": "x"})
    (made / REPO_FOLDER / "hosts").symlink_to("/etc/hosts")
    with pytest.raises(TemplateError, match="is a link"):
        Rendering(made)
