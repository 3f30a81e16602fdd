"""A real node for the throw-away control plane: containerd, kubelet, kube-proxy, a bridge for pods, and CoreDNS."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from learntoask.core.json_object import Json

from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.processes import Recorded, start
from worlds.cluster.toolchain import tool
from worlds.node.containers import PAUSE, Containers, unmount
from worlds.node.network import ADDRESS, SUBNET, Network

NAME = "e2e-node"
DNS = "10.96.0.10"
COREDNS = "docker.io/learntoask/coredns:1"
_DOMAIN = "cluster.local"
_PATIENCE = 120.0
_CGROUPS = Path("/sys/fs/cgroup")
_LEFT_BY_CLEANUP = (
    "-D INPUT -j KUBE-FIREWALL",
    "-D OUTPUT -j KUBE-FIREWALL",
    "-F KUBE-FIREWALL",
    "-X KUBE-FIREWALL",
)
_COREFILE = """.:1053 {
  errors
  health :8080
  ready :8181
  kubernetes cluster.local in-addr.arpa { ttl 5 }
  cache 5
  reload
}
"""


@dataclass
class Node:
    """A node whose `folder` keeps images between runs; everything else is new at every start."""

    folder: Path
    logs: Path
    plane: ControlPlane = field(init=False)
    processes: dict[str, Recorded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.plane = ControlPlane(self.logs / "plane", audit=True, address=ADDRESS)
        self.network = Network(self.logs)
        self.containers = Containers(self.folder / "containerd", self.logs / "containerd.log")

    @cached_property
    def kubelet_folder(self) -> Path:
        return self.folder.resolve() / "kubelet"

    def start(self) -> None:
        """Start the node, and return when it is ready and CoreDNS answers.

        Raises RuntimeError with the end of the log of a process that ended.
        """
        self._clean()
        self.network.start()
        self.plane.folder.mkdir(parents=True, exist_ok=True)
        self.plane.start()
        self.containers.start(networks=self.network.configuration)
        small_image(PAUSE, None)
        small_image(COREDNS, tool("coredns"))
        self.containers.bring(PAUSE, COREDNS)
        self.start_kubelet()
        self._start("kube-proxy", self._proxy())
        self._until(self.ready)
        self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(_dns()))
        self._until(self._answers_names)

    def stop(self) -> None:
        for name in ("kubelet", "kube-proxy"):
            if name in self.processes:
                self.processes.pop(name).stop()
        self.containers.stop()
        subprocess.run([str(tool("kube-proxy")), "--cleanup"], capture_output=True, check=False, timeout=60)
        for rule in _LEFT_BY_CLEANUP:
            subprocess.run(["iptables", *rule.split()], capture_output=True, check=False, timeout=60)
        self.plane.stop()
        self.network.stop()
        self._clean()

    def start_kubelet(self) -> None:
        self._start("kubelet", self._kubelet())

    def stop_kubelet(self) -> None:
        """Stop the kubelet; its containers go on."""
        self.processes.pop("kubelet").stop()

    def ready(self) -> bool:
        return "True" in self._said(
            "get", "node", NAME, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        )

    def _answers_names(self) -> bool:
        return "1" in self._said(
            "get", "deployment", "coredns", "-n", "kube-system", "-o", "jsonpath={.status.readyReplicas}"
        )

    def _said(self, *arguments: str) -> str:
        try:
            return self.plane.kubectl(*arguments)
        except RuntimeError:
            return ""

    def _clean(self) -> None:
        unmount(self.kubelet_folder)
        shutil.rmtree(self.kubelet_folder, ignore_errors=True)
        for folder in (*_CGROUPS.glob("*/kubepods"), _CGROUPS / "kubepods"):
            for path, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):  # a folder that is in use belongs to another kubelet
                    os.rmdir(path)

    def _start(self, name: str, command: list[str]) -> None:
        self.processes[name] = start(command, log=self.logs / f"{name}.log", outlive=False)

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            ended = [name for name, process in self.processes.items() if not process.alive]
            if ended or time.monotonic() > deadline:
                logs = [self.logs / f"{name}.log" for name in ended or self.processes]
                last = "\n\n".join(log.read_text(errors="replace")[-3000:] for log in logs)
                pods = self._said("describe", "pods", "-n", "kube-system")[-3000:]
                raise RuntimeError(f"the node did not get ready; {ended} ended\n{pods}\n{last}")
            time.sleep(0.5)

    def _kubelet(self) -> list[str]:
        authority = self.plane.authority
        served = authority.signed(f"system:node:{NAME}", groups=("system:nodes",), hosts=(ADDRESS, NAME))
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "port": self._port,
            "healthzPort": 0,
            "readOnlyPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority.identity.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(served.certificate),
            "tlsPrivateKeyFile": str(served.key),
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "podLogsDir": str(self.logs / "pods"),
            "clusterDNS": [DNS],
            "clusterDomain": _DOMAIN,
            "resolvConf": "",
            "containerRuntimeEndpoint": f"unix://{self.containers.socket}",
            "makeIPTablesUtilChains": False,
            # A developer's disk may be nearly full, and only the tests import images.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        }
        file = self.logs / "kubelet.json"
        file.write_text(json.dumps(settings))
        return [
            str(tool("kubelet")),
            f"--config={file}",
            f"--root-dir={self.kubelet_folder}",
            f"--cert-dir={self.logs / 'kubelet-pki'}",
            f"--kubeconfig={self.plane.kubeconfig_of(f'system:node:{NAME}', groups=('system:nodes',))}",
            f"--hostname-override={NAME}",
            f"--node-ip={ADDRESS}",
        ]

    @cached_property
    def _port(self) -> int:
        return _free_port(ADDRESS)

    def _proxy(self) -> list[str]:
        config = self.plane.kubeconfig_of("system:kube-proxy")
        settings = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(config)},
            "mode": "iptables",
            "clusterCIDR": SUBNET,
            "hostnameOverride": NAME,
            "healthzBindAddress": f"127.0.0.1:{_free_port('127.0.0.1')}",
            "metricsBindAddress": f"127.0.0.1:{_free_port('127.0.0.1')}",
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
        file = self.logs / "kube-proxy.json"
        file.write_text(json.dumps(settings))
        return [str(tool("kube-proxy")), f"--config={file}"]


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def small_image(name: str, binary: Path | None) -> None:
    """Build an image with one static command, or one that only sleeps."""
    container = _buildah("from", "scratch" if binary else "localhost/learntoask-base:bookworm")
    try:
        if binary:
            _buildah("copy", "--quiet", container, str(binary), f"/{binary.name}")
        command = [f"/{binary.name}"] if binary else ["/bin/sleep", "infinity"]
        entry = ["--entrypoint", json.dumps(command), "--user", "65532:65532", "--workingdir", "/"]
        _buildah("config", *entry, "--cmd", "", container)
        _buildah("commit", "--quiet", "--timestamp", "0", container, name)
    finally:
        _buildah("rm", container)


def _buildah(*arguments: str) -> str:
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"buildah {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _dns() -> Json:
    """CoreDNS, with rights to read Services, at the DNS address of all pods."""
    named = {"name": "coredns", "namespace": "kube-system"}
    marks = {"k8s-app": "kube-dns"}
    rights = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    container = {
        "name": "coredns",
        "image": COREDNS,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    pod = {
        "metadata": {"labels": marks},
        "spec": {
            "serviceAccountName": "coredns",
            "dnsPolicy": "Default",
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
        },
    }
    ports = [
        {"name": "dns", "port": 53, "targetPort": 1053, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "targetPort": 1053, "protocol": "TCP"},
    ]
    proxied = {"kind": "User", "name": "system:kube-proxy", "apiGroup": rbac}
    items: list[Json] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": {"Corefile": _COREFILE}},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "coredns"}, "rules": rights},
        _bound("coredns", "coredns", {"kind": "ServiceAccount", **named}),
        _bound("kube-proxy", "system:node-proxier", proxied),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**named, "name": "kube-dns"},
            "spec": {"clusterIP": DNS, "selector": marks, "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named,
            "spec": {"selector": {"matchLabels": marks}, "template": pod},
        },
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _bound(name: str, role: str, subject: Json) -> Json:
    rbac = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"e2e-{name}"},
        "subjects": [subject],
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": rbac},
    }
