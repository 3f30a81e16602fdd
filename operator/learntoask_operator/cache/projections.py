"""The fields of each kind of child that the operator reads, which are all that the cache keeps."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import LABEL_PREFIX
from learntoask.kube import CONFIG_MAP, DEPLOYMENT, HPA, JOB, PDB, POD, SERVICE

from learntoask_operator.ownership import COMPONENT, MANAGED_BY

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "labels",
    "ownerReferences",
)
_LABELS = (LABEL_PREFIX, COMPONENT, MANAGED_BY, "batch.kubernetes.io/")
_POD_CONDITIONS = ("PodScheduled", "DisruptionTarget", "Ready")
_CONDITION = ("type", "status", "reason", "message")
_DEPLOYMENT_STATUS = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
)


def project_job(body: Json) -> Json:
    spec, status = body.get("spec", {}), body.get("status", {})
    return {
        "metadata": _metadata(body),
        "spec": _pick(spec, "suspend", "completions", "parallelism"),
        "status": {
            **_pick(status, "startTime", "completionTime", "active", "ready", "succeeded", "failed"),
            "conditions": [
                _pick(condition, *_CONDITION, "lastTransitionTime")
                for condition in status.get("conditions") or ()
            ],
        },
    }


def project_pod(body: Json) -> Json:
    spec, status = body.get("spec", {}), body.get("status", {})
    return {
        "metadata": _metadata(body),
        "spec": _pick(spec, "resourceClaims"),
        "status": {
            **_pick(status, "phase", "startTime", "reason", "message", "podIP"),
            "conditions": [
                _pick(condition, *_CONDITION)
                for condition in status.get("conditions") or ()
                if condition["type"] in _POD_CONDITIONS
            ],
            "containerStatuses": [
                _pick(container, "name", "ready", "restartCount", "state", "lastState")
                for container in status.get("containerStatuses") or ()
            ],
        },
    }


def project_deployment(body: Json) -> Json:
    status = body.get("status", {})
    return {
        "metadata": _metadata(body),
        "spec": _pick(body.get("spec", {}), "replicas"),
        "status": {
            **_pick(status, *_DEPLOYMENT_STATUS),
            "conditions": [_pick(condition, *_CONDITION) for condition in status.get("conditions") or ()],
        },
    }


def project_autoscaler(body: Json) -> Json:
    conditions = body.get("status", {}).get("conditions") or ()
    return {
        "metadata": _metadata(body),
        "status": {"conditions": [_pick(condition, *_CONDITION) for condition in conditions]},
    }


def project_metadata(body: Json) -> Json:
    return {"metadata": _metadata(body)}


METADATA_ONLY = (SERVICE, CONFIG_MAP, PDB)
"""Kinds of which the operator reads only that they exist and whose they are; the API server sends no more of them."""
PROJECTIONS = {
    JOB: project_job,
    POD: project_pod,
    DEPLOYMENT: project_deployment,
    HPA: project_autoscaler,
    **dict.fromkeys(METADATA_ONLY, project_metadata),
}


def _metadata(body: Json) -> Json:
    metadata = body["metadata"]
    found = _pick(metadata, *_METADATA)
    labels = found.get("labels", {})
    found["labels"] = {name: value for name, value in labels.items() if name.startswith(_LABELS)}
    annotations = metadata.get("annotations") or {}
    ours = {name: value for name, value in annotations.items() if name.startswith(LABEL_PREFIX)}
    return {**found, "annotations": ours}


def _pick(source: Json, *names: str) -> Json:
    """The fields `names` of `source` that are set."""
    return {name: source[name] for name in names if source.get(name) is not None}
