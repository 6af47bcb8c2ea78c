"""ZenML, quiet and kept in the repo: `.crm/zenml`, or the ZenML that a named stack lives in."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.files import locked
from carrental_mlops.integrations.local_store import repoint
from carrental_mlops.orchestration.zenml_moved_repo import follow

_ENVIRONMENT = {
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_LOGGING_VERBOSITY": "CRITICAL",
    "ZENML_LOGGING_COLORS_DISABLED": "true",
    "ZENML_DISABLE_STEP_LOGS_STORAGE": "true",
    "ZENML_DISABLE_PIPELINE_LOGS_STORAGE": "true",
    "ZENML_ENABLE_RICH_TRACEBACK": "false",
    "ZENML_SUPPRESS_UPDATE_NOTIFICATIONS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "UV_NO_CACHE": "true",  # ZenML lists the installed packages through uv, whose cache lies in HOME
}
_MADE = "made"
"""File in a home whose store is whole."""
_theirs = os.environ.get("ZENML_CONFIG_PATH")
_opened: list[Path | None] = []
"""The home that ZenML's singletons in this process belong to."""


def open_home(root: Path, stack: str | None = None, server: str | None = None) -> Any:
    """ZenML's client for the repo at `root`, its store made or upgraded; call before anything imports zenml.

    Args:
        root: the model repo; its store is `.crm/zenml`, whose paths follow when the repo was moved.
        stack: name of a stack in the user's own ZenML (ZENML_CONFIG_PATH, a login, or ZENML_STORE_URL).
        server: URL of the server that the stack lives on, where ZENML_STORE_URL is not set.

    Raises:
        ConfigError: no such stack.
        PlatformError: the store cannot be opened.
    """
    home = _choose_home(root, stack)
    if stack and server:
        os.environ.setdefault("ZENML_STORE_URL", server)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        with locked(home.parent / "zenml.lock") if home else nullcontext():
            _discard_half_made(home)
            before = _forget_other_home(home)
            client = _client(home, stack or "")
            if home and before:
                follow(client, home, before)
    except (OSError, RuntimeError) as error:
        place = home or "the user's ZenML"
        raise PlatformError(
            f"ZenML's store at {place}: {error}", f"make {root}/.crm writable", retryable=True
        ) from error
    if not hasattr(sys.modules["__main__"], "__file__"):  # a notebook, a shell: ZenML cannot find its source root
        from zenml.utils.source_utils import set_custom_source_root

        set_custom_source_root(str(root.resolve()))
    return client


@contextmanager
def our_signals() -> Iterator[None]:
    """Keep ZenML from handling signals itself: it would ask its database from inside the handler."""
    from zenml.orchestrators.step_launcher import StepLauncher

    theirs = StepLauncher._should_register_signal_handler
    StepLauncher._should_register_signal_handler = lambda self: False  # type: ignore[method-assign]
    try:
        yield
    finally:
        StepLauncher._should_register_signal_handler = theirs  # type: ignore[method-assign]


@contextmanager
def without_integrations() -> Iterator[None]:
    """Keep ZenML from importing every library that it has a materialiser for: our outputs name theirs."""
    from zenml.integrations.registry import integration_registry

    integration_registry.activate_integrations = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del integration_registry.activate_integrations


def _choose_home(root: Path, stack: str | None) -> Path | None:
    if stack is None:
        home = root.resolve() / ".crm" / "zenml"
        os.environ["ZENML_CONFIG_PATH"] = str(home)
        return home
    if _theirs is None:
        os.environ.pop("ZENML_CONFIG_PATH", None)
    else:
        os.environ["ZENML_CONFIG_PATH"] = _theirs
    return None


def _discard_half_made(home: Path | None) -> None:
    """Remove a store whose making was killed: ZenML neither goes on with one nor starts it again."""
    if home is not None and home.is_dir() and not (home / _MADE).is_file():
        shutil.rmtree(home)


def _forget_other_home(home: Path | None) -> Path | None:
    """Where `home` lay before, if it was moved; ZenML's singletons no longer belong to another home."""
    before = None
    if home is not None:
        config = home / "config.yaml"
        home.mkdir(parents=True, exist_ok=True)
        before = repoint(home / "local_stores" / "default_zen_store" / "zenml.db", home)
        if before and config.is_file():
            config.write_text(config.read_text(encoding="utf-8").replace(str(before), str(home)), encoding="utf-8")
    if "zenml" in sys.modules and _opened != [home]:
        from zenml.client import Client
        from zenml.config.global_config import GlobalConfiguration
        from zenml.stack import stack, stack_component

        for cache in (getattr(stack, "_STACK_CACHE", {}), getattr(stack_component, "_STACK_COMPONENT_CACHE", {})):
            cache.clear()
        GlobalConfiguration._reset_instance()
        Client._reset_instance()
    _opened[:] = [home]
    return before


def _client(home: Path | None, stack: str) -> Any:
    from zenml.client import Client

    logging.getLogger("zenml").setLevel(logging.CRITICAL)
    client = Client()
    if home is not None:
        client.active_stack_model  # noqa: B018 - opens the store, creating or migrating it
        (home / _MADE).touch()
        return client
    try:
        client.activate_stack(client.get_stack(stack, allow_name_prefix_match=False).id)
    except KeyError as error:
        known = ", ".join(s.name for s in client.list_stacks(size=50).items)
        raise ConfigError(f"ZenML has no stack `{stack}`", f"choose one of: {known}") from error
    return client
