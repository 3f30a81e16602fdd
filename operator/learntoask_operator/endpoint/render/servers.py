"""Renders the pod template of a policy server. The digest of the template is the revision."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec, PolicyReference, seconds
from learntoask.core.manifest.quantity import byte_count
from learntoask.core.pod_contract import CONFIGURATION_FOLDER, LTA_POLICY, LTA_PUBLICATION

from learntoask_operator.endpoint.render.pods import (
    DRAIN,
    HEALTH_PORT,
    METRICS_PORT,
    PORT,
    TOKEN_FOLDER,
    Shutdown,
    claim_source,
    endpoint_template,
    pack_source,
    secret_mount,
    store_mounts,
    token_mounts,
    variables,
)
from learntoask_operator.render.override import override_template
from learntoask_operator.render.store import store_environment
from learntoask_operator.render.volumes import MountedVolume, metrics_token_file, mount_at
from learntoask_operator.settings import Settings

_TLS = f"{CONFIGURATION_FOLDER}/tls"
_PRE_STOP = 15  # seconds until all gateways, kube-proxies and name servers know that the pod ends
_STARTUP_PERIOD = 5  # seconds between two startup probes
_REQUESTS = {"cpu": "500m", "memory": "1Gi"}  # autoscaling by processor time needs a request


def server_template(policy: PolicyReference, spec: EndpointSpec, settings: Settings) -> Json:
    """The pod template of the servers of `policy`, without labels."""
    attempts = -(-seconds(spec.rollout.warm_up.deadline) // _STARTUP_PERIOD)
    arguments, source = _model_source(policy)
    tls = spec.servers.tls
    shared = {"medium": "Memory", "sizeLimit": spec.servers.shared_memory}
    template = endpoint_template(
        {
            "name": "policy-server",
            "image": settings.server_image,
            "command": ["lta", "serve", *arguments],
            "resources": {
                "requests": _REQUESTS,
                **({"limits": {"nvidia.com/gpu": spec.gpus}} if spec.gpus else {}),
            },
        },
        [
            *source,
            *store_mounts(spec, settings),
            mount_at({"name": "shm", "emptyDir": shared}, "/dev/shm", read_only=False),
            *token_mounts(spec.gateway.access.token_secret),
            *([secret_mount(tls.secret, _TLS, volume="tls")] if tls else []),
        ],
        _environment(policy, spec, settings),
        # The server listens once the model is loaded and warm, and not before.
        probes={
            "startupProbe": {
                "timeoutSeconds": 5,
                "periodSeconds": _STARTUP_PERIOD,
                "failureThreshold": max(1, attempts),
            },
            "readinessProbe": {"timeoutSeconds": 5, "periodSeconds": 5, "failureThreshold": 2},
            "livenessProbe": {"timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 6},
        },
        tls=tls is not None,
        shutdown=Shutdown(pre_stop=_PRE_STOP, drain=DRAIN),
        work=spec.servers.cache,
        settings=settings,
    )
    return override_template(template, spec.pods.policy_server)


def _environment(policy: PolicyReference, spec: EndpointSpec, settings: Settings) -> dict[str, str]:
    servers = spec.servers
    own = variables(
        "LTA_SERVE_",
        HOST="0.0.0.0",
        PORT=PORT,
        METRICS_PORT=METRICS_PORT,
        METRICS_TOKEN_FILE=metrics_token_file(settings),
        ENGINE=spec.engine,
        MAX_CONCURRENT=servers.max_concurrent,
        MAX_QUEUE=servers.max_queue,
        MAX_NEW_TOKENS=servers.max_new_tokens,
        MAX_PROMPT_TOKENS=servers.max_prompt_tokens,
        MAY_STOP=servers.may_stop,
        STOP_THRESHOLD=servers.stop_threshold,
        ASSESSMENT=servers.assessment,
        REPEAT=servers.repeat,
        PRECISION=servers.precision,
        PREFIX_CACHE_BYTES=byte_count(servers.prefix_cache),
        DEADLINE_SECONDS=seconds(spec.gateway.deadline),
        DRAIN_SECONDS=DRAIN,
        WARM_UP=spec.rollout.warm_up.conversation,
        TOKEN_FILE=f"{TOKEN_FOLDER}/token" if spec.gateway.access.token_secret else None,
        TLS_CERTIFICATE=f"{_TLS}/tls.crt" if servers.tls else None,
        TLS_KEY=f"{_TLS}/tls.key" if servers.tls else None,
        HEALTH_PORT=HEALTH_PORT if servers.tls else None,
    )
    keys = {LTA_PUBLICATION: policy.publication, LTA_POLICY: policy.policy}
    return {**own, **variables("", **keys), **store_environment(spec, settings)}


def _model_source(policy: PolicyReference) -> tuple[list[str], list[MountedVolume]]:
    """Arguments and mounts for model and pack. Variables name those of a policy that a run has published."""
    if policy.uri is None:
        return [], []
    arguments, mounts = pack_source(policy)
    if not policy.uri.startswith("pvc:"):
        return ["--model", policy.uri, *arguments], mounts
    path, claim = claim_source(policy.uri)
    return ["--model", path, *arguments], [claim, *mounts]
