"""What stages ask while they work, and only that long: the grader service, and the model server of a judge. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.status.run import RunInputsRecord

from learntoask_operator.render import volumes
from learntoask_operator.render.store import store_environment, store_volumes
from learntoask_operator.run.labels import child_labels, owner_reference
from learntoask_operator.run.render.pods import merged, pod_template
from learntoask_operator.run.stage_records import Known
from learntoask_operator.settings import Settings

GRADER, JUDGE = "grader", "judge"
_GRADER_PORT, _GRADER_METRICS, _JUDGE_PORT = 50052, 9090, 8000
_ASKING_GRADERS = ("grpo", "evaluate")
_ASKING_JUDGES = ("grader", "grpo", "evaluate")


def needed(spec: RunSpec, stage: str) -> tuple[str, ...]:
    """The services that `stage` asks."""
    found = []
    if _serves_judge(spec) and stage in _ASKING_JUDGES:
        found.append(JUDGE)
    if _serves_graders(spec) and stage in _ASKING_GRADERS:
        found.append(GRADER)
    return tuple(found)


def service_name(run: str, service: str) -> str:
    return f"{run}-{service}-service"


def grader_address(spec: RunSpec, *, run: str, namespace: str) -> str | None:
    """`host:port` of the run's own grader service; None when it has none."""
    return f"{service_name(run, GRADER)}.{namespace}.svc:{_GRADER_PORT}" if _serves_graders(spec) else None


def judge_address(spec: RunSpec, *, run: str, namespace: str) -> str | None:
    """Address of the judge's API when the operator serves its model."""
    if not _serves_judge(spec):
        return None
    return f"http://{service_name(run, JUDGE)}.{namespace}.svc:{_JUDGE_PORT}/v1"


def deployment(
    body: Json, spec: RunSpec, service: str, *, inputs: RunInputsRecord, published: Mapping[str, Known],
    graders: str | None, configuration: str, settings: Settings,
) -> Json:  # fmt: skip
    """The Deployment of `service`; `graders` is the key of the published grader stage."""
    run = body["metadata"]["name"]
    name = service_name(run, service)
    labels = child_labels(run, component=service)
    if service == JUDGE:
        template, replicas = _judge_template(spec, labels, settings), 1
    else:
        order = _grader_order(graders, inputs, published)
        template, replicas = (
            _grader_template(spec, labels, order, configuration, settings),
            spec.grader.replicas,
        )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(body, name, labels),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def service(body: Json, service: str) -> Json:
    run = body["metadata"]["name"]
    labels, port = child_labels(run, component=service), _JUDGE_PORT if service == JUDGE else _GRADER_PORT
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(body, service_name(run, service), labels),
        "spec": {
            "selector": labels,
            "ports": [{"name": "http" if service == JUDGE else "grpc", "port": port}],
        },
    }


def available(deployments: list[Json], name: str) -> bool:
    """Whether a pod of the Deployment answers."""
    for one in deployments:
        if one["metadata"]["name"] == name and "deletionTimestamp" not in one["metadata"]:
            return int(one["status"].get("availableReplicas", 0)) > 0
    return False


def _grader_order(graders: str | None, inputs: RunInputsRecord, published: Mapping[str, Known]) -> Json:
    known = published[graders or ""]
    return {
        "stage": "grader",
        "key": known.key,
        "attempt": 1,
        "inputs": {"grader": {"key": known.key, "output": known.output}},
        "pack": inputs.pack.get("whole"),
        "files": {},
    }


def _grader_template(
    spec: RunSpec, labels: Mapping[str, str], order: Json, configuration: str, settings: Settings
) -> Json:
    addresses = (spec.pack.uri, spec.store.uri, settings.store_uri if spec.store.uri is None else None)
    mounted = [
        volumes.config_map(configuration, volumes.CONFIGURATION, volume="configuration"),
        *store_volumes(spec, settings),
        *volumes.claims_of(addresses),
        *volumes.config_maps_of((spec.pack.uri,)),
        *volumes.scratch(),
    ]
    environment = {
        "LTA_HOME": "/work",
        "HOME": "/work",
        "LTA_RUN_FILE": f"{volumes.CONFIGURATION}/run.json",
        "LTA_CLAIMS": volumes.CLAIMS,
        "LTA_CONFIG_MAPS": volumes.CONFIG_MAPS,
        "LTA_STAGE": json.dumps(order, separators=(",", ":")),
        **store_environment(spec, settings),
    }
    probe = {"grpc": {"port": _GRADER_PORT}, "timeoutSeconds": 5}
    container = {
        "name": GRADER,
        "image": settings.trainer_image,
        "command": [
            "lta",
            "grader",
            "serve",
            "--host=0.0.0.0",
            f"--port={_GRADER_PORT}",
            f"--metrics-port={_GRADER_METRICS}",
        ],
        "ports": [
            {"name": "grpc", "containerPort": _GRADER_PORT},
            {"name": "metrics", "containerPort": _GRADER_METRICS},
        ],
        "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}},
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 300},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 3},
    }
    template = pod_template(
        container, mounted, environment, labels=labels, annotations={}, grace=30, settings=settings
    )
    return merged(template, spec, "grader_service")


def _judge_template(spec: RunSpec, labels: Mapping[str, str], settings: Settings) -> Json:
    """vLLM: a long start while the model is loaded, then two missed probes before it gets no more questions, and time
    to be forgotten by those who ask before it ends."""
    llm = spec.grader.llm
    assert llm is not None
    assert llm.server is not None
    model = llm.server.model
    path = (
        f"{volumes.CLAIMS}/{model[4:].lstrip('/')}" if model.startswith("pvc:") else model.removeprefix("hf:")
    )
    health = {"httpGet": {"path": "/health", "port": _JUDGE_PORT}, "timeoutSeconds": 5}
    container = {
        "name": JUDGE,
        "image": settings.judge_image,
        "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
        "args": [
            f"--model={path}",
            f"--served-model-name={llm.endpoint.model}",
            f"--port={_JUDGE_PORT}",
            *llm.server.arguments,
        ],
        "ports": [{"name": "http", "containerPort": _JUDGE_PORT}],
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}},
        "startupProbe": {**health, "periodSeconds": 5, "failureThreshold": 360},
        "readinessProbe": {**health, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**health, "periodSeconds": 20, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
    }
    mounted = [*volumes.claims_of((model,)), *volumes.scratch()]
    environment = {"HOME": "/work", "HF_HOME": "/work/hub", "VLLM_CACHE_ROOT": "/work/vllm"}
    template = pod_template(
        container, mounted, environment, labels=labels, annotations={}, grace=60, settings=settings
    )
    return merged(template, spec, "judge")


def _serves_graders(spec: RunSpec) -> bool:
    return spec.grader.replicas > 0 and spec.grader.address is None


def _serves_judge(spec: RunSpec) -> bool:
    return spec.grader.method == "llm" and spec.grader.llm is not None and spec.grader.llm.server is not None


def _metadata(body: Json, name: str, labels: Mapping[str, str]) -> Json:
    return {
        "name": name,
        "namespace": body["metadata"]["namespace"],
        "labels": dict(labels),
        "ownerReferences": [owner_reference(body)],
    }
