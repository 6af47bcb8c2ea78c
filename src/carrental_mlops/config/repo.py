"""Where a model repo begins."""

from __future__ import annotations

from pathlib import Path

from carrental_mlops.config.models import RepoConfig
from carrental_mlops.errors import ConfigError


def find_repo(start: Path | None = None) -> Path:
    """The nearest folder, from `start` upwards, that holds `config/crm.yaml`.

    Raises:
        ConfigError: there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "config" / "crm.yaml").is_file():
            return folder
    raise ConfigError(
        f"{start} is not inside a model repo: no config/crm.yaml here or above", "cd into one, or: crm new"
    )


def overlay_of(root: Path, config: RepoConfig, env: str | None = None) -> Path:
    """The file that holds what is special to `env`: `config/<env>.yaml`, or crm.yaml for the first environment."""
    return root / "config" / ("crm.yaml" if is_local(config, env) else f"{env}.yaml")


def is_local(config: RepoConfig, env: str | None) -> bool:
    """Whether `env` is the first environment, which is this machine and no cluster; None is the first one."""
    return env in (None, config.local)


def from_to(config: RepoConfig, source: str | None, target: str | None) -> tuple[str, str]:
    """The environment that a release is taken from and the one it goes to; None: the last, from the one before it.

    Raises:
        ConfigError: crm.yaml has no such environment, one of them is this machine, or both are one.
    """
    known = config.environments
    target = target or known[-1]
    for name in (target, *([source] if source else [])):
        if name not in known:
            raise ConfigError(f"no environment `{name}` in crm.yaml", f"choose one of: {', '.join(known)}")
        of_cluster(config, name)
    source = source or known[known.index(target) - 1]
    if is_local(config, source) or source == target:
        fix = f"crm deploy --env {target}, or name another: --from"
        raise ConfigError(f"there is no environment before {target} that a release could come from", fix)
    return source, target


def of_cluster(config: RepoConfig, env: str | None) -> None:
    """Refuse the first environment where a command asks a cluster.

    Raises:
        ConfigError: `env` is this machine.
    """
    if is_local(config, env):
        others = config.environments[1:]
        what = f"{config.local} is this machine, and has no cluster"
        raise ConfigError(what, f"--env {others[-1]}" if others else "name a second one in crm.yaml: environments")
