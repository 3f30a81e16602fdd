"""The pharmacy's run as users run it: `lta apply`, the real operator, MinIO, and at the end answers over gRPC.

The cluster is the one that docs/cluster.md describes for development: pods are processes of this machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from learntoask.client import Client, Decision, user
from worlds.cluster.cluster import Cluster
from worlds.cluster.development import DevelopmentCluster, development_cluster
from worlds.cluster.toolchain import ROOT

PHARMACY = ROOT / "examples" / "pharmacy"
RUN = "pharmacy-tiny"
RUN_PATIENCE, SERVE_PATIENCE = 1200.0, 480.0


@pytest.fixture
def development(cluster: Cluster, tmp_path: Path) -> Iterator[DevelopmentCluster]:
    with development_cluster(cluster, tmp_path) as made:
        yield made


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


def asked(address: str) -> Decision:
    """The answer of a gateway to a customer."""
    with Client(address, timeout=60) as client:
        return client.decide([user("hi, I have had a sore throat")])


@pytest.mark.timeout(1900)
def test_from_a_manifest_to_an_answer(development: DevelopmentCluster, tmp_path: Path) -> None:
    place = development.namespace
    applied = development.lta("apply", str(smaller(tmp_path)), "-n", place, folder=tmp_path)
    assert "logs.jsonl uploaded" in applied
    assert "pack.yaml uploaded" in applied
    seen = development.follow(RUN, folder=tmp_path, until=lambda _: False, patience=RUN_PATIENCE)
    assert seen[-1]["outcome"] == "Succeeded", f"{seen[-1]}\n{development.operator.log.read_text()[-3000:]}"
    print(development.lta("status", "--cluster", RUN, "-n", place, folder=tmp_path))
    assert {stage["state"] for stage in seen[-1]["stages"]} == {"Published"}
    pushed = [
        stage
        for status in seen
        for stage in status["stages"]
        if stage["progress"] and stage["progress"]["percent"]
    ]
    assert pushed, "no progress was ever seen"
    said = development.lta("logs", RUN, "-n", place, "--stage", "fetch", folder=tmp_path)
    assert "fetch 1: " in said
    assert "stage fetch has ended well" in said
    assert development.lta("logs", RUN, "-n", place, "--stage", "fetch", "-f", folder=tmp_path) == said

    # An endpoint that is Ready answers at once, through each of its gateways.
    kubectl = development.cluster.kubectl
    kubectl(
        *("wait", "--for=condition=Ready", f"askep/{RUN}", "-n", place, f"--timeout={SERVE_PATIENCE:.0f}s"),
        timeout=SERVE_PATIENCE + 10,
    )
    served = next(stage for stage in seen[-1]["stages"] if stage["stage"] == "serve")["summary"]["revision"]
    gateways = development.ready_pods("gateway")
    assert gateways
    for pod in gateways:
        decision = asked(f"{pod['status']['podIP']}:50051")
        assert (decision.origin, decision.policy_revision) == ("model", served)
        assert decision.stop or decision.message.content
    shown = kubectl("get", "ltar", RUN, "-n", place, "-o", "jsonpath={.status.endpoint.address}")
    assert shown == f"{RUN}.{place}.svc:50051"
