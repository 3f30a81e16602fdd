"""The cluster that docs/cluster.md describes for development: the real operator, MinIO, and pods as processes."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.json_object import Json

from worlds.cluster.cluster import Cluster
from worlds.cluster.operator_process import OperatorProcess, allow_everything
from worlds.cluster.pod_runner import PodRunner
from worlds.minio import MinioServer, minio_server

_AUTHORITY = "progress-ca"


@dataclass(frozen=True, kw_only=True)
class DevelopmentCluster:
    """A namespace whose runs the operator reconciles, with their artefacts in MinIO."""

    cluster: Cluster
    minio: MinioServer
    namespace: str
    operator: OperatorProcess
    pods: PodRunner

    def lta(self, *arguments: str, folder: Path) -> str:
        """Run `lta` in `folder` as on a laptop, and return its output."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LTA_")},
            **self.minio.environment,
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "LTA_STORE": self.minio.address().uri,
            "LTA_STORE_ENDPOINT": self.minio.endpoint,
            "COLUMNS": "160",
        }
        done = subprocess.run(
            [sys.executable, "-m", "learntoask.cli.app", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, kind: str, name: str, **content: Any) -> None:
        """Create an object of the core API, such as a Secret with `stringData`."""
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(body))

    def ready_pods(self, component: str) -> list[Json]:
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found = self.cluster.request("GET", f"{path}?labelSelector=app.kubernetes.io/component={component}")
        return [pod for pod in found.body["items"] if _is_ready(pod)]

    def follow(self, run: str, *, folder: Path, until: Callable[[Json], bool], patience: float) -> list[Json]:
        """Ask for the status of a run until the condition holds or the run has ended, and return what was seen."""
        seen: list[Json] = []
        deadline = time.monotonic() + patience
        while not seen or not (until(seen[-1]) or seen[-1]["outcome"] in ("Succeeded", "Failed")):
            log = self.operator.log
            assert time.monotonic() < deadline, f"{seen[-1:]}\n{log.read_text()[-5000:]}"
            assert self.operator.alive, log.read_text()[-5000:]
            time.sleep(3)
            shown = self.lta("status", "--cluster", run, "-n", self.namespace, "--json", folder=folder)
            seen.append(json.loads(shown))
        return seen


@contextmanager
def development_cluster(
    cluster: Cluster, folder: Path, *, progress_tls: bool = False
) -> Iterator[DevelopmentCluster]:
    """Start MinIO, the operator and the pods' node for a new namespace. Skips the test on somebody else's cluster.

    With `progress_tls` pods tell the operator their progress over TLS.
    """
    if cluster.plane is None:
        pytest.skip("runs pods as processes of this machine, so it needs a cluster of its own")
    plane = cluster.plane
    with minio_server(folder / "minio") as minio, cluster.namespace(f"work-{secrets.token_hex(3)}") as name:
        allow_everything(plane)
        port = _free_port()
        flags = [
            f"--store-uri={minio.address().uri}",
            f"--store-endpoint={minio.endpoint}",
            "--store-credentials=store",
            f"--namespaces={name}",
            "--lease-namespace=default",
            "--listen=127.0.0.1",
            "--health-port=0",
            "--metrics-port=0",
            f"--progress-port={port}",
            f"--progress-address=127.0.0.1:{port}",
            "--lease-time=8s",
            "--lease-renewal=2s",
        ]
        if progress_tls:
            shown = plane.authority.signed("progress", hosts=("127.0.0.1",))
            flags += [f"--progress-certificate={shown.certificate}", f"--progress-key={shown.key}"]
            flags += [f"--progress-ca={_AUTHORITY}"]
        operator = OperatorProcess(plane, folder, tuple(flags))
        operator.start()
        try:
            with PodRunner(cluster.kubeconfig, folder / "pods") as pods:
                made = DevelopmentCluster(
                    cluster=cluster, minio=minio, namespace=name, operator=operator, pods=pods
                )
                keys = {"accessKey": minio.access_key, "secretKey": minio.secret_key}
                made.create("Secret", "store", stringData=keys)
                if progress_tls:
                    authority = plane.authority.identity.certificate.read_text()
                    made.create("ConfigMap", _AUTHORITY, data={"ca.crt": authority})
                yield made
        finally:
            operator.stop()


def _is_ready(pod: Json) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
