"""What crm.yaml as it stands would change: against the cluster, or the newest release where there is none to ask."""

from __future__ import annotations

from collections.abc import Callable

from carrental_mlops.deploy.cluster.apply import changes
from carrental_mlops.deploy.cluster.site import Running, Site
from carrental_mlops.deploy.diff.objects import ObjectChange, diff
from carrental_mlops.deploy.manifests.render import preview_release, render
from carrental_mlops.deploy.manifests.values import as_helm
from carrental_mlops.deploy.releases.release import Stored
from carrental_mlops.errors import CrmError


def compare(site: Site, cluster: bool | None, say: Callable[[str], None]) -> tuple[str, list[ObjectChange]]:
    """What it was compared with, and what would change for the release that runs: same image, model and canary.

    Args:
        site: where.
        cluster: True asks the cluster; False nobody; None the cluster, and where it does not answer nobody.
        say: told why the cluster was not asked.

    Raises:
        ConfigError: crm.yaml cannot run, or the cluster refuses an object.
        PlatformError: the cluster does not answer, and `cluster` is True.
    """
    newest = site.store.newest(site.env)
    if cluster is not False:
        try:
            running = site.running()
            found = changes(site, _now(site, newest, running), newest)
            return f"the cluster ({site.cluster.name}, {site.cluster.namespace})", found
        except CrmError as error:
            if cluster:
                raise
            say(f"not asked the cluster: {error.what}")
    against = newest.release.id if newest else "nothing: there is no release yet"
    return against, diff(newest.manifests if newest else (), _now(site, newest, None).manifests)


def _now(site: Site, newest: Stored | None, running: Running | None) -> Stored:
    """The release that runs, or is newest, made of crm.yaml as it stands."""
    config, tracks = site.repo.config, running.tracks if running else _tracks(newest)
    values = running.values if running else newest.values if newest else {}
    ids = list(tracks.values())
    release = site.release(ids[-1]) if ids else preview_release(config, site.env)
    beside = site.release(ids[0]) if len(ids) > 1 else None
    weight = next((int(one["share"]) for one in values.get("tracks", ())[1:]), None)
    if beside:
        rollout = config.deploy.rollout.model_copy(update={"kind": list(tracks)[-1]})
        config = config.model_copy(update={"deploy": config.deploy.model_copy(update={"rollout": rollout})})
    made = render(config, site.env, release, beside, weight)
    return Stored(release=release, config={}, values=as_helm(made.values), manifests=made.objects)


def _tracks(stored: Stored | None) -> dict[str, str]:
    return {one["name"]: one["release"] for one in stored.values["tracks"]} if stored else {}
