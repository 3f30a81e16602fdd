"""Releases of the chart in a real cluster: installed in both scopes, upgraded under live objects, and uninstalled."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from learntoask.core.json_object import Json
from worlds.cluster.applied_manifests import ENDPOINT, RUN, collection, manifest, stored
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.helm import CHART, HOME, RELEASE, Release, of_kind, rendered
from worlds.cluster.operator_process import OperatorProcess, calls
from worlds.cluster.runs import OPERATOR_FLAGS, Runs, until
from worlds.cluster.toolchain import CONTROL_PLANE, missing

_ABSENT = missing("helm", "kwok", *CONTROL_PLANE)
pytestmark = [
    pytest.mark.skipif(
        bool(_ABSENT), reason=f"not built: {', '.join(_ABSENT)}; install Go and run `make chart-tools`"
    ),
    pytest.mark.timeout(600),
]
OLDER_CRDS = Path(__file__).parents[1] / "older_crds"
MINIO = "minio.enabled=true"
KEYS = f"{RELEASE}-learntoask-store"
TEAMS = ("team-a", "team-b")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for this file, without our definitions, because releases install them."""
    plane = ControlPlane(tmp_path_factory.mktemp("bare"), audit=True)
    try:
        plane.start()
        plane.start_fake_node()
        yield Cluster(plane.kubeconfig, plane)
    finally:
        plane.stop()


@pytest.fixture
def release(bare: Cluster) -> Iterator[Release]:
    """A release that is not installed yet, in namespaces that refuse pods which are not restricted."""
    for name in (HOME, *TEAMS):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        bare.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    yield Release(bare)
    for kind in ("crd", "clusterrole", "clusterrolebinding"):
        bare.kubectl("delete", kind, "-l", "app.kubernetes.io/part-of=learntoask", "--wait", timeout=90)
    bare.kubectl("delete", "namespace", HOME, *TEAMS, "--wait", timeout=120)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """An earlier version of the chart, with earlier definitions and without NetworkPolicies."""
    chart = tmp_path / "learntoask"
    shutil.copytree(CHART, chart)
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**metadata, "version": "0.0.9", "appVersion": "0.0.9"}))
    (chart / "templates" / "networkpolicies.yaml").unlink()
    for path in OLDER_CRDS.glob("*.yaml"):
        kept = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n"
        (chart / "files" / "crds" / path.name).write_text(path.read_text().replace("metadata:\n", kept, 1))
    return chart


def test_a_cluster_wide_release_with_its_endpoint_comes_changes_and_goes(
    release: Release, older: Path
) -> None:
    """Upgrade from an older version to this one while a run, an endpoint and the release's own endpoint exist."""
    cluster = release.cluster
    endpoint = ("endpoint.enabled=true", "endpoint.name=desk", "endpoint.spec.policy.run=clinic")
    release.install(MINIO, *endpoint, chart=older)
    live = [
        stored(cluster, manifest("LearnToAskRun", RUN, name="clinic", namespace=HOME)),
        stored(cluster, manifest("AskEndpoint", ENDPOINT, name="live", namespace="team-a")),
        cluster.request("GET", f"{collection('AskEndpoint', HOME)}/desk").body,
    ]
    keys = _secret(cluster, KEYS)
    assert {name: len(base64.b64decode(key)) for name, key in keys.items()} == {
        "accessKey": 20,
        "secretKey": 40,
    }
    assert not _knows_start_deadline(cluster)

    notes = release.upgrade(MINIO, *endpoint)
    assert "helm test" in notes
    assert "took it over as it is" in notes
    assert _knows_start_deadline(cluster)
    for before in live:
        now = cluster.request("GET", f"{_place(before)}").body
        assert now["metadata"]["uid"] == before["metadata"]["uid"]
        assert "deletionTimestamp" not in now["metadata"]
    assert _secret(cluster, KEYS) == keys
    policies = cluster.kubectl("get", "networkpolicy", "-n", HOME, "-o", "name").splitlines()
    assert len(policies) > 5
    notes = release.upgrade(MINIO, *endpoint, "endpoint.spec.replicas=3")
    assert "took it over" not in notes
    assert cluster.request("GET", _place(live[2])).body["spec"]["replicas"] == 3
    assert _secret(cluster, KEYS) == keys

    release.uninstall()
    assert cluster.kubectl("get", "deployment,service,role,networkpolicy", "-n", HOME, "-o", "name") == ""
    for before in live:
        now = cluster.request("GET", _place(before)).body
        assert now["metadata"]["uid"] == before["metadata"]["uid"]
        assert "deletionTimestamp" not in now["metadata"]
    assert _secret(cluster, KEYS) == keys
    release.install(MINIO)
    assert _secret(cluster, KEYS) == keys, "the keys no longer open the volume that stayed"
    release.uninstall()


def test_keys_are_shown_nowhere(release: Release) -> None:
    release.install(MINIO, f"namespaces={{{HOME},team-a}}")
    keys = _secret(release.cluster, KEYS)
    assert keys == _secret(release.cluster, KEYS, namespace="team-a")
    shown = [release.get("values", "--all"), release.get("notes"), release.get("hooks")]
    objects = [one for one in yaml.safe_load_all(release.get("manifest")) if one]
    assert of_kind(objects, "Secret")
    shown += [json.dumps(one) for one in objects if one["kind"] != "Secret"]
    shown.append(release.cluster.kubectl("get", "all,configmap,event", "-n", HOME, "-o", "json"))
    for text in shown:
        for key in keys.values():
            assert key not in text
            assert base64.b64decode(key).decode() not in text
    release.uninstall()


