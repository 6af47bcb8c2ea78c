"""Versions of a package with one step and one hook, as source trees; small enough to be read in milliseconds."""

from __future__ import annotations

from pathlib import Path

from carrental_mlops.scaffold.versions import Material

_STEP = '''
from carrental_mlops.core.hook import hook

class TrainStep:
    def fit(self, rows, rounds=100):
        """Not a hook."""

    {hook}
'''
HOOK = """@hook(since="0.1", returns="one weight a row")
    def sample_weight(self, *, rows: list[int]) -> list[float]:
        return [1.0 for _ in rows]
"""
_DEPRECATED = """from carrental_mlops.core.deprecated import removed_hook, renamed_hook

CHANGES = ({entries})
"""


def package(
    root: Path,
    number: str,
    *,
    hook: str = HOOK,
    changelog: str = "",
    declares: str = "",
    public: str = '["TrainStep"]',
    **edits: str,
) -> Material:
    """`root/carrental_mlops` of version `number`; `edits` are old text to new text in the step."""
    step = _STEP.replace("{hook}", hook)
    for old, new in edits.items():
        assert old in step
        step = step.replace(old, new)
    files = {
        "__init__.py": f'__version__ = "{number}"\n',
        "core/__init__.py": "",
        "core/deprecated.py": _DEPRECATED.format(entries=f"{declares}," if declares else ""),
        "core/hook.py": "def hook(**about):\n    return lambda method: method\n",
        "steps/__init__.py": f"from carrental_mlops.steps.train import TrainStep\n\n__all__ = {public}\n",
        "steps/train.py": step,
        "_assets/CHANGELOG.md": changelog,
    }
    for name, text in files.items():
        place = root / "carrental_mlops" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return Material(number, root)


def fleet_repo(folder: Path, name: str, version: str, body: str = "") -> Path:
    """A repo of a fleet whose `steps.py` overrides what `body` says."""
    root = folder / name
    (root / "src" / "pay").mkdir(parents=True)
    (root / ".crm.json").write_text(f'{{"template": "t", "version": "{version}", "answers": {{}}, "files": {{}}}}')
    text = f"from carrental_mlops.steps import TrainStep\n\n\nclass Train(TrainStep):\n    {body or 'pass'}\n"
    (root / "src" / "pay" / "__init__.py").write_text("")
    (root / "src" / "pay" / "steps.py").write_text(text)
    return root
