"""Renders the pod templates of a run's stages and services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from learntoask.core import pod_contract as contract
from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.stages.graph import RESOLVE

from learntoask_operator.render import volumes
from learntoask_operator.render.override import override_template
from learntoask_operator.render.pod_template import pod_template
from learntoask_operator.render.store import store_environment, store_volumes
from learntoask_operator.render.tracing import tracing_environment
from learntoask_operator.run.pod_messages import CONTAINER
from learntoask_operator.settings import Settings

_LIGHT = (RESOLVE, "prepare", "label", "gate")  # stages without PyTorch
_REQUESTS: dict[str, Json] = {
    RESOLVE: {"cpu": "100m", "memory": "256Mi"},
    "gate": {"cpu": "100m", "memory": "256Mi"},
    "prepare": {"cpu": "500m", "memory": "1Gi"},
    "label": {"cpu": "500m", "memory": "1Gi"},
}
_TRAINING: Json = {"cpu": "1", "memory": "4Gi"}
# Seconds from SIGTERM to SIGKILL. A trainer then writes a checkpoint and uploads it.
_GRACE = {
    "sft": 300,
    "grpo": 300,
    "label": 60,
    "grader": 60,
    "draw": 60,
    "calibrate": 60,
    "evaluate": 60,
}
_SHORT_GRACE = 30
RUN_ENVIRONMENT = {
    contract.LTA_HOME: contract.WORK_FOLDER,
    "HOME": contract.WORK_FOLDER,
    contract.LTA_RUN_FILE: contract.RUN_FILE,
    contract.LTA_CLAIMS: contract.CLAIMS_FOLDER,
    contract.LTA_CONFIG_MAPS: volumes.CONFIG_MAPS_FOLDER,
}
"""Variables of all pods that run our own code."""


def stage_template(
    spec: RunSpec,
    stage: str,
    *,
    configuration: str,
    variables: Mapping[str, str],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    settings: Settings,
) -> Json:
    """The pod template of a stage: `lta stage`, which reads from `variables` what to do."""
    addresses = (spec.dataset.uri, spec.dataset.test_uri, spec.pack.uri, spec.train.base.uri)
    mounted = run_volumes(spec, settings, configuration, claims=addresses, config_maps=addresses)
    environment: dict[str, str | Json] = {
        **RUN_ENVIRONMENT,
        **store_environment(spec, settings),
        **tracing_environment(settings, calls=False),
        **variables,
    }
    mounted += progress_volumes(settings)
    environment |= progress_environment(settings)
    container = {
        "name": CONTAINER,
        "image": _image(spec, stage, settings),
        "command": ["lta", "stage"],
        "resources": {"requests": _REQUESTS.get(stage, _TRAINING)},
    }
    template = pod_template(
        container,
        mounted,
        environment,
        grace=_GRACE.get(stage, _SHORT_GRACE),
        settings=settings,
        metadata={"labels": dict(labels), "annotations": dict(annotations)},
    )
    template["spec"]["restartPolicy"] = "Never"
    return override_pods(template, spec, stage)


def progress_volumes(settings: Settings) -> list[volumes.MountedVolume]:
    """Mounts of a pod that tells the operator how far it is."""
    if not settings.progress_address:
        return []
    return [volumes.progress_token(), *volumes.progress_authority(settings)]


def progress_environment(settings: Settings) -> dict[str, str]:
    """Variables of a pod that tells the operator how far it is."""
    if not settings.progress_address:
        return {}
    found = {contract.LTA_PROGRESS_ADDRESS: settings.progress_address}
    if authority := volumes.progress_authority_file(settings):
        found[contract.LTA_PROGRESS_CA] = authority
    return found


def run_volumes(
    spec: RunSpec,
    settings: Settings,
    configuration: str,
    *,
    claims: Iterable[str | None],
    config_maps: Iterable[str | None],
) -> list[volumes.MountedVolume]:
    """Mounts of all pods that run our own code. `claims` and `config_maps` are the addresses of their inputs."""
    default_store = settings.store_uri if spec.store.uri is None else None
    return [
        volumes.configuration(configuration),
        *store_volumes(spec, settings),
        *volumes.claims_of((*claims, spec.store.uri, default_store)),
        *volumes.config_maps_of(config_maps),
        *volumes.scratch(),
    ]


def override_pods(template: Json, spec: RunSpec, name: str) -> Json:
    """`template` with what the manifest sets for all pods, and then for the pods of `name`."""
    every, own = spec.pods.of(name)
    return override_template(override_template(template, every), own)


def _image(spec: RunSpec, stage: str, settings: Settings) -> str:
    """A stage that decodes with vLLM needs the image of the policy server."""
    if stage in _LIGHT:
        return settings.image
    decodes = {"serve": spec.serve.engine, "grpo": spec.train.grpo.rollouts}
    return settings.server_image if decodes.get(stage) == "vllm" else settings.trainer_image
