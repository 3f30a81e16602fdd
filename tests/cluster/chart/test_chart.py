"""What the chart renders: a real API server accepts it, pods are restricted, and network access is limited to what is
needed.

Only a network plugin enforces NetworkPolicies, and no test here has one, so the tests read the rendered objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import service_name
from learntoask_operator.rbac import OWN, SELECTING, WATCHED, rules
from learntoask_operator.settings import parse_settings
from worlds.cluster.cluster import Cluster
from worlds.cluster.helm import CHART, COMBINATIONS, HOME, PREPARED, helm, of_kind, pod_templates, rendered
from worlds.cluster.toolchain import missing

pytestmark = [
    pytest.mark.skipif(
        bool(missing("helm")), reason="helm is not built: install Go and run `make chart-tools`"
    ),
    pytest.mark.timeout(300),
]
MINIO = CHART / "ci" / "minio-values.yaml"
TEAM = CHART / "ci" / "s3-namespaces-values.yaml"
LABELLED = CHART / "ci" / "labels-values.yaml"
MONITORED = CHART / "ci" / "monitoring-values.yaml"
EVERYTHING = CHART / "ci" / "everything-values.yaml"
LEAST = CHART / "ci" / "least-values.yaml"
FOREIGN = {
    "ServiceMonitor": "monitoring.coreos.com",
    "PodMonitor": "monitoring.coreos.com",
    "PrometheusRule": "monitoring.coreos.com",
    "GRPCRoute": "gateway.networking.k8s.io",
    "HTTPRoute": "gateway.networking.k8s.io",
    "Certificate": "cert-manager.io",
}
combinations = pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with the namespaces of the combinations, which refuse pods that are not restricted, and with the
    definitions of the Prometheus operator, the Gateway API and cert-manager."""
    for kind, group in FOREIGN.items():
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_foreign_definition(kind, group)))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{kind.lower()}s.{group}")
    for name in PREPARED:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    yield cluster
    for name in PREPARED:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@combinations
def test_lint_finds_nothing(values: Path) -> None:
    out = helm("lint", str(CHART), "--strict", f"--values={values}", "--kube-version=1.35.0")
    assert "0 chart(s) failed" in out


@combinations
def test_the_api_server_accepts_every_object(prepared: Cluster, values: Path) -> None:
    objects = rendered(values)
    assert of_kind(objects, "Deployment")
    for account in of_kind(objects, "ServiceAccount"):
        prepared.kubectl(
            "apply", "-f", "-", stdin=json.dumps(account)
        )  # without it, pods that name no account are refused
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    flags = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    said = prepared.kubectl("apply", *flags, "-f", "-", stdin=text, timeout=120)
    assert len(said.splitlines()) == len(objects)


@combinations
def test_no_pod_is_refused_by_the_restricted_level(prepared: Cluster, values: Path) -> None:
    objects = rendered(values)
    pods = pod_templates(objects)
    assert pods
    for account in of_kind(objects, "ServiceAccount"):
        prepared.kubectl("apply", "-f", "-", stdin=json.dumps(account))
    for pod in pods:
        pod["spec"].pop("priorityClassName", None)  # a quota restricts that class to its namespace
        answer = prepared.request("POST", f"/api/v1/namespaces/{HOME}/pods?dryRun=All", pod)
        assert answer.status == 201, answer.message
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    refused = {**pods[0], "spec": {**pods[0]["spec"], "securityContext": {"runAsUser": 0}}}
    answer = prepared.request("POST", f"/api/v1/namespaces/{HOME}/pods?dryRun=All", refused)
    assert answer.status == 403, "the level is not enforced, so nothing was tested"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("operator.replica=3", "replica"),
        ("scope=everything", "scope"),
        ("store.uri=/some/folder", "store.uri"),
        ("minio.bucket=Upper", "bucket"),
        ("store.accessKey=secret", "accessKey"),
    ],
)
def test_wrong_values_are_refused_by_name(values: str, says: str) -> None:
    with pytest.raises(RuntimeError, match=says):
        rendered(values)


def test_the_operator_reads_every_variable_that_it_is_given() -> None:
    for values in COMBINATIONS:
        (deployment,) = of_kind(rendered(values), "Deployment", "-operator")
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        environment = {one["name"]: one.get("value", "operator-0") for one in container["env"]}
        settings = parse_settings(container.get("args", []), environment)
        known = {f"LTA_OPERATOR_{name.upper()}" for name in vars(settings)}
        given = {name for name in environment if name.startswith("LTA_OPERATOR_")}
        assert given <= known
        assert settings.lease_namespace == HOME
        assert settings.image.endswith((":0.1.0", ":0.1.0-rc1"))


