"""Security contexts of the operator's pods, within the `restricted` level of Pod Security."""

from __future__ import annotations

from learntoask.core.json_object import Json


def pod_security(user: int) -> Json:
    """`securityContext` of a pod that runs as `user`, whose group owns its volumes; with 0 the cluster chooses both."""
    chosen = {"runAsUser": user, "runAsGroup": user, "fsGroup": user} if user else {}
    return {
        "runAsNonRoot": True,
        **chosen,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Json:
    """`securityContext` of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
