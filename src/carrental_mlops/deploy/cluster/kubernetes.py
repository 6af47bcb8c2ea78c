"""The Kubernetes API of one namespace; the one module that knows lightkube."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from carrental_mlops.errors import ConfigError, CrmError, PlatformError

MANAGER = "helm"
"""Owner of what Helm applied: a dry run in its name also shows what would go."""
_CONNECT_S, _READ_S = 5.0, 30.0
_GLOBAL = ("Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass",
           "ClusterSecretStore", "StorageClass", "PersistentVolume", "Node")  # fmt: skip
Manifest = Mapping[str, Any]


class Cluster:
    """Objects of `namespace` in the cluster that `context` of the kubeconfig names.

    Args:
        namespace: where the service lives.
        context: of the kubeconfig (KUBECONFIG, else ~/.kube/config, else the pod's own account); None: the current.

    Every method raises PlatformError where the API server cannot be reached (retryable) or forbids what is asked, and
    ConfigError where it refuses an object.
    """

    def __init__(self, namespace: str, context: str | None = None) -> None:
        self.namespace, self.context = namespace, context
        self._made: Any = None

    @property
    def name(self) -> str:
        """The context, as messages show it."""
        return str(self._client.config.context_name)

    def get(self, api_version: str, kind: str, name: str) -> dict[str, Any] | None:
        """The object as the cluster holds it; None where there is none, or nothing of that kind can be."""
        with self._translated(f"{kind} {name}"):
            try:
                return _dict(self._client.get(_resource(api_version, kind), name))
            except self._api_error as error:
                if error.status.code == 404:
                    return None
                raise

    def like(self, manifest: Manifest) -> dict[str, Any] | None:
        """The object of `manifest`'s kind and name as the cluster holds it."""
        return self.get(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])

    def dry_run(self, manifest: Manifest) -> dict[str, Any]:
        """The object as it would be after `manifest` was applied; nothing is changed.

        Raises:
            ConfigError: the cluster refuses it, with its reason, such as a field that it lacks; or lacks its kind.
        """
        return self._apply(manifest, dry_run=True)

    def apply(self, manifest: Manifest) -> dict[str, Any]:
        """The object after `manifest` was applied."""
        return self._apply(manifest, dry_run=False)

    def list(
        self,
        api_version: str,
        kind: str,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Objects of a kind by label and field; none where the cluster does not know the kind."""
        with self._translated(kind):
            try:
                resource = _resource(api_version, kind)
                return [
                    _dict(one)
                    for one in self._client.list(resource, labels=dict(labels or {}), fields=dict(fields or {}))
                ]
            except self._api_error as error:
                if error.status.code == 404:
                    return []
                raise

    def create(self, manifest: Manifest) -> dict[str, Any] | None:
        """The object, now made; None where one of its name is there."""
        return self._written("create", manifest, 409)

    def replace(self, manifest: Manifest) -> dict[str, Any] | None:
        """The object, now as `manifest` says; None where it went, or was changed since its `resourceVersion`."""
        return self._written("replace", manifest, 409, 404)

    def delete(self, api_version: str, kind: str, name: str) -> None:
        """Remove an object; nothing happens where it is not there."""
        with self._translated(f"{kind} {name}"):
            try:
                self._client.delete(_resource(api_version, kind), name)
            except self._api_error as error:
                if error.status.code != 404:
                    raise

    def logs(self, pod: str, container: str, since_s: int | None = None, follow: bool = False,
             last: int | None = None) -> Iterator[str]:  # fmt: skip
        """Lines of a container, oldest first; none where it has not started.

        Args:
            pod: its name.
            container: its name.
            since_s: only lines of the last seconds.
            follow: go on with lines to come, until the container ends.
            last: only that many lines.
        """
        with self._translated(f"log of {pod}"):
            try:
                lines = self._client.log(pod, container=container, follow=follow, since=since_s, tail_lines=last,
                                         timestamps=True, newlines=False)  # fmt: skip
                yield from lines
            except self._api_error as error:
                if error.status.code not in (400, 404):  # it waits to start; it went
                    raise

    def _written(self, verb: str, manifest: Manifest, *lost: int) -> dict[str, Any] | None:
        with self._translated(f"{manifest['kind']} {manifest['metadata']['name']}"):
            resource = _resource(manifest["apiVersion"], manifest["kind"])
            try:
                return _dict(getattr(self._client, verb)(resource(manifest), field_manager="crm"))
            except self._api_error as error:
                if error.status.code in lost:
                    return None
                raise

    def _apply(self, manifest: Manifest, dry_run: bool) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        with self._translated(f"{manifest['kind']} {name}"):
            resource = _resource(manifest["apiVersion"], manifest["kind"])
            # `Client.apply` cannot ask for strict validation: without it the server drops a field that it does not know
            asked = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
            return _dict(
                self._client._client.request(
                    "patch",
                    res=resource,
                    name=name,
                    obj=resource(manifest),
                    headers={"Content-Type": "application/apply-patch+yaml"},
                    params={**asked, "dryRun": "All"} if dry_run else asked,
                )
            )

    @property
    def _api_error(self) -> Any:
        from lightkube import ApiError

        return ApiError

    @property
    def _client(self) -> Any:
        if self._made is None:
            with self._translated("kubeconfig"):
                import httpx2
                from lightkube import Client, KubeConfig

                timeout = httpx2.Timeout(_READ_S, connect=_CONNECT_S)
                config = KubeConfig.from_env().get(self.context)
                self._made = Client(config=config, namespace=self.namespace, timeout=timeout)
        return self._made

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            import httpx2
            from lightkube.core.exceptions import ApiError
            from lightkube.core.exceptions import ConfigError as NoConfig
        except ImportError as error:
            raise ConfigError("lightkube is not installed", "pip install 'carrental-mlops[deploy]'") from error
        try:
            yield
        except ApiError as error:
            raise _refused(what, self.namespace, error) from error
        except NoConfig as error:
            fix = "kubectl config get-contexts; then set `deploy.context` in crm.yaml, or KUBECONFIG"
            raise ConfigError(f"no cluster to ask: {error}", fix) from error
        except httpx2.HTTPError as error:
            said = str(error) or type(error).__name__
            fix = "kubectl cluster-info; once it answers, repeat this command"
            raise PlatformError(f"the cluster cannot be reached ({self._where()}): {said}", fix, True) from error

    def _where(self) -> str:
        with suppress(Exception):
            return f"context {self._made.config.context_name}, {self._made.config.cluster.server}"
        return f"context {self.context or 'current'}"


def _refused(what: str, namespace: str, error: Any) -> CrmError:
    code, said = error.status.code or 0, error.status.message or str(error)
    if code in (401, 403):
        return PlatformError(f"{what}: the cluster forbids it: {said}", "kubectl auth can-i --list -n " + namespace)
    if code == 404 and "namespaces" in said:
        return ConfigError(f"{what}: {said}", f"kubectl create namespace {namespace}")
    if code == 404:
        fix = "install what defines the kind (Seldon Core, KServe, the Prometheus operator, …)"
        return ConfigError(f"{what}: the cluster does not know it: {said}", fix)
    unknown_field = "failed to create typed patch object" in said  # the API server answers 500 to it, for good
    if code == 429 or (code >= 500 and not unknown_field):
        return PlatformError(f"{what}: the cluster answers {code}: {said}", "repeat this command", retryable=True)
    return ConfigError(f"{what}: the cluster refuses it: {said}", "mend what it names in crm.yaml; crm render shows it")


def _resource(api_version: str, kind: str) -> Any:
    """lightkube's class of a kind, whatever it is: objects are plain dictionaries."""
    from lightkube.generic_resource import GenericGlobalResource, GenericNamespacedResource, create_api_info

    group, _, version = api_version.rpartition("/")
    base = GenericGlobalResource if kind in _GLOBAL else GenericNamespacedResource
    return type(kind, (base,), {"_api_info": create_api_info(group, version, kind, _plural(kind))})


def _plural(kind: str) -> str:
    """Resource name of a kind, as Kubernetes forms it (`meta.UnsafeGuessKindToResource` of apimachinery)."""
    name = kind.lower()
    if name == "endpoints":
        return name
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2] not in "aeiou" else f"{name}s"


def _dict(found: Any) -> dict[str, Any]:
    return dict(found.to_dict())
