"""`crm image`: what a release runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Env, Json, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.deploy.image.build import Image

app = noun("Images: code, environment and one model.")


@app.callback()
def image() -> None:
    """Images: code, environment and one model."""


@app.command(epilog="Example: crm image build --env staging --push")
def build(
    version: Annotated[str | None, typer.Option(help="Of the registered model; default: the champion.")] = None,
    tag: Annotated[str | None, typer.Option(help="Default: <model version>-<commit>.")] = None,
    push: Annotated[bool, typer.Option("--push", help="To `deploy.image` of the environment.")] = False,
    build_arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            envvar="CRM_BUILD_ARG",
            help="BASE, UV_DEFAULT_INDEX, PIP_INDEX_URL. Repeatable; in the variable, with spaces between them.",
        ),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="A fetched model; the registry is not asked.")] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="Of carrental-mlops, where no index has it; default: what crm runs from.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be built.")] = False,
    env: Env = None,
    sets: Sets = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Build the image of a registered model and print REPO@DIGEST, which a release names."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.image.build import WantedImage, build_image, order_of
    from carrental_mlops.deploy.image.builders import find_builder
    from carrental_mlops.orchestration import service

    found = open_repo(repo, env, sets or ())
    wanted = WantedImage(tag, push, _pairs(build_arg or ()), wheel)
    served = service.bundle_at(found, bundle) if bundle else service.make_bundle(found, version)
    order = order_of(found, served, wanted)
    if dry_run:
        show_json({"image": order.name, "push": push, "labels": order.labels, "build_args": order.build_args})
        return
    further = service.node_bundles(found)
    made = build_image(found, served, find_builder(), order, lambda text: typer.echo(text, err=True), further)
    show_json(_told(made)) if as_json else typer.echo(made.image)
    if push and not made.signed:
        typer.echo("not signed: cosign is not on PATH", err=True)


@app.command(epilog="Example: crm image scan")
def scan(
    tag: Annotated[str | None, typer.Option(help="Of an image in .crm/images; default: the one built last.")] = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Look for Debian packages that a security update has mended since; one that is found exits 4."""
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.deploy.image.scan import scan as scanned
    from carrental_mlops.errors import GateRefused

    found = scanned(find_repo(repo), tag)
    if as_json:
        show_json(asdict(found))
    elif found.holes:
        rows = [(hole.package, hole.installed, hole.mended, hole.see) for hole in found.holes]
        show_table(("package", "installed", "mended in", "see"), rows)
    told = f"{found.packages} packages of Debian {found.codename}: {len(found.holes)} lack a security update"
    typer.echo(told, err=True)
    if found.holes:
        raise GateRefused(f"{found.image} has known holes", "build it anew, on a newer base: crm image build")


def _told(image: Image) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(image)


def _pairs(given: list[str] | tuple[()]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in given)
    if any("=" not in text for text in given):
        raise typer.BadParameter("write --build-arg KEY=VALUE")
    return pairs
