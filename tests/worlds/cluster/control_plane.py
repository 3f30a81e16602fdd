"""A throw-away Kubernetes control plane on loopback: etcd, API server, controller manager and scheduler; no nodes.

Tests start one (conftest.py), and people can start one with `make cluster-up` (throw_away.py). Only the certificates
are kept from one start to the next.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from worlds.cluster.certificates import Authority
from worlds.cluster.fake_node import FAKE_NODE, kwok_command
from worlds.cluster.processes import Recorded, start
from worlds.cluster.toolchain import CONTROL_PLANE, tool

_READY_SECONDS = 120.0
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_ADMINS = ("system:masters",)
_LOOPBACK = "127.0.0.1"
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1")
# MiB. By default the API server begins a new file after 100 MiB, and tests read one file.
_NEVER_ROTATED = 100_000
_AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}


@dataclass
class ControlPlane:
    """A control plane below `folder`.

    With `outlive` its processes go on when this process ends, and `ControlPlane.found` finds them again. With `audit`
    the API server writes every request to `audit_log`. It listens at `address`; pods of a real node cannot reach
    loopback.
    """

    folder: Path
    outlive: bool = False
    audit: bool = False
    address: str = _LOOPBACK
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Recorded] = field(default_factory=dict)

    @classmethod
    def found(cls, folder: Path) -> ControlPlane | None:
        """The control plane that another command started in `folder`."""
        try:
            state = json.loads((folder / "state.json").read_text())
        except FileNotFoundError:
            return None
        processes = {name: Recorded(**recorded) for name, recorded in state["processes"].items()}
        return cls(folder, outlive=True, ports=state["ports"], processes=processes)

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.ports['api']}"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def alive(self) -> bool:
        return all(self.processes[name].alive for name in CONTROL_PLANE[:-1] if name in self.processes)

    @cached_property
    def authority(self) -> Authority:
        folder = self.folder / "pki"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Authority(folder)

    def start(self) -> None:
        """Start all processes, and return when objects can be created in the namespace `default`.

        Raises RuntimeError with the end of the log of a process that ended; `stop` then ends the others.
        """
        self.ports = _free_ports("api", "etcd", "peers")
        self.kubeconfig_of("admin", groups=_ADMINS, path=self.kubeconfig)
        self._start("etcd", self._etcd())
        self.start_api_server()
        self._start("kube-controller-manager", self._controller_manager())
        self._start("kube-scheduler", self._scheduler())
        self._until(self._has_service_accounts, "kube-controller-manager")

    def stop(self) -> None:
        """Kill all processes, because nothing of them is needed again."""
        for name in list(self.processes):
            self.processes.pop(name).kill()
        self._remember()

    def start_api_server(self) -> None:
        self._start("kube-apiserver", self._api_server())
        self._until(self._ready, "kube-apiserver")

    def stop_api_server(self, *, gracefully: bool = False) -> None:
        recorded = self.processes.pop("kube-apiserver")
        recorded.stop() if gracefully else recorded.kill()
        self._remember()

    def mend(self) -> None:
        """Start again what a test stopped, for the next test."""
        if "etcd" in self.processes:
            self.resume_etcd()
            served = self.processes.get("kube-apiserver")
            if served is None or not served.alive:
                self.start_api_server()

    def restart_api_server(self, *, gracefully: bool = False) -> None:
        """Restart it at the same address with the same objects. `gracefully` lets it end its watches first."""
        self.stop_api_server(gracefully=gracefully)
        self.start_api_server()

    @contextmanager
    def elsewhere(self) -> Iterator[Path]:
        """Let the API server listen at another port, which only the caller knows: everybody else finds no server, and
        hears of nothing that happens meanwhile. Yields an admin's kubeconfig."""
        usual = self.ports["api"]
        self.stop_api_server()
        self.ports["api"] = _free_ports("api")["api"]
        self.start_api_server()
        try:
            yield self.kubeconfig_of("admin", groups=_ADMINS, path=self.folder / "elsewhere.kubeconfig")
        finally:
            self.stop_api_server()
            self.ports["api"] = usual
            self.start_api_server()

    def pause_etcd(self) -> None:
        """Make all requests that need etcd hang until `resume_etcd`."""
        self.processes["etcd"].signal(signal.SIGSTOP)

    def resume_etcd(self) -> None:
        self.processes["etcd"].signal(signal.SIGCONT)

    def start_fake_node(self) -> None:
        """Add a node whose pods kwok simulates (fake_node.py)."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(FAKE_NODE))
        self._start("kwok", kwok_command(self.kubeconfig))
        self._until(self._has_ready_node, "kwok")

    def stop_fake_node(self) -> None:
        self.processes.pop("kwok").stop()
        self._remember()
        self.kubectl("delete", "node", FAKE_NODE["metadata"]["name"])

    def kubeconfig_of(
        self, user: str, *, groups: tuple[str, ...] = (), path: Path | None = None, token: str | None = None
    ) -> Path:
        """A kubeconfig of `user` with `token`, or else with a certificate.

        A service account (`system:serviceaccount:NAMESPACE:NAME`) may have a certificate too.
        """
        path = path or self.folder / f"{user.replace(':', '-')}.kubeconfig"
        if token is None:
            identity = self.authority.signed(user, groups=groups)
            login = {
                "client-certificate-data": _encoded(identity.certificate),
                "client-key-data": _encoded(identity.key),
            }
        else:
            login = {"token": token}
        trusted = {
            "server": self.server,
            "certificate-authority-data": _encoded(self.authority.identity.certificate),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "throw-away", "cluster": trusted}],
            "users": [{"name": user, "user": login}],
            "contexts": [{"name": "throw-away", "context": {"cluster": "throw-away", "user": user}}],
            "current-context": "throw-away",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Run kubectl and return its standard output. Raises RuntimeError with kubectl's message."""
        done = subprocess.run(
            [tool("kubectl"), "--kubeconfig", self.kubeconfig, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _start(self, name: str, command: list[str]) -> None:
        self.processes[name] = start(command, log=self.folder / f"{name}.log", outlive=self.outlive)
        self._remember()

    def _remember(self) -> None:
        if self.outlive:
            processes = {name: asdict(recorded) for name, recorded in self.processes.items()}
            state = json.dumps({"ports": self.ports, "processes": processes})
            (self.folder / "state.json").write_text(state)

    def _until(self, condition: Any, process: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not condition():
            if time.monotonic() > deadline or not self.processes[process].alive:
                last = (self.folder / f"{process}.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{process} did not get ready:\n{last}")
            time.sleep(0.05)

    def _answer(self, path: str) -> dict[str, Any] | None:
        try:
            with urlopen(self.server + path, timeout=5, context=self._trust) as answer:
                text = answer.read()
                return json.loads(text) if text.startswith(b"{") else {}
        except (URLError, OSError):
            return None

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        trust = ssl.create_default_context(cafile=str(self.authority.identity.certificate))
        admin = self.authority.signed("admin", groups=_ADMINS)
        trust.load_cert_chain(admin.certificate, admin.key)
        return trust

    def _ready(self) -> bool:
        return self._answer("/readyz") is not None

    def _has_service_accounts(self) -> bool:
        return self._answer("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _has_ready_node(self) -> bool:
        node = self._answer(f"/api/v1/nodes/{FAKE_NODE['metadata']['name']}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _etcd(self) -> list[str]:
        data = self.folder / "etcd"
        shutil.rmtree(data, ignore_errors=True)
        identity = self.authority.signed("etcd", hosts=("127.0.0.1",))
        clients = f"https://127.0.0.1:{self.ports['etcd']}"
        peers = f"http://127.0.0.1:{self.ports['peers']}"
        return [
            str(tool("etcd")),
            f"--data-dir={data}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            f"--cert-file={identity.certificate}",
            f"--key-file={identity.key}",
            f"--trusted-ca-file={self.authority.identity.certificate}",
            "--client-cert-auth",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _api_server(self) -> list[str]:
        authority = self.authority
        served = authority.signed("kube-apiserver", hosts=(self.address, *_NAMES))
        store = authority.signed("etcd-client")
        kubelets = authority.signed("kube-apiserver-kubelet-client", groups=_ADMINS)
        audit = []
        if self.audit:
            policy = self.folder / "audit-policy.yaml"
            policy.write_text(json.dumps(_AUDIT_POLICY))
            audit = [
                f"--audit-policy-file={policy}",
                f"--audit-log-path={self.audit_log}",
                f"--audit-log-maxsize={_NEVER_ROTATED}",
            ]
        return [
            str(tool("kube-apiserver")),
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            # The Service `kubernetes` cannot have an endpoint on loopback.
            *(["--endpoint-reconciler-type=none"] if self.address == _LOOPBACK else []),
            f"--secure-port={self.ports['api']}",
            f"--etcd-servers=https://127.0.0.1:{self.ports['etcd']}",
            f"--etcd-cafile={authority.identity.certificate}",
            f"--etcd-certfile={store.certificate}",
            f"--etcd-keyfile={store.key}",
            f"--client-ca-file={authority.identity.certificate}",
            f"--kubelet-client-certificate={kubelets.certificate}",
            f"--kubelet-client-key={kubelets.key}",
            f"--kubelet-certificate-authority={authority.identity.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--tls-cert-file={served.certificate}",
            f"--tls-private-key-file={served.key}",
            f"--service-account-key-file={authority.token_key()}",
            f"--service-account-signing-key-file={authority.token_key()}",
            f"--service-account-issuer={_ISSUER}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--profiling=false",
            *audit,
        ]

    def _controller_manager(self) -> list[str]:
        authority = self.authority.identity
        config = self.kubeconfig_of("system:kube-controller-manager")
        return [
            str(tool("kube-controller-manager")),
            f"--kubeconfig={config}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self.authority.token_key()}",
            f"--root-ca-file={authority.certificate}",
            f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.key}",
            *_WITHOUT_PEERS,
        ]

    def _scheduler(self) -> list[str]:
        config = self.kubeconfig_of("system:kube-scheduler")
        return [str(tool("kube-scheduler")), f"--kubeconfig={config}", *_WITHOUT_PEERS]


# There is one process of each, which listens nowhere. A client-side limit would dominate a benchmark.
_WITHOUT_PEERS = ("--leader-elect=false", "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000")


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _free_ports(*names: str) -> dict[str, int]:
    """Free ports below those that the system gives to clients (from 32768 on Linux).

    Otherwise a client that keeps calling a stopped server would one day get the server's own port, connect to itself
    and keep the port.
    """
    found: dict[str, int] = {}
    for port in random.sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe:
            if probe.connect_ex((_LOOPBACK, port)):
                found[names[len(found)]] = port
        if len(found) == len(names):
            return found
    raise RuntimeError("no free ports on loopback")
