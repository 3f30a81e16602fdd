"""What a real node needs on this machine, and what of it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from worlds.cluster.toolchain import CONTROL_PLANE, missing

CNI = Path("/usr/lib/cni")
_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "buildah": "buildah",
    "setpriv": "util-linux",
}
_PLUGINS = ("bridge", "host-local", "loopback")
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
_NODE_TOOLS = ("kubelet", "kube-proxy", "helm", "coredns")
_MOST_SECONDS = 10.0


def lacking() -> list[str]:
    """What to install or to allow, one line each; empty if a node can run."""
    if os.geteuid() != 0:
        return ["root: needed for containers, bridges and mounts"]
    found = [
        f"{command}: install the package {package}"
        for command, package in _PACKAGES.items()
        if shutil.which(command) is None
    ]
    found += [
        f"{CNI / plugin}: install the package containernetworking-plugins"
        for plugin in _PLUGINS
        if not (CNI / plugin).exists()
    ]
    built = missing(*CONTROL_PLANE, *_NODE_TOOLS, "minio")
    found += [
        f"{name}: install Go and run `make cluster-tools chart-tools node-tools minio`" for name in built
    ]
    return found + _rights()


def _rights() -> list[str]:
    found = []
    if not _cgroups():
        found.append(f"cgroup controllers {', '.join(_CONTROLLERS)}, mounted and writable")
    bridge = "lta-probe"
    if _refused("ip", "link", "add", bridge, "type", "bridge"):
        found.append("CAP_NET_ADMIN: a bridge cannot be created")
    else:
        _refused("ip", "link", "delete", bridge)
    if _refused("iptables", "--table", "nat", "--list", "--numeric"):
        found.append("iptables: the table nat cannot be read")
    if _refused("unshare", "--mount", "--pid", "--net", "--fork", "true"):
        found.append("CAP_SYS_ADMIN: namespaces cannot be created")
    return found


def _cgroups() -> bool:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return set(_CONTROLLERS) <= set((root / "cgroup.controllers").read_text().split())
    return all(os.access(root / name / "cgroup.procs", os.W_OK) for name in _CONTROLLERS)


def overlays(folder: Path) -> bool:
    """Whether overlay mounts work in `folder`. If they do not, containerd copies whole images."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        lower, upper, work, merged = (Path(scratch) / name for name in ("lower", "upper", "work", "merged"))
        for layer in (lower, upper, work, merged):
            layer.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        if _refused("mount", "-t", "overlay", "overlay", "-o", options, str(merged)):
            return False
        return not _refused("umount", str(merged))


def _refused(*command: str) -> bool:
    try:
        return (
            subprocess.run(command, capture_output=True, check=False, timeout=_MOST_SECONDS).returncode != 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
