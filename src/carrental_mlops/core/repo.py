"""A model repo as Python sees it: its configuration and its pipelines."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from carrental_mlops.config import RepoConfig, Section, load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.config.repo import find_repo
from carrental_mlops.core.binding import step_configs
from carrental_mlops.core.context import Context
from carrental_mlops.core.hook import where
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.step import StepConfig
from carrental_mlops.errors import ConfigError, ContractError, WiringError, nearest


@dataclass(frozen=True)
class ModelRepo:
    """One model repo, read once."""

    root: Path
    section: Section
    """crm.yaml with its overlay and the `--set` pairs, each value with its file and line."""
    config: RepoConfig

    def pipelines(self) -> dict[str, type[Pipeline]]:
        """Pipelines of `<package>.pipelines` by name, in file order; a team's own hides the default it extends.

        Raises:
            ConfigError: the package or its `pipelines.py` is not there, or a library is not installed.
            ContractError: the file does not parse, or another package of that name is imported.
            WiringError: two pipelines share a name.
        """
        found: dict[str, type[Pipeline]] = {}
        for value in vars(self._module()).values():
            if not (isinstance(value, type) and issubclass(value, Pipeline) and value.name):
                continue
            other = found.get(value.name)
            if other is None or issubclass(value, other):
                found[value.name] = value
            elif not issubclass(other, value):
                raise WiringError(
                    f"`{value.__name__}` ({where(value)}) and `{other.__name__}` are both named `{value.name}`",
                    f'give one another name: name = "{value.name}_2"',
                )
        return found

    def pipeline(self, name: str) -> type[Pipeline]:
        """The pipeline called `name`.

        Raises:
            ConfigError: there is none; names the nearest.
        """
        found = self.pipelines()
        if name not in found:
            fix = f"crm pipelines list; {nearest(name, found)}"
            raise ConfigError(f"no pipeline `{name}` in {self._file()}", fix)
        return found[name]

    def step_configs(self, pipeline: type[Pipeline]) -> dict[str, StepConfig]:
        """Each slot's config; a slot that only another pipeline of the repo has is no error."""
        return step_configs(pipeline, self.section, known=self.pipelines().values())

    def context(self, env: str | None = None, seed: int | None = None) -> Context:
        """What every run of the repo is told of it: a run in process unless the engine says otherwise.

        Args:
            env: an environment of crm.yaml; None for the first.
            seed: None for that of crm.yaml.
        """
        config = self.config
        return Context(
            service=config.service,
            env=env or config.local,
            seed=config.seed if seed is None else seed,
            root=self.root,
            tracking_uri=config.mlflow.tracking_uri,
        )

    def _file(self) -> Path:
        return Path("src") / self.config.package / "pipelines.py"

    def _module(self) -> ModuleType:
        source, name = self.root / "src", f"{self.config.package}.pipelines"
        if not (self.root / self._file()).is_file():
            line = self.section.place(("package",))
            raise ConfigError(f"{line}: `package` is {self.config.package!r}, but there is no {self._file()}",
                              "name the folder under src/ that holds pipelines.py")  # fmt: skip
        if str(source) not in sys.path:
            sys.path.insert(0, str(source))
        try:
            module = importlib.import_module(name)
        except SyntaxError as error:
            raise ContractError(f"{error.filename}:{error.lineno}: {error.msg}", "mend the syntax there") from error
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{_team_line(error, source)} imports `{error.name}`, which is not installed",
                "uv sync, or: pip install 'carrental-mlops[pipelines]'",
            ) from error
        except ImportError as error:
            raise ContractError(f"{_team_line(error, source)}: {error.msg}", "mend the import there") from error
        if source not in Path(module.__file__ or "").resolve().parents:
            raise ContractError(f"`{name}` was imported from {module.__file__}, not from {source}",
                                f"uninstall that one: uv pip uninstall {self.config.package}")  # fmt: skip
        return module


def _team_line(error: BaseException, source: Path) -> str:
    """`file:line` of the last frame that lies in the repo."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(source)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(source)


def open_repo(start: Path | None = None, env: str | None = None, sets: Sequence[str] = ()) -> ModelRepo:
    """The model repo around `start` (default: the working folder) as `env` sees it.

    Raises:
        ConfigError: no repo here, or its configuration does not hold; names file, line and key.
    """
    root = find_repo(start)
    section = load(root, env, sets)
    return ModelRepo(root, section, repo_config(section))
