"""Pods within the `restricted` level of Pod Security, for the operator's children alike."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
USER = 65532  # nobody's: images run as any user


def pod_security() -> Json:
    """`securityContext` of a pod; the group owns its volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
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
