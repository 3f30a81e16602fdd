"""A node without a machine: kwok reports about its pods what a kubelet would report (kwok/*.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worlds.cluster.toolchain import tool

_STAGES = Path(__file__).parent / "kwok"
_NAME = "fake-node"

FAKE_NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": _NAME,
        "annotations": {"node.alpha.kubernetes.io/ttl": "0", "kwok.x-k8s.io/node": "fake"},
        "labels": {"type": "kwok", "kubernetes.io/hostname": _NAME, "kubernetes.io/os": "linux"},
    },
    "status": {
        "allocatable": {"cpu": "100k", "memory": "100Ti", "pods": "1M", "nvidia.com/gpu": "10k"},
        "capacity": {"cpu": "100k", "memory": "100Ti", "pods": "1M", "nvidia.com/gpu": "10k"},
    },
}


def kwok_command(kubeconfig: Path) -> list[str]:
    stages = [f"--config={path}" for path in sorted(_STAGES.glob("*.yaml"))]
    return [
        str(tool("kwok")),
        f"--kubeconfig={kubeconfig}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        *stages,
    ]
