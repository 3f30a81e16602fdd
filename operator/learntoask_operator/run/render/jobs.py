"""Renders the Job of one attempt of one stage, and the Service by which its workers find each other."""

from __future__ import annotations

from collections.abc import Mapping

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.pod_contract import (
    LTA_RENDEZVOUS,
    LTA_SHARDS,
    LTA_STAGE,
    LTA_WORKERS,
    STAGE_KEY_ANNOTATION,
    StageOrder,
)
from learntoask.core.stages.graph import STAGE_BY_NAME
from learntoask.core.stages.planner import Start
from learntoask.core.stages.publication import PinnedPublication
from learntoask.core.status.run import RunInputsRecord
from learntoask.kube import RUN

from learntoask_operator.ownership import owner_reference
from learntoask_operator.render.store import store_identity
from learntoask_operator.run.labels import (
    QUEUE,
    QUEUE_PRIORITY,
    STORE_ANNOTATION,
    child_labels,
    job_name,
)
from learntoask_operator.run.render.pods import stage_template
from learntoask_operator.run.stage_records import RecordedPublication, pods_of, pods_together
from learntoask_operator.settings import Settings

_RENDEZVOUS_PORT = 29500
_SPARE = 600  # seconds past our own deadlines until Kubernetes ends the Job, should the operator be away


def job(
    body: Json,
    spec: RunSpec,
    start: Start,
    *,
    inputs: RunInputsRecord | None,
    published: Mapping[str, RecordedPublication],
    configuration: str,
    settings: Settings,
) -> Json:
    """The Job of attempt `start` of the run `body`. It is created once, because its pod template cannot be changed."""
    metadata = body["metadata"]
    run, namespace = metadata["name"], metadata["namespace"]
    name = job_name(run, start.stage, start.key, start.attempt)
    labels = child_labels(run, component="stage", stage=start.stage, attempt=start.attempt)
    pods, together = pods_of(spec, start.stage), pods_together(spec, start.stage)
    variables = {LTA_STAGE: _order(start, inputs, published).variable()}
    if together > 1:
        variables[LTA_WORKERS] = str(together)
        variables[LTA_RENDEZVOUS] = f"{name}-0.{name}.{namespace}.svc:{_RENDEZVOUS_PORT}"
    elif pods > 1:
        variables[LTA_SHARDS] = str(pods)
    template = stage_template(
        spec,
        start.stage,
        configuration=configuration,
        variables=variables,
        labels=labels,
        annotations={STAGE_KEY_ANNOTATION: start.key},
        settings=settings,
    )
    if together > 1:
        template["spec"]["subdomain"] = name
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**labels, **_queue_labels(metadata.get("labels") or {})},
            "annotations": {
                STAGE_KEY_ANNOTATION: start.key,
                STORE_ANNOTATION: store_identity(spec, settings),
            },
            "ownerReferences": [owner_reference(RUN, body)],
        },
        "spec": {
            **_indexed(pods),
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds(spec.stage_deadline) + seconds(spec.start_deadline) + _SPARE,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [_on_disruption(together)]},
            "template": template,
        },
    }


def headless_service(body: Json, start: Start) -> Json:
    """Gives every worker of an attempt a name before it is ready, because workers wait for each other to get ready."""
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
            "ownerReferences": [owner_reference(RUN, body)],
        },
        "spec": {
            "clusterIP": "None",
            "ipFamilyPolicy": "PreferDualStack",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": name},
            "ports": [{"name": "rendezvous", "port": _RENDEZVOUS_PORT}],
        },
    }


def _order(
    start: Start, inputs: RunInputsRecord | None, published: Mapping[str, RecordedPublication]
) -> StageOrder:
    """The order for the pods of an attempt, with the digests that it was planned with."""
    stage = STAGE_BY_NAME.get(start.stage)
    files = inputs.files if inputs and stage else {}
    return StageOrder(
        stage=start.stage,
        key=start.key,
        attempt=start.attempt,
        inputs={
            name: PinnedPublication(key=key, output=published[key].output)
            for name, key in start.inputs.items()
        },
        pack=inputs.pack.get("whole") if inputs and stage else None,
        files={role: files[role] for role in (stage.files if stage else ()) if role in files},
    )


def _indexed(pods: int) -> Json:
    return {"completionMode": "Indexed", "completions": pods, "parallelism": pods} if pods > 1 else {}


def _on_disruption(together: int) -> Json:
    """What the Job does about a pod that the cluster ends.

    A single pod is replaced, which does not count as a failure. Of several workers that wait for each other the rest
    would hang, so the whole Job fails, and the operator starts an attempt that does not count.
    """
    pattern = [{"type": "DisruptionTarget", "status": "True"}]
    return {"action": "FailJob" if together > 1 else "Ignore", "onPodConditions": pattern}


def _queue_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Kueue's labels of the run, which its Jobs inherit."""
    return {name: labels[name] for name in (QUEUE, QUEUE_PRIORITY) if name in labels}
