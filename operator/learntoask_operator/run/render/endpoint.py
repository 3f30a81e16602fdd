"""The AskEndpoint that gets a run's policy. It is no child of the run, because serving outlives training. Pure."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.manifest.ask_endpoint import GatewayServiceSettings

from learntoask_operator.ownership import MANAGED_BY, MANAGER, PART_OF, PRODUCT


def endpoint_name(run: str, spec: RunSpec) -> str:
    return spec.serve.endpoint or run


def endpoint(body: Json, spec: RunSpec, *, publication: str, policy: str, whole: bool) -> Json:
    """The AskEndpoint to apply: the policy and, if `whole`, also how it is served, which people may have changed."""
    run, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    applied: Json = {
        "metadata": {"name": endpoint_name(run, spec), "namespace": namespace},
        "spec": {"policy": {"run": run, "publication": publication, "policy": policy}},
    }
    if not whole:
        return applied
    applied["metadata"]["labels"] = {MANAGED_BY: MANAGER, PART_OF: PRODUCT}
    applied["spec"]["engine"] = spec.serve.engine
    if spec.store.uri is not None:
        given = spec.store.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"ca"})
        credentials = {
            name: value for name, value in given.pop("credentials", {}).items() if name == "secret"
        }
        applied["spec"]["store"] = {**given, **({"credentials": credentials} if credentials else {})}
    if spec.serve.record_conversations:
        applied["spec"]["gateway"] = {"records": {"enabled": True, "redact": list(spec.serve.redact)}}
    return applied


def endpoint_address(applied: Json) -> str:
    """Address of the AskEndpoint `applied`, as the API server returned it, for clients in the cluster."""
    service = applied["spec"].get("gateway", {}).get("service", {})
    metadata, port = applied["metadata"], service.get("port", GatewayServiceSettings().port)
    return f"{metadata['name']}.{metadata['namespace']}.svc:{port}"
