"""The pharmacy's run as users run it: `lta apply`, the real operator, MinIO, and at the end answers over gRPC.

The cluster is the one that docs/cluster.md describes for development: pods are processes of this machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from learntoask.client import Client, Decision, user
from learntoask.core.json_object import Json
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import OperatorProcess, allow_everything
from worlds.cluster.pod_runner import PodRunner
from worlds.cluster.toolchain import ROOT
from worlds.minio import MinioServer, minio_server

PHARMACY = ROOT / "examples" / "pharmacy"
RUN = "pharmacy-tiny"
RUN_PATIENCE, SERVE_PATIENCE = 1200.0, 480.0


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="module")
def place(cluster: Cluster, minio: MinioServer) -> Iterator[str]:
    """A namespace with the Secret that has the store's keys."""
    with cluster.namespace(f"pharmacy-{secrets.token_hex(3)}") as name:
        keys = {"accessKey": minio.access_key, "secretKey": minio.secret_key}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "store", "namespace": name},
            "stringData": keys,
        }
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(secret))
        yield name


@pytest.fixture(scope="module")
def operator(
    cluster: Cluster, minio: MinioServer, place: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    if cluster.plane is None:
        pytest.skip("runs pods as processes of this machine, so it needs a cluster of its own")
    plane: ControlPlane = cluster.plane
    allow_everything(plane)
    flags = (
        f"--store-uri={minio.address().uri}",
        f"--store-endpoint={minio.endpoint}",
        "--store-credentials=store",
        f"--namespaces={place}",
        "--lease-namespace=default",
        "--listen=127.0.0.1",
        "--health-port=0",
        "--metrics-port=0",
        "--progress-port=51055",
        "--progress-address=127.0.0.1:51055",
        "--lease-time=4s",
        "--lease-renewal=2s",
    )
    process = OperatorProcess(plane, tmp_path_factory.mktemp("operator"), flags)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def pods(
    cluster: Cluster, operator: OperatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PodRunner]:
    with PodRunner(cluster.kubeconfig, tmp_path_factory.mktemp("pods")) as runner:
        yield runner


def lta(cluster: Cluster, minio: MinioServer, folder: Path, *arguments: str) -> str:
    """Run `lta` as on a laptop, and return its output."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LTA_")},
        **minio.environment,
        "KUBECONFIG": str(cluster.kubeconfig),
        "LTA_STORE": minio.address().uri,
        "LTA_STORE_ENDPOINT": minio.endpoint,
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


def smaller(folder: Path) -> Path:
    """The example's tiny run, with just enough training for well-formed questions: it memorises a few sessions."""
    manifest = yaml.safe_load((PHARMACY / "run-tiny.yaml").read_text())
    spec = manifest["spec"]
    for name in ("logs.jsonl", "pack.yaml"):
        shutil.copy(PHARMACY / name, folder / name)
    spec["dataset"]["maxSessions"] = 24
    spec["train"]["sft"] = {
        "epochs": 12,
        "batchSessions": 2,
        "learningRate": 0.002,
        "keptShare": 0,
        "shuffleFields": False,
    }
    spec["train"]["grpo"] = {"updates": 0}  # so short a training could not improve the policy
    spec["evaluate"] = {"samples": 0, "maxSessions": 4, "bootstrap": 100, "replay": False}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return path


def status_of(cluster: Cluster, minio: MinioServer, folder: Path, place: str) -> Json:
    return dict(json.loads(lta(cluster, minio, folder, "status", "--cluster", RUN, "-n", place, "--json")))


def gateway_addresses(cluster: Cluster, place: str) -> list[str]:
    """The addresses of all ready gateway pods."""
    answer = cluster.request(
        "GET", f"/api/v1/namespaces/{place}/pods?labelSelector=app.kubernetes.io/component=gateway"
    )
    found = []
    for pod in answer.body["items"]:
        conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
        if conditions.get("Ready") == "True":
            found.append(f"{pod['status']['podIP']}:50051")
    return found


def asked(address: str) -> Decision:
    """The answer of a gateway to a customer."""
    with Client(address, timeout=60) as client:
        return client.decide([user("hi, I have had a sore throat")])


@pytest.mark.timeout(1900)
def test_from_a_manifest_to_an_answer(
    cluster: Cluster,
    minio: MinioServer,
    place: str,
    operator: OperatorProcess,
    pods: PodRunner,
    tmp_path: Path,
) -> None:
    applied = lta(cluster, minio, tmp_path, "apply", str(smaller(tmp_path)), "-n", place)
    assert "logs.jsonl uploaded" in applied
    assert "pack.yaml uploaded" in applied
    seen: list[Json] = []
    deadline = time.monotonic() + RUN_PATIENCE
    while not seen or seen[-1]["outcome"] not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, f"{seen[-1]}\n{operator.log.read_text()[-5000:]}"
        assert operator.alive, operator.log.read_text()[-5000:]
        time.sleep(3)
        seen.append(status_of(cluster, minio, tmp_path, place))
    assert seen[-1]["outcome"] == "Succeeded", f"{seen[-1]}\n{operator.log.read_text()[-3000:]}"
    print(lta(cluster, minio, tmp_path, "status", "--cluster", RUN, "-n", place))
    assert {one["state"] for one in seen[-1]["stages"]} == {"Published"}
    pushed = [
        one for status in seen for one in status["stages"] if one["progress"] and one["progress"]["percent"]
    ]
    assert pushed, "no progress was ever seen"
    said = lta(cluster, minio, tmp_path, "logs", RUN, "-n", place, "--stage", "fetch")
    assert "fetch 1: " in said
    assert "stage fetch has ended well" in said
    assert lta(cluster, minio, tmp_path, "logs", RUN, "-n", place, "--stage", "fetch", "-f") == said

    # An endpoint that is Ready answers at once, through each of its gateways.
    cluster.kubectl(
        *("wait", "--for=condition=Ready", f"askep/{RUN}", "-n", place, f"--timeout={SERVE_PATIENCE:.0f}s"),
        timeout=SERVE_PATIENCE + 10,
    )
    served = next(one for one in seen[-1]["stages"] if one["stage"] == "serve")["summary"]["revision"]
    gateways = gateway_addresses(cluster, place)
    assert gateways
    for address in gateways:
        decision = asked(address)
        assert (decision.origin, decision.policy_revision) == ("model", served)
        assert decision.stop or decision.message.content
    shown = cluster.kubectl("get", "ltar", RUN, "-n", place, "-o", "jsonpath={.status.endpoint.address}")
    assert shown == f"{RUN}.{place}.svc:50051"
