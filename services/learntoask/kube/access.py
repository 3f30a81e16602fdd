"""Where the API server is and who asks: a kubeconfig, or the service account of the pod this runs in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.aio import client, config

from learntoask.core.errors import InputError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """`namespace` is the one that commands mean when none is named."""

    configuration: Any  # kubernetes.aio.client.Configuration: address, certificates, and tokens that refresh
    namespace: str

    @property
    def server(self) -> str:
        return str(self.configuration.host).rstrip("/")

    async def headers(self) -> dict[str, str]:
        """Authorization of one call. A service account's token is read anew every minute."""
        settings = await self.configuration.auth_settings()
        token = settings.get("BearerToken")
        return {token["key"]: token["value"]} if token and token["value"] else {}


async def find_access(*, kubeconfig: Path | None = None, context: str | None = None) -> ClusterAccess:
    """Access by `kubeconfig`, else KUBECONFIG, else the pod's service account, else ~/.kube/config.

    Raises InputError naming what was tried.
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
