"""The YAML files that a person writes for the figures, read into a model."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from carrental_mlops.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)


def read_yaml(path: Path, kind: type[_Model], example: str) -> _Model:
    """What `path` holds.

    Args:
        path: of the file.
        kind: what it is to hold.
        example: a command or page that shows one.

    Raises:
        ConfigError: it cannot be read, is no YAML, or does not hold; names the key.
    """
    import yaml

    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", example) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", "mend the YAML at that line") from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {at}: {first['msg']}; found {first['input']!r:.80}", example) from error