def test_settings_follow_scope_and_store() -> None:
    wide, team = _settings(MINIO), _settings(TEAM)
    assert wide.watched == (None,)
    assert team.watched == ("team-a", "team-b")
    assert wide.store_uri == "s3://learntoask/lta"
    assert wide.store_endpoint == f"http://lta-test-learntoask-minio.{HOME}.svc:9000"
    assert (team.store_uri, team.store_endpoint) == ("s3://team/lta", "https://s3.example.com:9443")
    assert team.store_credentials == "store-keys"
    assert wide.service_account == ""
    assert team.service_account == "lta-test-learntoask-workload"
    assert team.trainer_image == "registry.example/team/learntoask/trainer:0.1.0"
    assert team.judge_image.startswith("docker.io/vllm/")


def test_the_rights_are_those_that_the_operator_is_tested_under() -> None:
    wide, team = rendered(MINIO, "test.enabled=false", "rbac.aggregate=false"), rendered(TEAM)
    (everywhere,) = of_kind(wide, "ClusterRole")
    assert everywhere["rules"] == rules(WATCHED)
    (own,) = of_kind(wide, "Role")
    assert own["rules"] == rules(OWN)
    assert own["metadata"]["namespace"] == HOME
    assert not [one for one in team if one["kind"].startswith("Cluster") or "Custom" in one["kind"]]
    for name in ("team-a", "team-b"):
        (role,) = [one for one in of_kind(team, "Role", "-operator") if one["metadata"]["namespace"] == name]
        assert role["rules"] == rules(WATCHED)
    for values in COMBINATIONS:
        for one in of_kind(rendered(values), "ServiceAccount"):
            may = one["metadata"]["name"].endswith(("-operator", "-test", "-cleanup"))
            assert one.get("automountServiceAccountToken", True) is may


