"""Renders the services that stages call, which exist only while a stage calls them: graders and a judge."""

from __future__ import annotations

from collections.abc import Mapping

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.pod_contract import (
    CLAIMS_FOLDER,
    LTA_REVIEW_KEY,
    LTA_STAGE,
    STAGE_KEY_ANNOTATION,
    WORK_FOLDER,
    StageOrder,
    service_name,
)
from learntoask.core.stages.graph import REVIEW, final_publisher
from learntoask.core.stages.publication import PinnedPublication
from learntoask.core.status.run import RunInputsRecord, StageRecord
from learntoask.kube import RUN

from learntoask_operator.ownership import is_deleting, owner_reference
from learntoask_operator.render import volumes
from learntoask_operator.render.pod_template import pod_template
from learntoask_operator.render.store import store_environment
from learntoask_operator.render.tracing import tracing_environment
from learntoask_operator.run.labels import child_labels
from learntoask_operator.run.render.pods import (
    RUN_ENVIRONMENT,
    override_pods,
    progress_environment,
    progress_volumes,
    run_volumes,
)
from learntoask_operator.run.stage_records import RecordedPublication
from learntoask_operator.settings import Settings

GRADER, JUDGE = "grader", "judge"
_GRADER_PORT, _GRADER_METRICS, _JUDGE_PORT, _REVIEW_PORT = 50052, 9090, 8000, 8080
_REVIEW_KEY = "/etc/learntoask-review"
_PORTS = {GRADER: ("grpc", _GRADER_PORT), JUDGE: ("http", _JUDGE_PORT), REVIEW: ("http", _REVIEW_PORT)}
_CALL_GRADERS = ("grpo", "evaluate")
_CALL_JUDGE = ("grader", "draw", "calibrate", "grpo", "evaluate")


def services_for(spec: RunSpec, stage: str) -> tuple[str, ...]:
    """The services that `stage` calls."""
    found = []
    if _serves_judge(spec) and stage in _CALL_JUDGE:
        found.append(JUDGE)
    if _serves_graders(spec) and stage in _CALL_GRADERS:
        found.append(GRADER)
    if stage == REVIEW:
        found.append(REVIEW)
    return tuple(found)


def grader_address(spec: RunSpec, *, run: str, namespace: str) -> str | None:
    """`host:port` of the run's own grader service; None if it has none."""
    return f"{service_name(run, GRADER)}.{namespace}.svc:{_GRADER_PORT}" if _serves_graders(spec) else None


def judge_address(spec: RunSpec, *, run: str, namespace: str) -> str | None:
    """Address of the judge's API if the operator serves its model; None otherwise."""
    if not _serves_judge(spec):
        return None
    return f"http://{service_name(run, JUDGE)}.{namespace}.svc:{_JUDGE_PORT}/v1"


def graders_of(spec: RunSpec) -> str:
    """The stage that publishes the graders of the run."""
    return final_publisher("grader", calibrated=spec.calibrate is not None)


def review_address(spec: RunSpec, *, run: str, namespace: str) -> str:
    """The address of the review page: that of the manifest, or that of its Service."""
    given = spec.calibrate.review.address if spec.calibrate else None
    return given or f"http://{service_name(run, REVIEW)}.{namespace}.svc:{_REVIEW_PORT}"


def deployment(
    body: Json,
    spec: RunSpec,
    service: str,
    *,
    inputs: RunInputsRecord,
    published: Mapping[str, RecordedPublication],
    records: Mapping[str, StageRecord],
    configuration: str,
    settings: Settings,
) -> Json:
    """The Deployment of `service`, which reads what the stages of `records` have published."""
    run = body["metadata"]["name"]
    labels = child_labels(run, component=service)
    if service == JUDGE:
        template, replicas = _judge_template(spec, labels, settings), 1
    elif service == REVIEW:
        drawn = published[records["draw"].key or ""]
        order = StageOrder(
            stage=REVIEW,
            key=records[REVIEW].key or "",
            inputs={"draw": PinnedPublication(key=drawn.key, output=drawn.output)},
            pack=inputs.pack.get("whole"),
        )
        template, replicas = _review_template(spec, labels, order, configuration, settings), 1
    else:
        order = _grader_order(published[records[graders_of(spec)].key or ""], inputs)
        template = _grader_template(spec, labels, order, configuration, settings)
        replicas = spec.grader.replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            **_metadata(body, service_name(run, service), labels),
            **({"annotations": {STAGE_KEY_ANNOTATION: records[REVIEW].key}} if service == REVIEW else {}),
        },
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def service(body: Json, service: str) -> Json:
    run = body["metadata"]["name"]
    labels = child_labels(run, component=service)
    protocol, port = _PORTS[service]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(body, service_name(run, service), labels),
        "spec": {
            # vLLM listens on IPv4 alone.
            **({} if service == JUDGE else {"ipFamilyPolicy": "PreferDualStack"}),
            "selector": labels,
            "ports": [{"name": protocol, "port": port}],
        },
    }


def available(deployments: list[Json], name: str) -> bool:
    """Whether the Deployment `name` has an available pod."""
    for deployment in deployments:
        if deployment["metadata"]["name"] == name and not is_deleting(deployment):
            return int(deployment["status"].get("availableReplicas", 0)) > 0
    return False


