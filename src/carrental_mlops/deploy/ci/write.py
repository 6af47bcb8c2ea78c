"""The CI files of this checkout: those of the templates and the package's own.

python -m carrental_mlops.deploy.ci.write
"""

from __future__ import annotations

from pathlib import Path

from carrental_mlops.assets import asset_dir
from carrental_mlops.deploy.ci import github, gitlab
from carrental_mlops.deploy.ci.model_repo import MODEL_REPO
from carrental_mlops.deploy.ci.package import PACKAGE

_REPO = Path("templates/_base/{{cookiecutter.name}}")
_GITLAB, _GITHUB = ".gitlab-ci.yml", ".github/workflows/ci.yml"
_MANAGED = "# Managed by crm, from one definition for GitLab CI and GitHub Actions."
_MADE = "# Made by `python -m carrental_mlops.deploy.ci.write` from deploy/ci/package.py."


def files() -> dict[Path, str]:
    """Path from the top of the checkout to the text that belongs there."""
    workflows, _, name = _GITHUB.rpartition("/")
    return {
        _REPO / _only("gitlab", _GITLAB): _raw(f"{_MANAGED}\n{gitlab.render(MODEL_REPO)}"),
        _REPO / workflows / _only("github", name): _raw(f"{_MANAGED}\n{github.render(MODEL_REPO)}"),
        Path(_GITLAB): f"{_MADE}\n{gitlab.render(PACKAGE)}",
        Path(_GITHUB): f"{_MADE}\n{github.render(PACKAGE)}",
    }


def _only(platform: str, name: str) -> str:
    return f"{{% if cookiecutter.ci == '{platform}' %}}{name}{{% endif %}}"


def _raw(text: str) -> str:
    """`text` as a template that gives just it."""
    return f"{{% raw -%}}\n{text.rstrip()}\n{{% endraw %}}\n"


def main() -> None:
    """Write them all."""
    root = asset_dir("templates").parent
    for path, text in files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