def test_namespaces_by_label_take_one_right_more() -> None:
    objects = rendered(LABELLED)
    settings = _settings(LABELLED)
    assert (settings.watched, settings.namespace_selector) == (
        (None,),
        "learntoask.io/runs in (enabled, trial)",
    )
    (role,) = of_kind(objects, "ClusterRole", "-operator")
    assert role["rules"] == rules(WATCHED + SELECTING)
    (cleanup,) = of_kind(objects, "CronJob")
    pod = cleanup["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert not [one for one in pod["containers"][0]["args"] if one.startswith("--namespace")]


def test_progress_goes_to_the_acting_replica_alone() -> None:
    objects = rendered(MINIO)
    (service,) = of_kind(objects, "Service", "-progress")
    (deployment,) = of_kind(objects, "Deployment", "-operator")
    template = deployment["spec"]["template"]
    selector = service["spec"]["selector"]
    assert selector.pop("learntoask.io/leader") == "true"
    assert selector.items() <= template["metadata"]["labels"].items()
    assert "learntoask.io/leader" not in template["metadata"]["labels"]
    host, _, port = _settings(MINIO).progress_address.rpartition(":")
    assert host == f"{service['metadata']['name']}.{HOME}.svc"
    assert int(port) == service["spec"]["ports"][0]["port"]
    assert not of_kind(rendered(LEAST), "Service", "-progress")


@pytest.mark.parametrize("values", [MINIO, TEAM], ids=["minio", "s3"])
def test_everything_is_denied_but_what_is_needed(values: Path) -> None:
    policies = of_kind(rendered(values), "NetworkPolicy")
    for namespace in (HOME,) if values == MINIO else ("team-a", "team-b"):
        here = [one["spec"] for one in policies if one["metadata"]["namespace"] == namespace]
        (deny,) = [one for one in here if len(one["podSelector"]["matchLabels"]) == 1]
        assert deny["podSelector"]["matchLabels"] == {"app.kubernetes.io/part-of": "learntoask"}
        assert deny["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in deny
        (names,) = deny["egress"]
        assert names.keys() == {"ports"}
        assert {one["port"] for one in names["ports"]} == {53, 5353}
        allowed = {_component(one["podSelector"]): one for one in here if one is not deny}
        assert {"stage", "grader", "judge", "gateway", "policy-server"} <= allowed.keys()
        assert _reached(allowed["policy-server"]["ingress"], 50051) == ["gateway"]
        assert _reached(allowed["grader"]["ingress"], 50052) == ["stage"]
        assert _reached(allowed["judge"]["ingress"], 8000) == ["stage", "grader"]
        assert _reached(allowed["gateway"]["egress"], 50051) == ["policy-server"]
        assert _reached(allowed["stage"]["egress"], 50055) == ["operator"]
        assert _reached(allowed["gateway"]["egress"], 50055) == ["operator"]
        assert allowed["judge"]["egress"] == []
        for component in ("policy-server", "judge", "grader"):
            assert not _open(allowed[component]["ingress"]), component
        store = {one["ports"][0]["port"] for one in allowed["policy-server"]["egress"]}
        assert store == ({9000} if values == MINIO else {9443})
    (operator,) = [one["spec"] for one in policies if one["metadata"]["name"].endswith("-operator")]
    assert _reached(operator["ingress"], 50055) == ["stage", "review", "gateway"]
    ports = [port["port"] for rule in operator["egress"] for port in rule["ports"]]
    assert ports == ([443, 6443] if values == MINIO else [6443])


def test_clients_of_gateways_are_those_that_were_named() -> None:
    (gateway,) = [
        one["spec"]
        for one in of_kind(rendered(TEAM), "NetworkPolicy", "-gateway")
        if one["metadata"]["namespace"] == "team-a"
    ]
    (asked,) = [rule for rule in gateway["ingress"] if rule["ports"][0]["port"] == 50051]
    *named, test = asked["from"]
    assert named == [
        {"namespaceSelector": {"matchLabels": {"team": "desk"}}},
        {"ipBlock": {"cidr": "203.0.113.0/24"}},
    ]
    assert _component(test["podSelector"]) == "test"
    assert test["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": HOME}}
    (own,) = of_kind(rendered(MINIO, "test.enabled=false"), "NetworkPolicy", "-gateway")
    (asked,) = [rule for rule in own["spec"]["ingress"] if rule["ports"][0]["port"] == 50051]
    assert asked["from"] == [{"podSelector": {}}]


def test_every_account_whose_pods_reach_the_store_has_the_cloud_identity() -> None:
    accounts = of_kind(rendered(EVERYTHING), "ServiceAccount")
    reaching = [one for one in accounts if not one["metadata"]["name"].endswith("-operator")]
    assert {one["metadata"]["name"] for one in reaching} == {"lta-pods", "lta-cleanup", "lta-test"}
    for one in reaching:
        assert one["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] == "arn:aws:iam::1:role/lta"


def test_scrapes_carry_the_token_that_the_operator_reads() -> None:
    token = "metrics.tokenSecret=metrics-token"
    objects, settings = rendered(MONITORED, token), _settings(MONITORED, token)
    (deployment,) = of_kind(objects, "Deployment", "-operator")
    pod = deployment["spec"]["template"]["spec"]
    mounts = {one["mountPath"]: one["name"] for one in pod["containers"][0]["volumeMounts"]}
    (volume,) = [
        one for one in pod["volumes"] if one["name"] == mounts[settings.metrics_token_file.rpartition("/")[0]]
    ]
    assert volume["secret"]["secretName"] == settings.metrics_token_secret == "metrics-token"
    endpoints = [of_kind(objects, "ServiceMonitor")[0]["spec"]["endpoints"][0]]
    endpoints += of_kind(objects, "PodMonitor")[0]["spec"]["podMetricsEndpoints"]
    for endpoint in endpoints:
        assert endpoint["authorization"] == {"credentials": {"name": "metrics-token", "key": "token"}}
    assert "authorization" not in json.dumps(of_kind(rendered(MONITORED), "PodMonitor"))


def test_the_operator_knows_the_receiver_of_traces_and_pods_may_reach_it() -> None:
    settings = _settings(EVERYTHING)
    assert settings.tracing_endpoint == "https://otel.example:4318/tenant"
    assert (settings.tracing_protocol, settings.tracing_ratio) == ("http/protobuf", 0.05)
    assert settings.tracing_headers_secret == "otel"
    for component in ("-stage", "-gateway", "-policy-server", "-grader"):
        for values, reached in ((EVERYTHING, True), (LEAST, False)):
            for policy in of_kind(rendered(values, "networkPolicy.enabled=true"), "NetworkPolicy", component):
                ports = [
                    one["port"]
                    for rule in policy["spec"]["egress"]
                    if "to" not in rule
                    for one in rule["ports"]
                ]
                assert (4318 in ports) is reached


def test_an_endpoint_is_reached_from_outside_by_route_and_ingress() -> None:
    objects = rendered(MONITORED)
    (endpoint,) = of_kind(objects, "AskEndpoint")
    access = endpoint["spec"]["gateway"]
    (route,) = of_kind(objects, "GRPCRoute")
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": "desk", "port": access["service"]["port"]}]}]
    assert route["spec"]["hostnames"] == ["desk.example.com"]
    (ingress,) = of_kind(objects, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    service = rule["http"]["paths"][0]["backend"]["service"]
    assert service == {"name": "desk", "port": {"number": access["service"]["port"]}}
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]
    front, servers = of_kind(objects, "Certificate")
    assert front["spec"]["secretName"] == access["access"]["tlsSecret"]
    assert f"desk.{HOME}.svc" in front["spec"]["dnsNames"]
    assert servers["spec"]["secretName"] == endpoint["spec"]["servers"]["tls"]["secret"]
    assert servers["spec"]["dnsNames"] == [f"desk-policy.{HOME}.svc"]
    assert servers["spec"]["duration"] == "720h"


def test_the_certificate_of_the_operator_is_for_the_address_that_pods_call() -> None:
    objects, settings = rendered(EVERYTHING), _settings(EVERYTHING)
    (certificate,) = of_kind(objects, "Certificate")
    assert certificate["spec"]["dnsNames"] == [settings.progress_address.rpartition(":")[0]]
    (deployment,) = of_kind(objects, "Deployment", "-operator")
    pod = deployment["spec"]["template"]["spec"]
    folder = settings.progress_certificate.rpartition("/")[0]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["mountPath"] == folder]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    assert volume["secret"]["secretName"] == certificate["spec"]["secretName"]
    assert settings.progress_ca == "lta-authority"
    own = ("progress.tls.secret=own", "progress.tls.issuerRef=null")
    assert of_kind(rendered(EVERYTHING, *own), "Certificate") == []
    assert _settings(LEAST).progress_certificate == ""


def test_the_page_of_a_review_is_reached_from_outside_by_route_and_ingress() -> None:
    objects = rendered(
        LEAST,
        "review.run=clinic",
        "review.namespace=care",
        "review.route.enabled=true",
        "review.route.parentRefs[0].name=public",
        "review.ingress.enabled=true",
        "review.ingress.host=review.example",
    )
    (route,) = of_kind(objects, "HTTPRoute")
    name = service_name("clinic", "review")
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": name, "port": 8080}]}]
    (ingress,) = of_kind(objects, "Ingress")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": name, "port": {"number": 8080}}
    assert {route["metadata"]["namespace"], ingress["metadata"]["namespace"]} == {"care"}


def test_pages_of_reviews_are_open_to_reviewers_alone_and_may_tell_the_operator() -> None:
    (policy,) = of_kind(
        rendered(
            LEAST,
            "networkPolicy.enabled=true",
            "networkPolicy.reviewers[0].podSelector.matchLabels.app=proxy",
        ),
        "NetworkPolicy",
        "-review",
    )
    assert policy["spec"]["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"app": "proxy"}}}],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        }
    ]


def test_without_network_policies_there_are_none() -> None:
    assert of_kind(rendered(LEAST), "NetworkPolicy") == []


def test_the_dashboard_is_json_and_finds_its_data_source() -> None:
    (config,) = of_kind(rendered(MONITORED), "ConfigMap", "-dashboard")
    dashboard = json.loads(config["data"]["learntoask.json"])
    drawn = [one for one in dashboard["panels"] if one["type"] != "row"]
    assert len(drawn) > 10
    assert all(one["datasource"]["uid"] == "${datasource}" and one["targets"] for one in drawn)


def _settings(*values: Path | str) -> Any:
    (deployment,) = of_kind(rendered(*values), "Deployment", "-operator")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return parse_settings([], {one["name"]: one.get("value", "operator-0") for one in container["env"]})


def _component(selector: Json) -> str:
    return str(selector["matchLabels"].get("app.kubernetes.io/component", ""))


def _reached(sides: list[Json], port: int) -> list[str]:
    """The components that a rule allows at `port`."""
    peers = [
        peer
        for rule in sides
        if any(one["port"] == port for one in rule.get("ports", []))
        for peer in rule.get("from") or rule.get("to") or []
    ]
    return [_component(peer["podSelector"]) for peer in peers]


def _open(sides: list[Json]) -> list[Json]:
    """Rules that allow every caller at a port other than that of metrics."""
    return [
        rule
        for rule in sides
        if rule.get("ports", [{}])[0].get("port") != 9090
        and any("podSelector" not in peer or not peer["podSelector"] for peer in rule.get("from") or [{}])
    ]


def _foreign_definition(kind: str, group: str) -> Json:
    """The smallest definition of a kind of another project that lets an object be stored."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
