"""What is read of each kind of child, and so all that is kept of it."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.kube import DEPLOYMENT, JOB, POD

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation",
             "labels", "ownerReferences")  # fmt: skip
_LABELS = (
    "learntoask.io/",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "batch.kubernetes.io/",
)
_CONDITIONS = ("PodScheduled", "DisruptionTarget", "Ready")


def trimmed_job(body: Json) -> Json:
    spec, status = body.get("spec", {}), body.get("status", {})
    return {
        "metadata": _metadata(body),
        "spec": _kept(spec, "suspend", "completions", "parallelism"),
        "status": {
            **_kept(status, "startTime", "completionTime", "active", "succeeded", "failed"),
            "conditions": [
                _kept(one, "type", "status", "reason", "message", "lastTransitionTime")
                for one in status.get("conditions") or ()
            ],
        },
    }


def trimmed_pod(body: Json) -> Json:
    status = body.get("status", {})
    conditions = status.get("conditions") or ()
    return {
        "metadata": _metadata(body),
        "status": {
            **_kept(status, "phase", "startTime", "reason", "message", "podIP"),
            "conditions": [
                _kept(one, "type", "status", "reason", "message")
                for one in conditions
                if one["type"] in _CONDITIONS
            ],
            "containerStatuses": [
                _kept(one, "name", "ready", "restartCount", "state", "lastState")
                for one in status.get("containerStatuses") or ()
            ],
        },
    }


def trimmed_deployment(body: Json) -> Json:
    status = body.get("status", {})
    return {
        "metadata": _metadata(body),
        "spec": _kept(body.get("spec", {}), "replicas"),
        "status": {
            **_kept(
                status,
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
            ),
            "conditions": [
                _kept(one, "type", "status", "reason", "message") for one in status.get("conditions") or ()
            ],
        },
    }


TRIMMED = {JOB: trimmed_job, POD: trimmed_pod, DEPLOYMENT: trimmed_deployment}


def _metadata(body: Json) -> Json:
    metadata = body["metadata"]
    found = _kept(metadata, *_METADATA)
    labels = found.get("labels", {})
    found["labels"] = {name: value for name, value in labels.items() if name.startswith(_LABELS)}
    annotations = metadata.get("annotations") or {}
    ours = {name: value for name, value in annotations.items() if name.startswith("learntoask.io/")}
    return {**found, "annotations": ours}


def _kept(source: Json, *names: str) -> Json:
    return {name: source[name] for name in names if source.get(name) is not None}
