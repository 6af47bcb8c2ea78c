from __future__ import annotations

from carrental_mlops.assets import asset_dir
from carrental_mlops.scaffold.step_cards import generate


def test_the_catalogue_says_what_the_classes_say() -> None:
    made = generate()
    folder = asset_dir("steps")
    stored = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for name in ("step.yaml", "override.py.jinja")
        for path in folder.glob(f"*/{name}")
    }
    assert stored == made, "run: python -m carrental_mlops.scaffold.step_cards"


def test_every_hook_says_what_to_return_and_since_when() -> None:
    from carrental_mlops.scaffold.step_cards import read_steps

    hooks = [(card["name"], hook) for card in read_steps() for hook in card["hooks"]]
    assert hooks
    assert [(n, h["name"]) for n, h in hooks if not (h["returns"] and h["since"] and h["doc"])] == []
