"""What gateway and policy server pods have in common, and how a policy server's begins: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec, PolicyReference, seconds
from learntoask.core.manifest.quantity import byte_count

from learntoask_operator.render.override import overridden
from learntoask_operator.render.security import container_security, pod_security
from learntoask_operator.render.store import store_environment, store_volumes
from learntoask_operator.render.volumes import claims_of
from learntoask_operator.settings import Settings

PORT, METRICS_PORT = 50051, 9090
_PRE_STOP = 15  # seconds until every gateway, kube-proxy and name server knows that the pod goes
DRAIN = 30  # seconds for answers at work
_LAST = 15  # seconds for records and logs after the last answer
_STARTUP_PERIOD = 5
_REQUESTS = {"cpu": "500m", "memory": "1Gi"}  # autoscaling by processor time needs one
TOKEN = "/etc/learntoask/token"
_CLAIMS, _PACK = "/claims", "/etc/learntoask/pack"


def server_template(policy: PolicyReference, spec: EndpointSpec, settings: Settings) -> Json:
    """Pod template of a policy server, without its labels: what makes a revision the one it is."""
    servers, rollout = spec.servers, spec.rollout
    arguments, volumes, mounts = _source(policy)
    store = Store.of(spec, settings)
    env = [
        *variables(
            "LTA_SERVE_",
            HOST="0.0.0.0",
            PORT=PORT,
            METRICS_PORT=METRICS_PORT,
            ENGINE=spec.engine,
            MAX_CONCURRENT=servers.max_concurrent,
            MAX_QUEUE=servers.max_queue,
            MAX_NEW_TOKENS=servers.max_new_tokens,
            MAX_PROMPT_TOKENS=servers.max_prompt_tokens,
            MAY_STOP=servers.may_stop,
            STOP_THRESHOLD=servers.stop_threshold,
            PRECISION=servers.precision,
            PREFIX_CACHE_BYTES=byte_count(servers.prefix_cache),
            DEADLINE_SECONDS=seconds(spec.gateway.deadline),
            DRAIN_SECONDS=DRAIN,
            WARM_UP=rollout.warm_up.conversation,
            TOKEN_FILE=f"{TOKEN}/token" if spec.gateway.access.token_secret else None,
        ),
        *variables("LTA_", PUBLICATION=policy.publication, POLICY=policy.policy),
        *store.env,
    ]
    shared = {"medium": "Memory", "sizeLimit": servers.shared_memory}
    template = pod(
        "policy-server",
        ["lta", "serve", *arguments],
        image=settings.server_image,
        settings=settings,
        env=env,
        mounts=[*mounts, *store.mounts, {"name": "shm", "mountPath": "/dev/shm"}],
        volumes=[*volumes, *store.volumes, {"name": "shm", "emptyDir": shared}],
        pre_stop=_PRE_STOP,
        drain=DRAIN,
        work=servers.cache,
        token_secret=spec.gateway.access.token_secret,
    )
    probe = {"grpc": {"port": PORT}, "timeoutSeconds": 5}
    attempts = -(-seconds(rollout.warm_up.deadline) // _STARTUP_PERIOD)
    template["spec"]["containers"][0] |= {
        # The port is listened to when the model is loaded and warm, not before.
        "startupProbe": {**probe, "periodSeconds": _STARTUP_PERIOD, "failureThreshold": max(1, attempts)},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 6},
        "resources": {
            "requests": _REQUESTS,
            **({"limits": {"nvidia.com/gpu": spec.gpus}} if spec.gpus else {}),
        },
    }
    return overridden(template, spec.pods.policy_server)


@dataclass(frozen=True, kw_only=True)
class Store:
    """Parts of a pod that reaches the store: variables and mounts of its container, volumes."""

    env: list[Json]
    mounts: list[Json]
    volumes: list[Json]

    @classmethod
    def of(cls, spec: EndpointSpec, settings: Settings) -> Store:
        mounted = [*store_volumes(spec, settings), *claims_of([spec.store.uri or settings.store_uri])]
        return cls(
            env=variables("", **store_environment(spec, settings)),
            mounts=[one.mount for one in mounted],
            volumes=[one.volume for one in mounted],
        )


def pod(
    name: str,
    command: Sequence[str],
    *,
    image: str,
    settings: Settings,
    env: list[Json],
    mounts: list[Json],
    volumes: list[Json],
    work: str,
    pre_stop: int,
    drain: int,
    token_secret: str | None,
) -> Json:
    """A pod template within the restricted level, with /work and /tmp to write to.

    Told to end, it takes calls for `pre_stop` more seconds, and then `drain` to answer them.
    """
    if token_secret:
        mounts = [*mounts, {"name": "token", "mountPath": TOKEN, "readOnly": True}]
        volumes = [*volumes, {"name": "token", "secret": {"secretName": token_secret}}]
    # A claim may hold store, model and pack alike.
    mounts, volumes = _distinct(mounts, "mountPath"), _distinct(volumes, "name")
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": list(command),
        # USER: PyTorch names its caches by it, and finds no name for a user that only has a number.
        "env": [*variables("", LTA_HOME="/work", HOME="/work", USER="learntoask"), *env],
        "ports": [
            {"name": "grpc", "containerPort": PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "volumeMounts": [
            {"name": "work", "mountPath": "/work"},
            {"name": "tmp", "mountPath": "/tmp"},
            *mounts,
        ],
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": pre_stop}}},
    }
    spec: Json = {
        "containers": [container],
        "securityContext": pod_security(settings.pod_user),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pre_stop + drain + _LAST,
        "volumes": [
            {"name": "work", "emptyDir": {"sizeLimit": work}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            *volumes,
        ],
    }
    if settings.service_account:
        spec["serviceAccountName"] = settings.service_account
    return {"metadata": {}, "spec": spec}


def variables(prefix: str, **values: object) -> list[Json]:
    """Environment of the given values; None is left out, booleans and lists as servers read them."""
    return [
        {"name": prefix + name, "value": _text(value)} for name, value in values.items() if value is not None
    ]


def pack_source(policy: PolicyReference) -> tuple[list[str], list[Json], list[Json]]:
    """Arguments, volumes and mounts for the domain pack of a policy that is not a run's."""
    if policy.pack is None:
        return [], [], []
    uri = policy.pack.uri
    if uri.startswith("configMap:"):
        name, _, key = uri.removeprefix("configMap:").partition("/")
        volume = {"name": "pack", "configMap": {"name": name}}
        return (
            ["--pack", f"{_PACK}/{key}"],
            [volume],
            [{"name": "pack", "mountPath": _PACK, "readOnly": True}],
        )
    if uri.startswith("pvc:"):
        path, volume, mount = _claim(uri)
        return ["--pack", path], [volume], [mount]
    return ["--pack", uri], [], []


def _source(policy: PolicyReference) -> tuple[list[str], list[Json], list[Json]]:
    """Arguments, volumes and mounts for model and pack; a run's policy is named by variables."""
    if policy.uri is None:
        return [], [], []
    arguments, volumes, mounts = pack_source(policy)
    if not policy.uri.startswith("pvc:"):
        return ["--model", policy.uri, *arguments], volumes, mounts
    path, volume, mount = _claim(policy.uri)
    if volume not in volumes:
        volumes, mounts = [volume, *volumes], [mount, *mounts]
    return ["--model", path, *arguments], volumes, mounts


def _claim(uri: str) -> tuple[str, Json, Json]:
    """Path, volume and mount of `pvc:claim/path`."""
    claim, _, path = uri.removeprefix("pvc:").partition("/")
    place = f"{_CLAIMS}/{claim}"
    volume = {"name": f"claim-{claim}"[:63], "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return f"{place}/{path}", volume, {"name": volume["name"], "mountPath": place, "readOnly": True}


def _distinct(items: list[Json], key: str) -> list[Json]:
    """The last one of each `key`."""
    return list({item[key]: item for item in items}.values())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "\n".join(map(str, value))
    return str(value)
