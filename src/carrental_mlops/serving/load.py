"""From a model repo and a fetched model to the application that answers."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carrental_mlops.config import RepoConfig, load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.config.serving import Audit, Serving
from carrental_mlops.config.variables import online_url
from carrental_mlops.data.model import Model
from carrental_mlops.errors import ConfigError, CrmError, DataError
from carrental_mlops.serving.app import App
from carrental_mlops.serving.audit import BestEffortTrail, DurableTrail, Inputs
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.auth import door_of
from carrental_mlops.serving.endpoint import Endpoint, FeatureReader, Identity, Trail
from carrental_mlops.serving.segments import Segments
from carrental_mlops.serving.service import ModelService
from carrental_mlops.serving.signature import Signature
from carrental_mlops.serving.switch import Previous, Switchboard, switch_file
from carrental_mlops.serving.telemetry import Metrics

if TYPE_CHECKING:
    from carrental_mlops.serving.traces import Traces

log = logging.getLogger("carrental_mlops.serving")

BUNDLE = "bundle.json"
"""Beside the files of the model: which model this is, and how its stored features are read."""


@dataclass(frozen=True)
class Bundle:
    """A folder that holds all a service needs beside the repo's code: the model, and who it is."""

    folder: Path
    identity: Identity
    online: dict[str, Any] | None = None
    """How the online store is read (`serving.online`); None where no feature is stored."""

    def write(self) -> None:
        """Describe the folder; the model's own files are there already."""
        told = asdict(self.identity)
        (self.folder / BUNDLE).write_text(json.dumps({**told, "online": self.online}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """The bundle in `folder`.

        Raises:
            DataError: there is none.
        """
        try:
            told = json.loads((folder / BUNDLE).read_text())
            identity = Identity(told["name"], told["version"], told["digest"], told.get("registered_at"))
            return cls(folder, identity, told.get("online"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder / BUNDLE}: {error!r}", "crm serve writes it") from error


def service_of(root: Path, config: RepoConfig) -> type[ModelService]:
    """The service that `<package>.service` defines.

    Raises:
        ConfigError: the module is not there, needs a library that a service has not, or defines none or several.
    """
    source, name = root / "src", f"{config.package}.service"
    if str(source) not in sys.path:
        sys.path.insert(0, str(source))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        fix = f"write src/{config.package}/service.py"
        if not str(error.name).startswith(config.package):
            fix = f"remove the import of `{error.name}` from what service.py imports: the service does not have it"
        raise ConfigError(f"`{name}` cannot be imported: {error}", fix) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ModelService) and value.__module__ == name
    ]
    if len(found) != 1:
        names = ", ".join(value.__name__ for value in found) or "none"
        raise ConfigError(f"`{name}` must define one ModelService, found {names}", "keep one class in service.py")
    if not hasattr(found[0], "schema"):
        raise ConfigError(f"`{found[0].__name__}` names no schema", "schema = the row contract of schema.py")
    return found[0]


def signature_of(service: type[ModelService], config: RepoConfig) -> Signature:
    """What a request to `service` must hold."""
    stored = service.feature_set.stored_columns() if config.serving.features.source == "request" else ()
    return Signature(service.schema, stored, without=(config.columns.label,))


def open_app(root: Path, bundle_folder: Path, env: str | None = None, sets: tuple[str, ...] = ()) -> App:
    """The application of the repo at `root`, answering with the model in `bundle_folder`.

    Args:
        root: of the model repo.
        bundle_folder: as `Bundle.write` left it.
        env: environment overlay; None for the first.
        sets: `key=value` pairs that go before the file's.

    Raises:
        ConfigError: the repo's configuration or service.
        DataError: the bundle is incomplete, or the model is not the one that its digest names.
    """
    config = repo_config(load(root, env, sets))
    settings = config.serving
    if settings.deadline_ms is None and config.slo.p99_ms is not None:
        settings = settings.model_copy(update={"deadline_ms": 2 * config.slo.p99_ms})
    bundle = Bundle.read(bundle_folder)
    service = service_of(root, config)
    model = Model.load(bundle_folder, bundle.identity.digest)
    signature = signature_of(service, config)
    metrics = _metrics(config, bundle.identity)
    endpoint = Endpoint(
        bundle.identity,
        service(model),
        signature,
        settings,
        _reader(root, service, bundle, config, metrics),
        _trail(root, config, settings.audit, bundle.identity, metrics),
        Switchboard(switch_file(root), metrics, _before(bundle_folder, service)),
        _flags_before(service) if config.serving.features.source == "request" else frozenset(),
    )
    app = App(endpoint, metrics, door_of(root, settings.auth), _traces(settings, bundle.identity))
    if endpoint.trail is not None:
        app.gauges.audit_folder, app.gauges.shipped = root / settings.audit.folder, settings.audit.sink is not None
    return app


def _metrics(config: RepoConfig, identity: Identity) -> Metrics:
    p99_s = config.slo.p99_ms / 1e3 if config.slo.p99_ms else None
    stale_s = config.serving.features.stale_after_hours * 3600
    return Metrics(identity.name, identity.version, identity.digest, p99_s, stale_s, identity.registered_at)


def _flags_before(service: type[ModelService]) -> frozenset[str]:
    """What a transformer may say of the stored features that it added."""
    views = {reference.partition(":")[0] for reference in service.feature_set.references()}
    return frozenset({"late", *(f"{what}:{view}" for what in ("stale", "unknown") for view in views)})


def _traces(settings: Serving, identity: Identity) -> Traces | None:
    if settings.traces.endpoint is None:
        return None
    from carrental_mlops.serving.traces import Traces

    return Traces(settings.traces.endpoint, settings.traces.ratio, identity.name, identity.version)


def _before(bundle_folder: Path, service: type[ModelService]) -> Previous | None:
    """The model before, from the folder `<bundle>-previous` beside; None where it is not there or cannot answer."""
    folder = bundle_folder.with_name(f"{bundle_folder.name}-previous")
    if not (folder / BUNDLE).exists():
        return None
    try:
        bundle = Bundle.read(folder)
        before = service(Model.load(folder, bundle.identity.digest))
        before.scored({name: np.ones(1) for name in before.fields()})
    except CrmError as error:
        log.error("%s cannot answer, so there is no switching back to it: %s", folder, error)
        return None
    return Previous(bundle.identity, before)


def _trail(root: Path, config: RepoConfig, audit: Audit, identity: Identity, metrics: Metrics) -> Trail | None:
    kind = audit.kind or ("best_effort" if config.tier == 3 else "durable")
    if kind == "off":
        return None
    rendering = Rendering(identity, audit.clear, audit.show_caller)
    limit, age = audit.segment_mb << 20, audit.segment_s
    events = Segments(root / audit.folder, "events", limit, age)
    inputs = None
    if audit.input_key_file:
        from carrental_mlops.serving.vault import FileVault

        vault = FileVault(root / audit.input_key_file)
        inputs = Inputs(vault, Segments(root / audit.input_folder, "inputs", limit, age, vault.header))
    if kind == "best_effort":
        return BestEffortTrail(rendering, metrics.written, metrics.dropped, audit.queue, events, inputs)
    return DurableTrail(rendering, metrics.written, events, inputs, metrics.stage("audit"))


def _reader(
    root: Path, service: type[ModelService], bundle: Bundle, config: RepoConfig, metrics: Metrics
) -> FeatureReader | None:
    if config.serving.features.source == "request" or not service.feature_set.references():
        return None
    if bundle.online is None:
        raise ConfigError(
            f"`{service.__name__}` reads stored features, but the bundle names no online store",
            "crm run features, then crm serve; or serving.features.source: request",
        )
    from carrental_mlops.serving.online import open_reader

    return open_reader(root, bundle.online, config.serving.features, online_url(config.feast.online), metrics)
