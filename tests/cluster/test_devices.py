"""Devices that a driver offers (dynamic resource allocation): the scheduler allocates what `spec.pods` claims."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from learntoask.core.json_object import Json
from worlds.cluster.applied_manifests import manifest, stored
from worlds.cluster.cluster import Cluster
from worlds.cluster.fake_node import FAKE_NODE
from worlds.cluster.runs import SECONDS, Runs, until

pytestmark = [pytest.mark.usefixtures("operator", "fake_node"), pytest.mark.timeout(300)]
DRIVER = "gpu.learntoask.example"
API = "resource.k8s.io/v1"


@pytest.fixture
def devices(cluster: Cluster, namespace: str) -> Iterator[None]:
    """Two devices on the fake node, and a template for claims of one of them."""
    node = FAKE_NODE["metadata"]["name"]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    cel = {"cel": {"expression": f"device.driver == '{DRIVER}'"}}
    one = {"name": "one", "exactly": {"deviceClassName": DRIVER}}
    objects: list[Json] = [
        {"kind": "DeviceClass", "metadata": {"name": DRIVER}, "spec": {"selectors": [cel]}},
        {
            "kind": "ResourceSlice",
            "metadata": {"name": DRIVER},
            "spec": {
                "driver": DRIVER,
                "nodeName": node,
                "pool": pool,
                "devices": [{"name": "gpu-0"}, {"name": "gpu-1"}],
            },
        },
        {
            "kind": "ResourceClaimTemplate",
            "metadata": {"name": "one-gpu", "namespace": namespace},
            "spec": {"spec": {"devices": {"requests": [one]}}},
        },
    ]
    for body in objects:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": API, **body}))
    yield
    cluster.kubectl("delete", "resourceslice,deviceclass", DRIVER)


def _claiming(template: str) -> Json:
    return {
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": template}],
        "resources": {"claims": [{"name": "gpu"}]},
    }


@pytest.mark.usefixtures("devices")
def test_stages_and_servers_get_the_devices_that_they_claim(runs: Runs, cluster: Cluster) -> None:
    def claims() -> list[Json]:
        path = f"/apis/{API}/namespaces/{runs.namespace}/resourceclaims"
        return list(cluster.request("GET", path).body["items"])

    runs.apply(pods__prepare={**_claiming("one-gpu"), "annotations": {SECONDS: "5s"}})
    runs.wait(lambda _: runs.stage("prepare").get("state") == "Running")
    (claim,) = claims()
    (device,) = claim["status"]["allocation"]["devices"]["results"]
    assert (device["driver"], device["device"][:4]) == (DRIVER, "gpu-")
    (user,) = claim["status"]["reservedFor"]
    (pod,) = [one for one in runs.objects("pods") if one["metadata"]["name"] == user["name"]]
    assert pod["metadata"]["labels"]["learntoask.io/stage"] == "prepare"
    assert pod["spec"]["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
    policy = {"publication": "a" * 64, "policy": "a" * 64}
    spec = {"policy": policy, "replicas": 1, "pods": {"policyServer": _claiming("one-gpu")}}
    stored(cluster, manifest("AskEndpoint", spec, name="desk", namespace=runs.namespace))
    servers = "app.kubernetes.io/component=policy-server"
    until(
        lambda: (
            "Running" in cluster.kubectl("get", "pods", "-n", runs.namespace, "-l", servers, "--no-headers")
        ),
        what="the policy server with its device",
    )
    runs.wait_phase("Succeeded")


def test_a_template_that_does_not_exist_ends_the_run_early(runs: Runs) -> None:
    runs.apply(pods__resolve=_claiming("absent"))
    status = runs.wait_phase("Failed")
    assert status["reason"] == "CannotStart"
    assert 'resourceclaimtemplate.resource.k8s.io "absent" not found' in status["message"]


@pytest.mark.usefixtures("devices")
def test_a_claim_that_comes_late_is_waited_for_and_named(runs: Runs, cluster: Cluster) -> None:
    claims = {
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "late"}],
        "resources": {"claims": [{"name": "gpu"}]},
    }
    runs.apply(pods__resolve=claims)
    runs.wait(lambda status: "resourceClaims that it names exist: late" in status.get("message", ""))
    assert runs.stage("resolve")["reason"] == "WaitingForClaims"
    body = {
        "apiVersion": API,
        "kind": "ResourceClaim",
        "metadata": {"name": "late", "namespace": runs.namespace},
        "spec": {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": DRIVER}}]}},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    runs.wait_phase("Succeeded")
