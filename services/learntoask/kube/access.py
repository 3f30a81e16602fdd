"""Address and credentials of the API server, from a kubeconfig or from the service account of this pod."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes.aio import client, config

from learntoask.core.errors import InputError
from learntoask.core.network.proxy import proxy_for

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """Access to a cluster. `namespace` is the default of commands that name none."""

    configuration: Any  # kubernetes.aio.client.Configuration: address, certificates, and tokens that refresh
    namespace: str

    @property
    def server(self) -> str:
        return str(self.configuration.host).rstrip("/")

    def proxy(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """Return the URL of the proxy for calls: the kubeconfig's `proxy-url`, else what the variables say; None for a
        direct connection. Raises InputError for a proxy that is not a URL."""
        parts = urlsplit(self.server)
        return self.configuration.proxy or proxy_for(parts.scheme, parts.hostname or "", environment)

    async def headers(self) -> dict[str, str]:
        """Return the authorization header of one call. The token of a service account is read again every minute."""
        settings = await self.configuration.auth_settings()
        token = settings.get("BearerToken")
        return {token["key"]: token["value"]} if token and token["value"] else {}


async def find_access(*, kubeconfig: Path | None = None, context: str | None = None) -> ClusterAccess:
    """Find access by `kubeconfig`, else KUBECONFIG, else the service account of this pod, else ~/.kube/config.

    Raises InputError that says which of them cannot be used.
    """
    configuration = client.Configuration()
    given = kubeconfig or (Path(os.environ["KUBECONFIG"]) if os.environ.get("KUBECONFIG") else None)
    if given is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as error:
            raise InputError(f"this pod's service account cannot be used: {error}") from error
        namespace = _ACCOUNT / "namespace"
        return ClusterAccess(configuration=configuration, namespace=namespace.read_text().strip())
    path = given or Path.home() / ".kube" / "config"
    if not path.exists():
        raise InputError(f"{path} does not exist; give --kubeconfig, or set KUBECONFIG to the cluster's")
    try:
        loader = await config.load_kube_config(
            config_file=str(path), context=context, client_configuration=configuration, persist_config=False
        )
    except (config.ConfigException, KeyError, TypeError) as error:
        raise InputError(f"kubeconfig {path} cannot be used: {error}") from error
    namespace_of_context = loader.current_context["context"].get("namespace")
    return ClusterAccess(configuration=configuration, namespace=namespace_of_context or "default")
