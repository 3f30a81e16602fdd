"""The node of processes that tests and the development cluster use: names of Services, and pods that it cannot run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from learntoask.core.json_object import Json
from worlds.cluster.cluster import Cluster
from worlds.cluster.pod_place import SITE
from worlds.cluster.pod_runner import PodRunner
from worlds.cluster.runs import until

_LOOK_UP = """
import asyncio, json, sys
import uvloop
from learntoask.serving.gateway.resolver import resolve
run = uvloop.run if sys.argv[1] == "uvloop" else asyncio.run
print(json.dumps([sorted(run(resolve([name])).addresses) for name in sys.argv[2:]]))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_names_of_services_resolve_on_the_event_loop_of_the_gateway(loop: str, tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"desk-policy.lab.svc": ["127.1.0.1", "127.1.0.2"], "empty.lab.svc": []}))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SITE), os.environ.get("PYTHONPATH", "")]),
        "LTA_TEST_NAMES": str(names),
    }
    asked = ["desk-policy.lab.svc:50051", "empty.lab.svc:50051", "127.0.0.1:1"]
    said = subprocess.run(
        [sys.executable, "-c", _LOOK_UP, loop, *asked],
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    ).stdout
    assert json.loads(said) == [["127.1.0.1:50051", "127.1.0.2:50051"], [], ["127.0.0.1:1"]]


@pytest.mark.timeout(300)
def test_a_pod_that_it_cannot_run_does_not_end_the_others(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """As `helm install` brings: pods with the token of a service account, and with other commands than `lta`."""
    if cluster.plane is None:
        pytest.skip("runs pods as processes of this machine, so it needs a cluster of its own")
    path = f"/api/v1/namespaces/{namespace}"
    account = f"{path}/serviceaccounts/default"
    until(lambda: cluster.request("GET", account).status == 200, what="the service account")

    def pod(name: str) -> Json:
        return cluster.request("GET", f"{path}/pods/{name}").body

    def state(name: str) -> Json:
        found = pod(name).get("status", {}).get("containerStatuses") or [{}]
        return dict(found[0].get("state") or {})

    with PodRunner(cluster.kubeconfig, tmp_path / "pods"):
        for name, command in (("operator", ["python", "-m", "learntoask_operator"]), ("image", None)):
            _create(cluster, namespace, name, command)
            until(lambda name=name: "waiting" in state(name), what=f"pod {name} to be refused")
            assert "this runner knows lta only" in state(name)["waiting"]["message"]
        _create(cluster, namespace, "client", ["lta", "--help"])
        until(lambda: "terminated" in state("client"), what="the end of pod client")
        assert state("client")["terminated"]["exitCode"] == 0
        (root,) = (tmp_path / "pods").glob("client-*/var/run/secrets/kubernetes.io/serviceaccount")
        assert {file.name for file in root.iterdir()} == {"token", "ca.crt", "namespace"}
        assert (root / "namespace").read_text() == namespace
        assert (root / "ca.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")


def _create(cluster: Cluster, namespace: str, name: str, command: list[str] | None) -> None:
    container = {"name": "main", "image": "any", **({"command": command} if command else {})}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    answer = cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)
    assert answer.status == 201, answer.message
