"""The Job of one attempt of one stage, and what several workers find one another by. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.stages.graph import STAGE_BY_NAME
from learntoask.core.stages.planner import Start
from learntoask.core.status.run import RunInputsRecord

from learntoask_operator.run.labels import KEY, QUEUE, QUEUE_PRIORITY, child_labels, job_name, owner_reference
from learntoask_operator.run.render.pods import stage_template
from learntoask_operator.run.stage_records import Known, pods_of, pods_together
from learntoask_operator.settings import Settings

_RENDEZVOUS_PORT = 29500
_SPARE = 600  # seconds after which Kubernetes itself ends what the operator should have ended


def job(
    body: Json,
    spec: RunSpec,
    start: Start,
    *,
    inputs: RunInputsRecord | None,
    published: Mapping[str, Known],
    configuration: str,
    settings: Settings,
) -> Json:
    """The Job of attempt `start` of the run `body`: created once, since its pod template cannot be changed."""
    metadata = body["metadata"]
    run, namespace = metadata["name"], metadata["namespace"]
    name = job_name(run, start.stage, start.key, start.attempt)
    labels = child_labels(run, component="stage", stage=start.stage, attempt=start.attempt)
    pods, together = pods_of(spec, start.stage), pods_together(spec, start.stage)
    variables = {"LTA_STAGE": json.dumps(_order(start, inputs, published), separators=(",", ":"))}
    if together > 1:
        variables["LTA_WORKERS"] = str(together)
        variables["LTA_RENDEZVOUS"] = f"{name}-0.{name}.{namespace}.svc:{_RENDEZVOUS_PORT}"
    elif pods > 1:
        variables["LTA_SHARDS"] = str(pods)
    template = stage_template(
        spec, start.stage, configuration=configuration, variables=variables, labels=labels,
        annotations={KEY: start.key}, settings=settings,
    )  # fmt: skip
    indexed: Json = (
        {"completionMode": "Indexed", "completions": pods, "parallelism": pods} if pods > 1 else {}
    )
    if together > 1:
        template["spec"]["subdomain"] = name
    limit = seconds(spec.stage_deadline) + seconds(spec.start_deadline) + _SPARE
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**labels, **_queue(metadata.get("labels") or {})},
            "annotations": {KEY: start.key},
            "ownerReferences": [owner_reference(body)],
        },
        "spec": {
            **indexed,
            "backoffLimit": 0,
            "activeDeadlineSeconds": limit,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [_on_disruption(together)]},
            "template": template,
        },
    }


def headless_service(body: Json, start: Start) -> Json:
    """Gives every worker of an attempt a name; ready or not, since they wait for one another before they are ready."""
    run = body["metadata"]["name"]
    name = job_name(run, start.stage, start.key, start.attempt)
    labels = child_labels(run, component="stage", stage=start.stage, attempt=start.attempt)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": body["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(body)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": name},
            "ports": [{"name": "rendezvous", "port": _RENDEZVOUS_PORT}],
        },
    }


def _order(start: Start, inputs: RunInputsRecord | None, published: Mapping[str, Known]) -> Json:
    """What `lta stage` is told; digests are pinned, so that nothing is computed from other inputs than planned."""
    stage = STAGE_BY_NAME.get(start.stage)
    files = inputs.files if inputs and stage else {}
    return {
        "stage": start.stage,
        "key": start.key,
        "attempt": start.attempt,
        "inputs": {name: {"key": key, "output": published[key].output} for name, key in start.inputs.items()},
        "pack": inputs.pack.get("whole") if inputs and stage else None,
        "files": {role: files[role] for role in (stage.files if stage else ()) if role in files},
    }


def _on_disruption(together: int) -> Json:
    """A single pod that the cluster ends is replaced, at no cost; of several that work as one the others would hang, so
    the whole attempt ends, and the operator starts one that does not count."""
    pattern = [{"type": "DisruptionTarget", "status": "True"}]
    return {"action": "FailJob" if together > 1 else "Ignore", "onPodConditions": pattern}


def _queue(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: labels[name] for name in (QUEUE, QUEUE_PRIORITY) if name in labels}
