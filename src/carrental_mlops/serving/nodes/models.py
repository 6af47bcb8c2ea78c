"""A further model of a graph, and several models in one server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import field_validator, model_validator

from carrental_mlops.config.deploy import Node as Named
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.serving.app import App, Reply
from carrental_mlops.serving.load import BUNDLE, open_app
from carrental_mlops.serving.nodes.base import Asked, Node, Place
from carrental_mlops.serving.nodes.router import checked_pairs, table_of
from carrental_mlops.serving.refusal import Refusal

BESIDE = "nodes"
"""In the service's bundle: the bundles of further nodes."""


def baked(node: Named) -> dict[str, tuple[str, str | None]]:
    """What `crm image build` puts into the bundle for a node: folder to version and model name, None for the service's.

    Args:
        node: of `deploy.nodes`; settings that are not those of a model's class are none of ours.
    """
    version, versions = node.settings.get("version"), node.settings.get("versions")
    if node.kind != "model":
        return {}
    if version is not None:
        return {f"{BESIDE}/{node.name}": (str(version), None)}
    pairs = table_of(checked_pairs(str(versions))) if versions is not None else {}
    return {f"{BESIDE}/{node.name}/{name}": (str(number), name) for name, number in pairs.items()}


class OneModel(Node):
    """A bundle, answering as the service does: contract, stored features, rules, audit.

    Under Seldon it answers to the node's name and to the service's.
    """

    kind = "model"
    calls = ("infer",)
    own_door = True

    class Settings(Frozen):
        """Which model."""

        version: str | None = None
        """Of the registered model, which `crm image build` bakes in; unset: the service's own."""
        bundle: str | None = None
        """Instead, a folder relative to the repo."""

    def __init__(self, place: Place, settings: Any) -> None:
        super().__init__(place, settings)
        self._apps = self._opened()
        self._lives = {name: _Life(app) for name, app in self._apps.items()}

    def _opened(self) -> dict[str, App]:
        place, named = self.place, self.settings.bundle
        folder = place.root / named if named else place.wanted_bundle()
        if self.settings.version:
            folder = folder / BESIDE / place.name
        app = _open(place, folder)
        return {app.endpoint.identity.name: app}

    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self._apps)

    def registries(self) -> tuple[Any, ...]:
        """Of each model."""
        return tuple(app.metrics.registry for app in self._apps.values())

    def metadata(self) -> dict[str, Any]:
        """Of the first model, under the node's name."""
        first = next(iter(self._apps.values()))
        return {**first.endpoint.metadata(), "name": self.place.name}

    def pages(self) -> Mapping[str, Any]:
        """Each model's metadata."""
        return {f"/v2/models/{name}": app.endpoint.metadata for name, app in self._apps.items()}

    async def start(self) -> None:
        """Connect and warm up each model."""
        for life in self._lives.values():
            await life.start()

    async def stop(self) -> None:
        """Drain each."""
        for life in self._lives.values():
            await life.stop()

    async def answer(self, asked: Asked) -> Reply:
        """Of the model."""
        return await self._app(asked.model).infer({**asked.scope, "crm.done": None}, asked.body)

    def _app(self, model: str) -> App:
        return next(iter(self._apps.values()))


class ManyModels(OneModel):
    """Several bundles of one repo, each below the name that its `bundle.json` holds."""

    class Settings(Frozen):
        """Which models."""

        versions: str | None = None
        """Name to version of the registered model, such as `payments-fr=4, payments-it=5`; `crm image build` bakes them
        in."""
        folder: str | None = None
        """Instead, a folder of bundles' folders, relative to the repo."""

        @field_validator("versions")
        @classmethod
        def _are_pairs(cls, text: str | None) -> str | None:
            return text if text is None else checked_pairs(text)

        @model_validator(mode="after")
        def _has_one(self) -> ManyModels.Settings:
            if (self.versions is None) == (self.folder is None):
                raise ValueError("wants one of `versions` and `folder`")
            return self

    def _opened(self) -> dict[str, App]:
        given = self.settings.folder
        folder = self.place.root / given if given else self.place.wanted_bundle() / BESIDE / self.place.name
        found = sorted(path.parent for path in folder.glob(f"*/{BUNDLE}"))
        if not found:
            raise ConfigError(f"node `{self.place.name}`: no bundle lies in {folder}", "put each into a folder there")
        apps: dict[str, App] = {}
        for path in found:
            app = _open(self.place, path)
            name = app.endpoint.identity.name
            if name in apps:
                raise ConfigError(
                    f"node `{self.place.name}`: two bundles in {folder} hold a model `{name}`",
                    f"give one of them another `name` in its {BUNDLE}",
                )
            apps[name] = app
        return apps

    def _app(self, model: str) -> App:
        try:
            return self._apps[model]
        except KeyError:
            raise Refusal(404, "no such model") from None


def _open(place: Place, bundle: Path) -> App:
    return open_app(place.root, bundle, place.env, (*place.sets, "serving.grpc_port=null"))


class _Life:
    """An ASGI application, started and stopped as a server would."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._says: asyncio.Queue[Any] = asyncio.Queue()
        self._told: asyncio.Queue[Any] = asyncio.Queue()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._app({"type": "lifespan"}, self._says.get, self._told.put))
        told = await self._tell("lifespan.startup")
        if told["type"] != "lifespan.startup.complete":
            raise self._app.failure or PlatformError("a model does not start", "see the log above")

    async def stop(self) -> None:
        await self._tell("lifespan.shutdown")
        await self._task

    async def _tell(self, what: str) -> Any:
        await self._says.put({"type": what})
        return await self._told.get()
