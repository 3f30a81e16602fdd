"""Paths of the commands that `make cluster-tools` builds from pinned Go modules."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOLCHAIN = Path(os.environ.get("LTA_TOOLCHAIN") or ROOT / ".cache" / "toolchain")
_OWN_MODULES = {
    "kwok": "kwok",
    "helm": "helm",
    "coredns": "coredns",
    "minio": "minio",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "trainer-controller-manager": "trainer",
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


def tool(name: str) -> Path:
    """Path of a command, whether it is built or not."""
    module = _OWN_MODULES.get(name, "kubernetes")
    key = hashlib.sha256((ROOT / "tests" / "toolchain" / module / "go.sum").read_bytes()).hexdigest()[:12]
    return TOOLCHAIN / f"{module}-{key}" / name


def missing(*names: str) -> list[str]:
    """The commands among `names` that are not built."""
    return [name for name in names if not tool(name).is_file()]