def test_the_operator_of_a_namespaced_release_works_with_the_rights_and_settings_it_gets(
    release: Release, tmp_path: Path
) -> None:
    """No pod of a run or an endpoint is refused in namespaces that only accept restricted pods."""
    cluster = release.cluster
    places = f"namespaces={{{','.join(TEAMS)}}}"
    release.install("scope=namespaces", places, "store.uri=s3://artefacts/lta")
    operator = _Installed(cluster.plane, tmp_path, (*_flags(cluster), *OPERATOR_FLAGS))
    tried = _trial(cluster, tmp_path, places)
    try:
        operator.start()
        runs = Runs(cluster, "team-a")
        runs.apply("clinic", grader={"replicas": 1}, train__distributed={"workers": 2, "zero": 1})
        body = stored(cluster, manifest("AskEndpoint", _served(), name="live", namespace="team-b"))
        runs.wait_phase("Succeeded", "clinic", patience=300)
        until(  # its pods are accepted and run; no process is in them that could see a server
            lambda: _ready_reason(cluster.request("GET", _place(body)).body) == "GatewaysSilent",
            what="the endpoint in the other namespace",
        )
        assert tried.stdout is not None
        said = next((line for line in tried.stdout if "GatewaysSilent" in line), "")
        assert f"endpoint {RELEASE}-learntoask-test" in said  # its own run has succeeded
        tried.terminate()  # it would wait for a gateway, and this node runs nothing
        assert tried.wait(timeout=300) == 143
    finally:
        tried.kill()
        operator.stop()
    assert not runs.get(f"{RELEASE}-learntoask-test")
    accounts = (_Installed.user, f"system:serviceaccount:{HOME}:{RELEASE}-learntoask-test")
    made = [one for one in calls(cluster.plane.audit_log) if one.user in accounts]
    assert {one.user for one in made} == set(accounts)
    assert {one.namespace for one in made} >= {HOME, *TEAMS}
    refused = sorted({(one.verb, one.resource, one.namespace) for one in made if one.status == 403})
    assert refused == []
    pods = json.loads(cluster.kubectl("get", "pods", "-n", "team-a", "-o", "json"))["items"]
    assert {one["spec"]["serviceAccountName"] for one in pods} == {f"{RELEASE}-learntoask-workload"}
    events = json.loads(cluster.kubectl("get", "events", "-A", "-o", "json"))["items"]
    assert [one["message"] for one in events if "violates PodSecurity" in one.get("message", "")] == []
    release.uninstall()


class _Installed(OperatorProcess):
    """Run the operator with the account of the release."""

    user = f"system:serviceaccount:{HOME}:{RELEASE}-learntoask-operator"

    def start(self) -> None:
        config = self.folder / "installed.kubeconfig"
        account = self.user.rpartition(":")[2]
        token = self.plane.kubectl("create", "token", account, "-n", HOME, "--duration=1h").strip()
        self.plane.kubeconfig_of(self.user, token=token, path=config)
        self.flags = (*self.flags, f"--kubeconfig={config}")
        super().start()


def _trial(cluster: Cluster, folder: Path, places: str) -> subprocess.Popen[str]:
    """Do what the pod of `helm test` does, with its rights; its logs and pack are in the store already."""
    name = f"{RELEASE}-learntoask-test"
    objects = rendered("scope=namespaces", places, "store.uri=s3://artefacts/lta")
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(of_kind(objects, kind, "-test")[0]))
    body = yaml.safe_load(of_kind(objects, "ConfigMap", "-test")[0]["data"]["run.yaml"])
    assert body["metadata"]["name"] == name
    body["spec"] |= RUN
    (folder / "run.yaml").write_text(yaml.safe_dump(body))
    config = folder / "test.kubeconfig"
    token = cluster.kubectl("create", "token", name, "-n", HOME, "--duration=1h").strip()
    cluster.plane.kubeconfig_of(name, token=token, path=config)
    (pod,) = of_kind(objects, "Pod", "-test")
    lta, *command = pod["spec"]["containers"][0]["command"]
    assert lta == "lta"
    command = [str(folder / "run.yaml") if one == "/test/run.yaml" else one for one in command]
    return subprocess.Popen(
        [sys.executable, "-m", "learntoask.cli.app", *command],
        env={**os.environ, "KUBECONFIG": str(config), "LTA_HOME": str(folder), "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _flags(cluster: Cluster) -> list[str]:
    """The variables of the operator's Deployment as flags."""
    found = cluster.kubectl("get", "deployment", f"{RELEASE}-learntoask-operator", "-n", HOME, "-o", "json")
    container = json.loads(found)["spec"]["template"]["spec"]["containers"][0]
    given = {one["name"]: one.get("value", "") for one in container["env"] if "valueFrom" not in one}
    prefix = "LTA_OPERATOR_"
    return [
        f"--{name.removeprefix(prefix).lower().replace('_', '-')}={value}"
        for name, value in given.items()
        if name.startswith(prefix)
    ]


def _ready_reason(endpoint: Json) -> str:
    conditions = endpoint.get("status", {}).get("conditions", [])
    return next((str(found["reason"]) for found in conditions if found["type"] == "Ready"), "")


def _served() -> Json:
    policy = {"publication": "a" * 64, "policy": "b" * 64}
    return {"policy": policy, "rollout": {"drain": "1s"}, "autoscaling": {"max": 2}}


def _place(body: Json) -> str:
    return f"{collection(body['kind'], body['metadata']['namespace'])}/{body['metadata']['name']}"


def _secret(cluster: Cluster, name: str, namespace: str = HOME) -> dict[str, str]:
    return dict(cluster.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}").body["data"])


def _knows_start_deadline(cluster: Cluster) -> bool:
    """Whether the definition has a field that the older one lacks."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/learntoaskruns.learntoask.io"
    return "startDeadline" in json.dumps(cluster.request("GET", path).body)
