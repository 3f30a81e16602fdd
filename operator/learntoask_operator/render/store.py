"""Renders how the pods of a run or an endpoint reach the store, which the operator itself never opens."""

from __future__ import annotations

from learntoask.core import pod_contract as contract
from learntoask.core.digest import digest_of
from learntoask.core.manifest import EndpointSpec, RunSpec

from learntoask_operator.render import volumes
from learntoask_operator.settings import Settings


def store_environment(spec: RunSpec | EndpointSpec, settings: Settings) -> dict[str, str]:
    """Variables for the store of the manifest, or for the operator's default store if the manifest names none."""
    own = spec.store.uri is not None
    uri = spec.store.uri or settings.store_uri
    endpoint = spec.store.endpoint or ("" if own else settings.store_endpoint)
    region = spec.store.region or ("" if own else settings.store_region)
    if uri.startswith("pvc:"):
        uri = f"{contract.CLAIMS_FOLDER}/{uri[4:].lstrip('/')}"
    given = {
        contract.LTA_STORE: uri,
        contract.LTA_STORE_ENDPOINT: endpoint,
        contract.LTA_STORE_REGION: region,
        contract.LTA_STORE_CREDENTIALS: volumes.STORE if credentials_secret(spec, settings) else "",
        contract.LTA_STORE_CA: f"{volumes.AUTHORITY}/ca.crt" if authority(spec, settings) else "",
    }
    return {name: value for name, value in given.items() if value}


def store_identity(spec: RunSpec, settings: Settings) -> str:
    """A digest that two runs of a namespace have in common if they use the same store."""
    environment = store_environment(spec, settings)
    given = (environment.get(name, "") for name in (contract.LTA_STORE, contract.LTA_STORE_ENDPOINT))
    return digest_of([address.rstrip("/") for address in given])


def store_volumes(spec: RunSpec | EndpointSpec, settings: Settings) -> list[volumes.MountedVolume]:
    found = []
    if secret := credentials_secret(spec, settings):
        found.append(volumes.secret(secret, volumes.STORE, volume="store-credentials"))
    if name := authority(spec, settings):
        found.append(volumes.config_map(name, volumes.AUTHORITY, volume="store-authority"))
    return found


def credentials_secret(spec: RunSpec | EndpointSpec, settings: Settings) -> str:
    return spec.store.credentials.secret or settings.store_credentials


def authority(spec: RunSpec | EndpointSpec, settings: Settings) -> str:
    """The ConfigMap whose key `ca.crt` has the authority of the store's certificate. A path in the manifest is
    ignored, because no pod could read it."""
    named = spec.store.ca or ""
    if named.startswith("configMap:"):
        return named.removeprefix("configMap:").partition("/")[0]
    return settings.store_ca
