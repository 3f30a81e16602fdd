"""Renders the pod template that stages, run services, policy servers and gateways have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from learntoask.core.json_object import Json

from learntoask_operator.render.security import container_security, pod_security
from learntoask_operator.render.volumes import MountedVolume
from learntoask_operator.settings import Settings


def pod_template(
    container: Json,
    mounted: Iterable[MountedVolume],
    environment: Mapping[str, str | Json],
    *,
    grace: int,
    settings: Settings,
    metadata: Json | None = None,
) -> Json:
    """A pod with one `container` (name, image, command, probes, resources), within the restricted level.

    It has no token of the API server. `environment` maps names to values, or to what a value comes from. `grace` is the
    seconds from SIGTERM to SIGKILL.
    """
    mounted = list(mounted)
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"serviceAccountName": settings.service_account} if settings.service_account else {}),
        "securityContext": pod_security(settings.pod_user),
        "terminationGracePeriodSeconds": grace,
        "containers": [
            {
                **container,
                "imagePullPolicy": settings.image_pull_policy,
                "env": [
                    {"name": name, "value" if isinstance(value, str) else "valueFrom": value}
                    for name, value in environment.items()
                ],
                "volumeMounts": [item.mount for item in mounted],
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
        "volumes": [item.volume for item in mounted],
    }
    return {"metadata": metadata or {}, "spec": spec}
