"""Pod templates of a run's stages and services: restricted, with nothing but what they need. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec

from learntoask_operator.render import volumes
from learntoask_operator.render.override import overridden
from learntoask_operator.render.security import container_security, pod_security
from learntoask_operator.render.store import store_environment, store_volumes
from learntoask_operator.run.pod_messages import CONTAINER
from learntoask_operator.settings import Settings

_LIGHT = ("resolve", "prepare", "label", "gate")  # stages without PyTorch
_REQUESTS: dict[str, Json] = {
    "resolve": {"cpu": "100m", "memory": "256Mi"},
    "gate": {"cpu": "100m", "memory": "256Mi"},
    "prepare": {"cpu": "500m", "memory": "1Gi"},
    "label": {"cpu": "500m", "memory": "1Gi"},
}
_TRAINING: Json = {"cpu": "1", "memory": "4Gi"}
# A trainer writes a checkpoint when it is told to end, and copies it to the store.
_GRACE = {"sft": 300, "grpo": 300, "grader": 60, "evaluate": 60, "label": 60}
_SHORT_GRACE = 30


def stage_template(
    spec: RunSpec, stage: str, *, configuration: str, variables: Mapping[str, str], labels: Mapping[str, str],
    annotations: Mapping[str, str], settings: Settings,
) -> Json:  # fmt: skip
    """The pod template of a stage: `lta stage`, told by `variables` what to do."""
    addresses = (spec.dataset.uri, spec.dataset.test_uri, spec.pack.uri, spec.train.base.uri, spec.store.uri)
    mounted = [
        volumes.config_map(configuration, volumes.CONFIGURATION, volume="configuration"),
        *store_volumes(spec, settings),
        *volumes.claims_of((*addresses, settings.store_uri if spec.store.uri is None else None)),
        *volumes.config_maps_of(addresses),
        *volumes.scratch(),
    ]
    environment = {
        "LTA_HOME": "/work",
        "HOME": "/work",
        "LTA_RUN_FILE": f"{volumes.CONFIGURATION}/run.json",
        "LTA_CLAIMS": volumes.CLAIMS,
        "LTA_CONFIG_MAPS": volumes.CONFIG_MAPS,
        **store_environment(spec, settings),
        **variables,
    }
    if settings.progress_address:
        mounted.append(volumes.progress_token())
        environment["LTA_PROGRESS_ADDRESS"] = settings.progress_address
    container = {
        "name": CONTAINER,
        "image": _image(spec, stage, settings),
        "command": ["lta", "stage"],
        "resources": {"requests": _REQUESTS.get(stage, _TRAINING)},
    }
    grace = _GRACE.get(stage, _SHORT_GRACE)
    template = pod_template(
        container,
        mounted,
        environment,
        labels=labels,
        annotations=annotations,
        grace=grace,
        settings=settings,
    )
    template["spec"]["restartPolicy"] = "Never"
    return merged(template, spec, stage)


def _image(spec: RunSpec, stage: str, settings: Settings) -> str:
    """The policy server's is the one with vLLM."""
    if stage in _LIGHT:
        return settings.image
    decodes = {"serve": spec.serve.engine, "grpo": spec.train.grpo.rollouts}
    return settings.server_image if decodes.get(stage) == "vllm" else settings.trainer_image


def pod_template(
    container: Json,
    mounted: Iterable[volumes.Mounted],
    environment: Mapping[str, str],
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    grace: int,
    settings: Settings,
) -> Json:
    mounted = list(mounted)
    return {
        "metadata": {"labels": dict(labels), "annotations": dict(annotations)},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            **({"serviceAccountName": settings.service_account} if settings.service_account else {}),
            "securityContext": pod_security(settings.pod_user),
            "terminationGracePeriodSeconds": grace,
            "containers": [
                {
                    **container,
                    "imagePullPolicy": settings.image_pull_policy,
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    "volumeMounts": [one.mount for one in mounted],
                    "securityContext": container_security(),
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                }
            ],
            "volumes": [one.volume for one in mounted],
        },
    }


def merged(template: Json, spec: RunSpec, name: str) -> Json:
    """`template` with what the manifest says about pods of `name`."""
    every, own = spec.pods.of(name)
    return overridden(overridden(template, every), own)
