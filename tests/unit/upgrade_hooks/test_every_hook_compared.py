"""Every hook of the package against an edited copy: writing changes none, a change of one is seen in that one alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from package_versions import version

from carrental_mlops.scaffold.versions import PACKAGE, Material
from carrental_mlops.upgrade.code import Code, Found
from carrental_mlops.upgrade.hook_diff import Hook, compare, hooks

PLACES = {
    "carrental_mlops.steps": None,
    "carrental_mlops.serving": "ModelService",
    "carrental_mlops.data.features": "FeatureSet",
}


def every_hook(material: Material) -> dict[str, Hook]:
    code = Code(((material.root, PACKAGE),))
    found: dict[str, Hook] = {}
    for place, only in PLACES.items():
        module = code.module(place)
        assert module is not None
        for name in [only] if only else [n for n in module.names if n.endswith("Step")]:
            cls = code.find(module, name)
            assert isinstance(cls, Found)
            ours = [base for base in code.chain(cls) if isinstance(base, Found)]
            found |= {f"{name}.{hook}": value for hook, value in hooks(code, ours).items()}
    return found


@pytest.fixture(scope="module")
def before(old: Material) -> dict[str, Hook]:
    return every_hook(old)


NAMES = sorted(every_hook(Material("here", Path(__file__).parents[3] / "src")))


class _Undocumented(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
        return node


def test_the_whole_package_without_comments_docstrings_and_its_layout_changes_no_hook(
    before: dict[str, Hook], tmp_path: Path
) -> None:
    new = version(tmp_path, "0.2.0")
    for path in new.package.rglob("*.py"):
        path.write_text(ast.unparse(_Undocumented().visit(ast.parse(path.read_text()))))
    after = every_hook(new)
    assert sorted(after) == NAMES
    assert {name: compare(before[name], hook).kinds for name, hook in after.items()} == dict.fromkeys(NAMES, ())


def asserting(material: Material, hook: Hook) -> None:
    """One more statement in the body of a hook's default."""
    file, _, line = hook.place.rpartition(":")
    path = material.root / file
    lines = path.read_text().splitlines()
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    node = next(n for n in functions if n.lineno == int(line))
    lines.insert(node.body[-1].lineno - 1, " " * node.body[-1].col_offset + "assert self is not None")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_one_default_is_seen_in_that_one_alone(name: str, before: dict[str, Hook], copy: Material) -> None:
    path = copy.root / before[name].place.rpartition(":")[0]
    text = path.read_text()
    asserting(copy, before[name])
    found = {n: compare(before[n], hook).kinds for n, hook in every_hook(copy).items()}
    path.write_text(text)
    assert found == {**dict.fromkeys(NAMES, ()), name: ("behaviour",)}


def test_one_more_argument_is_seen_in_every_hook(before: dict[str, Hook], tmp_path: Path) -> None:
    new = version(tmp_path, "0.2.0")
    for hook in before.values():
        file, _, line = hook.place.rpartition(":")
        lines = (new.root / file).read_text().splitlines()
        more = lines[int(line) - 1].replace("(self", "(self, *, more: int", 1)
        lines[int(line) - 1] = more.replace("more: int, *,", "more: int,")
        (new.root / file).write_text("\n".join(lines) + "\n")
    found = {name: compare(before[name], hook).kinds for name, hook in every_hook(new).items()}
    assert found == dict.fromkeys(NAMES, ("signature",))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return version(tmp_path_factory.mktemp("new"), "0.2.0")
