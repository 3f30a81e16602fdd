"""The AskEndpoint that a run's policy is given to: not the run's child, since serving outlives training. Pure."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec

from learntoask_operator.cache.children import MANAGED_BY, MANAGER


def endpoint_name(run: str, spec: RunSpec) -> str:
    return spec.serve.endpoint or run


def endpoint(body: Json, spec: RunSpec, *, publication: str, policy: str, whole: bool) -> Json:
    """The endpoint as applied: the policy, and with `whole` how it is served, which people may have set otherwise."""
    run, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    made: Json = {
        "metadata": {"name": endpoint_name(run, spec), "namespace": namespace},
        "spec": {"policy": {"run": run, "publication": publication, "policy": policy}},
    }
    if not whole:
        return made
    made["metadata"]["labels"] = {MANAGED_BY: MANAGER, "app.kubernetes.io/part-of": "learntoask"}
    made["spec"]["engine"] = spec.serve.engine
    if spec.store.uri is not None:
        given = spec.store.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"ca"})
        credentials = {
            name: value for name, value in given.pop("credentials", {}).items() if name == "secret"
        }
        made["spec"]["store"] = {**given, **({"credentials": credentials} if credentials else {})}
    if spec.serve.record_conversations:
        made["spec"]["gateway"] = {"records": {"enabled": True, "redact": list(spec.serve.redact)}}
    return made
