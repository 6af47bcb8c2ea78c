"""Where the shipped material lies: in an installed wheel, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from carrental_mlops.errors import CrmError

AssetKind = Literal["templates", "steps", "helm", "terraform", "requirements"]


def asset_dir(kind: AssetKind) -> Path:
    """The folder of one kind of material, the wheel's first.

    In a wheel `templates` holds whole cookiecutter templates; in a checkout it holds `_base` and the flavours,
    which `scaffold.catalogue.template_dir` composes.

    Raises:
        CrmError: neither place has it, so the installation is broken.
    """
    package = Path(__file__).resolve().parent
    packaged = package / "_assets" / kind
    if packaged.is_dir():
        return packaged
    checkout = package.parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / kind).is_dir():
        return checkout / kind
    raise CrmError(
        f"{kind}/ is neither in the installed package ({packaged}) nor in a checkout ({checkout / kind})",
        "pip install --force-reinstall --no-deps carrental-mlops",
    )
