"""A command group that lists its commands without importing them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


def noun(summary: str) -> typer.Typer:
    """An empty Typer app for one noun, set up as every noun of `crm` is."""
    return typer.Typer(
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def verb() -> typer.Typer:
    """A Typer app whose single command takes no subcommand, such as `crm run`."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class LazyGroup(TyperGroup):
    """Commands by name, each imported when it is invoked; `crm --help` reads `summaries` only."""

    summaries: ClassVar[dict[str, str]] = {}
    """Command name to its line in `crm --help`."""
    places: ClassVar[dict[str, str]] = {}
    """Command name to `module:attribute`, a Typer app or a command function."""

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = {
            name: TyperCommand(name=name, help=summary, rich_markup_mode=None)
            for name, summary in self.summaries.items()
        }
        super().__init__(**settings)

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command, in the order of `summaries`."""
        return list(self.summaries)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command, imported now."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, self._load(name) if name else None, rest

    def _load(self, name: str) -> Any:
        module, _, attribute = self.places[name].partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            app = verb()
            app.command()(found)
            found = app
        command = typer.main.get_command(found)
        command.name = name
        return command
