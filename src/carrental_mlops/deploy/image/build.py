"""The image of a release: code, environment and one model, from which a pod starts with the registry down."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.deploy.image import supply_chain
from carrental_mlops.deploy.image.builders import Builder, Order, build
from carrental_mlops.deploy.image.context import CONTAINER_FILE, REQUIREMENTS, prepare
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.errors import ConfigError
from carrental_mlops.files import whole_file
from carrental_mlops.integrations.code_version import code_tags
from carrental_mlops.serving.load import Bundle

FOLDER = Path(".crm") / "images"
"""One folder an image, relative to the repo: what it is, its parts, how it was made, the image itself."""
RECORD = "image.json"


@dataclass(frozen=True)
class WantedImage:
    """What is asked of a build."""

    tag: str | None = None
    """Default: `<model version>-<commit>`."""
    push: bool = False
    build_args: Mapping[str, str] = field(default_factory=dict)
    wheel: Path | None = None
    """Of this package; None for that which `crm` runs from, where no index has it."""


@dataclass(frozen=True)
class Image:
    """An image that was built."""

    image: str
    """`REPO@sha256:…`, as a release names it."""
    tag: str
    builder: str
    pushed: bool
    signed: bool
    folder: str
    """Where its record lies, relative to the repo."""
    labels: Mapping[str, str]


def order_of(repo: ModelRepo, bundle: Bundle, wanted: WantedImage) -> Order:
    """What a builder is told; the context is filled by `build_image`.

    Args:
        repo: as the environment that is built for sees it: `deploy.image` is its repository.
        bundle: the model.
        wanted: tag, push, build arguments.

    Raises:
        ConfigError: a push with no repository, or of code that is not committed.
    """
    tags, config = code_tags(repo.root), repo.config
    if wanted.push and config.deploy.image is None:
        raise ConfigError("there is nowhere to push to", "crm config set deploy.image=REGISTRY/REPOSITORY")
    if wanted.push and tags.get("git_dirty", "true") == "true":
        raise ConfigError("what is pushed must be a commit, and this tree differs from it", "git commit, then again")
    commit, model = tags.get("git_commit", "none"), bundle.identity
    tag = wanted.tag or f"{model.version}-{commit[:12]}"
    marks = {
        "org.opencontainers.image.title": config.service,
        "org.opencontainers.image.version": model.version,
        "org.opencontainers.image.revision": commit,
        labels.OWNER: config.owner,
        labels.MODEL_DIGEST: model.digest,
        labels.MODEL_VERSION: model.version,
        labels.PACKAGE: tags["package_version"],
        labels.UNCOMMITTED: tags.get("git_dirty", "true"),
    }
    repository = config.deploy.image or f"localhost/{config.service}"
    kept = repo.root / FOLDER / tag
    return Order(
        Path(), CONTAINER_FILE, repository, tag, wanted.push, kept, marks, dict(wanted.build_args), wanted.wheel
    )


def build_image(
    repo: ModelRepo,
    bundle: Bundle,
    builder: Builder,
    order: Order,
    say: Callable[[str], None] = lambda text: None,
    further: Mapping[str, Bundle] = MappingProxyType({}),
) -> Image:
    """The built image, with its record in `.crm/images/<tag>/`.

    Args:
        repo: the model repo.
        bundle: the model that is baked in.
        builder: a tool that is there.
        order: of `order_of`.
        say: told of each part before it begins.
        further: bundles of further nodes, by folder below that of `bundle`.

    Raises:
        ConfigError: the repo lacks a file, or a tool that belongs to the extra `deploy`.
        PlatformError: builder, registry or cosign failed; what was pushed before stays.
    """
    with tempfile.TemporaryDirectory(prefix="crm-context-") as scratch:
        say("context: code, requirements, model")
        context = prepare(repo.root, bundle, Path(scratch), further, order.wheel)
        say(f"{builder.name}: {order.name}")
        digest = build(builder, replace(order, context=context))
    reference = f"{order.repository}@{digest}"
    say("list of parts, provenance")
    supply_chain.python_sbom(repo.root / REQUIREMENTS, order.kept)
    if order.push or builder.name == "buildah":
        supply_chain.image_sbom(f"registry:{reference}" if order.push else f"oci-dir:{order.kept / 'oci'}", order.kept)
    base = order.build_args.get("BASE") or base_of(repo.root / CONTAINER_FILE)
    made = supply_chain.predicate(order.labels, base, asdict(bundle.identity), builder.name)
    supply_chain.write_provenance(order.repository, digest, made, order.kept)
    signed = order.push and supply_chain.sign(reference, order.kept, order.loopback)
    folder = order.kept.relative_to(repo.root).as_posix()
    image = Image(reference, order.tag, builder.name, order.push, signed, folder, order.labels)
    _write(order.kept / RECORD, asdict(image))
    return image


def base_of(container_file: Path) -> str:
    """The image that it stands on, as its first `ARG BASE=` says.

    Raises:
        ConfigError: there is no such line.
    """
    found = re.search(r"^ARG BASE=(\S+)$", container_file.read_text(encoding="utf-8"), re.M)
    if found is None:
        raise ConfigError(f"{container_file} names no base image", "ARG BASE=NAME@sha256:…")
    return found[1]


def _write(path: Path, told: Mapping[str, Any]) -> None:
    with whole_file(path) as draft:
        draft.write_text(json.dumps(told, indent=2) + "\n")