def _grader_order(graders: RecordedPublication, inputs: RunInputsRecord) -> StageOrder:
    """An order that names the graders to serve; no stage is computed."""
    return StageOrder(
        stage="grader",
        key=graders.key,
        inputs={"grader": PinnedPublication(key=graders.key, output=graders.output)},
        pack=inputs.pack.get("whole"),
    )


def _grader_template(
    spec: RunSpec, labels: Mapping[str, str], order: StageOrder, configuration: str, settings: Settings
) -> Json:
    probe = {"grpc": {"port": _GRADER_PORT}, "timeoutSeconds": 5}
    container = {
        "name": GRADER,
        "image": settings.trainer_image,
        "command": [
            "lta",
            "stage",
            "--serve-graders",
            "--host=0.0.0.0",
            f"--port={_GRADER_PORT}",
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
    pack = (spec.pack.uri,)
    template = pod_template(
        container,
        [
            *run_volumes(spec, settings, configuration, claims=pack, config_maps=pack),
            *volumes.metrics_token(settings),
        ],
        {
            **RUN_ENVIRONMENT,
            LTA_STAGE: order.variable(),
            **_metrics_environment(settings),
            **tracing_environment(settings, calls=True),
            **store_environment(spec, settings),
        },
        grace=30,
        settings=settings,
        metadata={"labels": dict(labels), "annotations": {}},
    )
    return override_pods(template, spec, "grader_service")


def _review_template(
    spec: RunSpec, labels: Mapping[str, str], order: StageOrder, configuration: str, settings: Settings
) -> Json:
    """The page on which people answer. It keeps nothing: every answer is in the store before the page says so."""
    health = {"httpGet": {"path": "/healthz", "port": _REVIEW_PORT}, "timeoutSeconds": 5}
    ready = {"httpGet": {"path": "/readyz", "port": _REVIEW_PORT}, "timeoutSeconds": 5}
    container = {
        "name": REVIEW,
        "image": settings.image,
        "command": ["lta", "stage", "--serve-review", "--host=0.0.0.0", f"--port={_REVIEW_PORT}"],
        "ports": [{"name": "http", "containerPort": _REVIEW_PORT}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "startupProbe": {**health, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**health, "periodSeconds": 20, "failureThreshold": 3},
    }
    pack = (spec.pack.uri,)
    mounted = run_volumes(spec, settings, configuration, claims=pack, config_maps=pack)
    environment = {
        **RUN_ENVIRONMENT,
        LTA_STAGE: order.variable(),
        **store_environment(spec, settings),
    }
    assert spec.calibrate is not None
    if spec.calibrate.review.key_secret:
        mounted.append(volumes.secret(spec.calibrate.review.key_secret, _REVIEW_KEY, volume="review-key"))
        environment[LTA_REVIEW_KEY] = f"{_REVIEW_KEY}/key"
    mounted += progress_volumes(settings)
    environment |= progress_environment(settings)
    template = pod_template(
        container,
        mounted,
        environment,
        grace=30,
        settings=settings,
        metadata={"labels": dict(labels), "annotations": {}},
    )
    return override_pods(template, spec, REVIEW)


def _metrics_environment(settings: Settings) -> dict[str, str]:
    """The settings of the grader service that its command has no flags for."""
    found = {"LTA_GRADER_SERVE_METRICS_PORT": str(_GRADER_METRICS)}
    if token := volumes.metrics_token_file(settings):
        found["LTA_GRADER_SERVE_METRICS_TOKEN_FILE"] = token
    return found


def _judge_template(spec: RunSpec, labels: Mapping[str, str], settings: Settings) -> Json:
    """vLLM with the judge's model.

    It may take long to start while the model loads, and gets no more calls after two missed probes. It ends 15 seconds
    after its callers can know that it ends.
    """
    llm = spec.grader.llm
    assert llm is not None
    assert llm.server is not None
    model = llm.server.model
    path = model.removeprefix("hf:")
    if model.startswith("pvc:"):
        path = f"{CLAIMS_FOLDER}/{model[4:].lstrip('/')}"
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
    environment = {
        "HOME": WORK_FOLDER,
        "HF_HOME": f"{WORK_FOLDER}/hub",
        "VLLM_CACHE_ROOT": f"{WORK_FOLDER}/vllm",
    }
    template = pod_template(
        container,
        [*volumes.claims_of((model,)), *volumes.scratch()],
        environment,
        grace=60,
        settings=settings,
        metadata={"labels": dict(labels), "annotations": {}},
    )
    return override_pods(template, spec, "judge")


def _serves_graders(spec: RunSpec) -> bool:
    return spec.grader.replicas > 0 and spec.grader.address is None


def _serves_judge(spec: RunSpec) -> bool:
    return spec.grader.method == "llm" and spec.grader.llm is not None and spec.grader.llm.server is not None


def _metadata(body: Json, name: str, labels: Mapping[str, str]) -> Json:
    return {
        "name": name,
        "namespace": body["metadata"]["namespace"],
        "labels": dict(labels),
        "ownerReferences": [owner_reference(RUN, body)],
    }
