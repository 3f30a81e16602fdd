"""Values as people type them: numbers of any size are rendered as they are, and names and labels that look like numbers
stay strings. Values that something would refuse or ignore later are refused at install, by name and with what to do.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from learntoask.core.json_object import Json
from worlds.cluster.cluster import Cluster
from worlds.cluster.helm import CHART, COMBINATIONS, REGISTRY, helm, of_kind, pod_templates, rendered
from worlds.cluster.toolchain import ROOT, missing

pytestmark = [
    pytest.mark.skipif(
        bool(missing("helm")), reason="helm is not built: install Go and run `make chart-tools`"
    ),
    pytest.mark.timeout(300),
]
CASE = ROOT / "tests" / "data" / "cases" / "helm-values" / "uid.yaml"
USER = 1000650000  # OpenShift gives every namespace its own range
EVERYTHING = next(path for path in COMBINATIONS if path.stem.startswith("everything"))


def test_the_user_of_openshift_is_rendered_as_the_number_that_it_is(tmp_path: Path) -> None:
    objects = rendered(_without(CASE, "minio", tmp_path))
    (deployment,) = of_kind(objects, "Deployment", "-operator")
    environment = _environment(deployment)
    assert environment["LTA_OPERATOR_POD_USER"] == str(USER)
    for kind, name in (("CronJob", "-cleanup"), ("Pod", "-test")):
        (pod,) = pod_templates(of_kind(objects, kind, name))
        assert {
            pod["spec"]["securityContext"][field] for field in ("runAsUser", "runAsGroup", "fsGroup")
        } == {USER}


def test_the_case_as_it_stands_is_refused_for_all_that_would_be_ignored() -> None:
    with pytest.raises(RuntimeError) as refused:
        helm("template", "lta", str(CHART), f"--values={CASE}", "--kube-version=1.35.0")
    said = _error(refused.value)
    for name in ("image.registry", "store.credentialsSecret (k)", "store.uri (s3://b/p)", "minio.bucket"):
        assert name in said


def test_no_number_is_written_with_an_exponent(tmp_path: Path) -> None:
    """Helm reads every number of a values file as a float."""
    large = {
        "workloads": {"user": USER},
        "operator": {
            "podSecurityContext": {"runAsUser": USER},
            "extraEnv": [{"name": "SIZE", "value": "10000000"}],
            "resources": {"requests": {"memory": 200000000}, "limits": {"memory": 3000000000}},
            "podAnnotations": {"build": 20261129001},
        },
        "minio": {"enabled": True, "persistence": {"size": 50000000000}},
        "metrics": {"rules": {"enabled": True, "latencySeconds": 2000000}},
        "endpoint": {
            "enabled": True,
            "spec": {"policy": {"run": "clinic"}, "gateway": {"maxInFlight": 1000000}},
        },
        "test": {"pods": {"all": {"tolerations": [{"key": "a", "tolerationSeconds": 10000000}]}}},
        "networkPolicy": {"store": {"ports": [65535]}},
    }
    values = tmp_path / "large.yaml"
    values.write_text(yaml.safe_dump(large))
    text = helm(
        "template",
        "lta",
        str(CHART),
        f"--values={values}",
        "--set=image.registry=r.example,crds.install=false",
        *_EVERY_KIND,
    )
    ours = [
        part for part in text.split("\n---\n") if "session_id" not in part
    ]  # without the logs of the test
    assert re.findall(r"\b\d(?:\.\d+)?e\+?\d+", "".join(ours)) == []
    (pod,) = [pod["spec"] for pod in pod_templates(of_kind(rendered(values), "Deployment", "-operator"))]
    assert pod["securityContext"]["runAsUser"] == USER
    assert pod["containers"][0]["resources"]["limits"]["memory"] == 3000000000


@pytest.mark.parametrize("release", ["2024", "1e3", "0x1f", "a.b", "true"])
def test_names_and_labels_that_look_like_numbers_stay_strings(release: str, tmp_path: Path) -> None:
    values = tmp_path / "labels.yaml"
    labels = {"team": 1234, "cost": 1e3, "debug": True, "release": "08"}
    values.write_text(
        yaml.safe_dump(
            {
                "commonLabels": labels,
                "commonAnnotations": {"version": 1.1, "since": 20240101},
                "namespaces": ["1234"],
                "operator": {"podLabels": {"gpu": False}, "nodeSelector": {"gpu": False, "zone": 2}},
                "minio": {"enabled": True, "podAnnotations": {"backup": True}, "nodeSelector": {"ssd": True}},
                "metrics": {"podMonitor": {"enabled": True, "labels": {"release": 5}}},
                "image": {"registry": "registry.example:5000/team"},
            }
        )
    )
    text = helm("template", release, str(CHART), "--namespace=1234", f"--values={values}", *_EVERY_KIND)
    objects = [body for body in yaml.safe_load_all(text) if body]
    assert len(objects) > 15
    for body in objects:
        for path, found in _strings_of(body):
            assert isinstance(found, str), (body["kind"], path, found)
        if "learntoask.io/v1" in str(body.get("spec", {}).get("group")):
            continue
        name = body["metadata"]["name"]
        assert isinstance(name, str)
        if body["kind"] == "Service":
            assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name), "the API server refuses other names"
    (deployment,) = of_kind(objects, "Deployment", "-operator")
    assert deployment["metadata"]["labels"]["app.kubernetes.io/instance"] == release
    assert (
        deployment["metadata"]["labels"].items() >= {"team": "1234", "debug": "true", "cost": "1000"}.items()
    )
    assert deployment["metadata"]["annotations"] == {"version": "1.1", "since": "20240101"}
    assert deployment["spec"]["template"]["spec"]["nodeSelector"] == {"gpu": "false", "zone": "2"}


def test_the_api_server_accepts_a_release_whose_names_are_numbers(cluster: Cluster) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "1234"}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    text = helm(
        "template", "2024", str(CHART), "--namespace=1234", f"--values={EVERYTHING}",
        "--set=fullnameOverride=,namespaces=null,test.enabled=false,progress.tls.issuerRef=null,progress.tls.secret=tls",
        *_EVERY_KIND,
    )  # fmt: skip
    try:
        flags = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
        assert cluster.kubectl("apply", *flags, "-f", "-", stdin=text, timeout=120)
    finally:
        cluster.kubectl("delete", "namespace", "1234", "--wait=false")


def test_labels_of_ours_cannot_be_replaced() -> None:
    objects = rendered(
        r"commonLabels.app\.kubernetes\.io/name=mine",
        r"operator.podLabels.app\.kubernetes\.io/component=mine",
    )
    (deployment,) = of_kind(objects, "Deployment", "-operator")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_a_strategy_of_another_type_drops_what_belongs_to_the_default_one() -> None:
    (deployment,) = of_kind(rendered("operator.strategy.type=Recreate"), "Deployment", "-operator")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_pods_that_are_not_ready_never_block_the_drain_of_a_node() -> None:
    (budget,) = of_kind(rendered("operator.pdb.maxUnavailable=50%"), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == "50%"
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


WRONG: dict[str, tuple[str, ...]] = {
    "workloads.user=-1": ("user",),
    "workloads.user=4294967296": ("user",),
    "images.operator.digest=sha256:abc": ("images", "digest"),
    "images.trainer.repository=learntoask/trainer:1.0": ("trainer", "repository"),
    "images.services.tag=a/b": ("services", "tag"),
    "image.registry=https://registry.example/team": ("registry",),
    "image.pullSecrets[0].name=key": ("pullSecrets",),
    "networkPolicy.apiServer.cidrs={10.0.0.1}": ("apiServer", "cidrs"),
    "networkPolicy.store.cidrs={10.0.0.0/33}": ("store", "cidrs"),
    "networkPolicy.clients[0].ipBlock.cidr=300.0.0.0/8": ("clients", "cidr"),
    "networkPolicy.clients[0].matchLabels.team=desk": ("clients", "matchLabels"),
    "networkPolicy.dnsPorts={0}": ("dnsPorts",),
    "minio.persistence.size=50GB": ("persistence", "size"),
    "operator.resources.limits.memory=768MiB": ("limits", "memory"),
    "operator.leaseTime=1500ms": ("leaseTime",),
    "operator.leaseTime=15": ("leaseTime",),
    "operator.grace=half a minute": ("grace",),
    "cleanup.olderThan=7d": ("olderThan",),
    "cleanup.schedule=every night": ("schedule",),
    "test.timeout=20 minutes": ("timeout",),
    "metrics.serviceMonitor.interval=30": ("serviceMonitor", "interval"),
    "metrics.rules.runbook=https://wiki.example/runbook": ("runbook",),
    "store.uri=s3://Team_Bucket/lta": ("store", "uri"),
    "store.endpoint=minio.example:9000": ("endpoint",),
    "store.endpoint=https://minio.example/bucket": ("endpoint",),
    "store.credentialsSecret=My_Secret": ("credentialsSecret",),
    "operator.extraEnv[0].value=1": ("extraEnv",),
    "operator.logLevel=debug": ("logLevel",),
    "fullnameOverride=2024": ("fullnameOverride",),
    "commonLabels.team=a b": ("commonLabels", "team"),
    "operator.pdb.maxUnavailable=half": ("maxUnavailable",),
    "operator.strategy.type=Rolling": ("strategy", "type"),
    "minio.persistence.accessModes={RWO}": ("accessModes",),
    "image.pullPolicy=IfNotThere": ("pullPolicy",),
    "tracing.endpoint=collector:4317": ("tracing", "endpoint"),
    "tracing.endpoint=http://collector": ("tracing", "endpoint"),
    "tracing.protocol=http": ("tracing", "protocol"),
    "tracing.sampleRatio=5": ("tracing", "sampleRatio"),
}


@pytest.mark.parametrize(("value", "names"), WRONG.items(), ids=WRONG)
def test_a_wrong_value_is_refused_by_its_name(value: str, names: tuple[str, ...]) -> None:
    with pytest.raises(RuntimeError) as refused:
        rendered(value)
    said = _error(refused.value)
    assert "values don't meet the specifications of the schema" in said
    for name in names:
        assert name in said


APART: dict[tuple[str, ...], str] = {
    ("image.registry=",): "Push the images to a registry of yours (docs/images.md) and set image.registry",
    ("operator.leaseTime=10s", "operator.leaseRenewal=10s"): "at most half of operator.leaseTime (10s)",
    ("operator.leaseTime=1m", "operator.leaseRenewal=31s"): "at most half of operator.leaseTime (1m)",
    ("operator.leaseRenewal=0s",): "operator.leaseRenewal (0s) must be at least 1s",
    ("operator.grace=0m",): "operator.grace (0m) must be at least 1s",
    ("minio.enabled=true", "store.uri=s3://other/lta"): "minio.bucket=other",
    ("minio.enabled=true", "store.endpoint=https://s3.example"): "store.endpoint (https://s3.example) would be",
    ("minio.enabled=true", "store.credentialsSecret=keys"): "minio.existingSecret names a Secret",
    ("minio.enabled=true", "store.caConfigMap=authority"): "store.caConfigMap (authority) would be ignored",
    ("store.endpoint=https://s3.example",): "Set store.uri=s3://bucket/prefix",
    ("store.region=eu-central-1",): "Set store.uri=s3://bucket/prefix",
    ("endpoint.enabled=true",): "endpoint.spec.policy.run=clinic",
    ("endpoint.enabled=true", "endpoint.spec.replicas=2"): "endpoint.spec.policy.run=clinic",
    (
        "endpoint.enabled=true", "endpoint.spec.policy.run=clinic", "scope=namespaces", "namespaces={team-a}",
    ): "endpoint.namespace (learntoask-test) is not among",
    ("endpoint.route.enabled=true",): "needs endpoint.route.parentRefs",
    ("review.ingress.enabled=true", "review.ingress.host=r.example"): "need review.run",
    ("review.ingress.enabled=true", "review.run=clinic"): "needs review.ingress.host",
    ("review.route.enabled=true", "review.run=clinic"): "needs review.route.parentRefs",
    ("endpoint.ingress.enabled=true",): "needs endpoint.ingress.host",
    ("endpoint.certificate.enabled=true",): "needs endpoint.certificate.issuerRef.name",
    (
        "endpoint.enabled=true",
        "endpoint.spec.policy.run=clinic",
        "endpoint.certificate.enabled=true",
        "endpoint.certificate.issuerRef.name=internal",
    ): "Set endpoint.spec.gateway.access.tlsSecret=ask-tls",
    ("cleanup.schedule=@daily",): "Set store.uri or minio.enabled",
    ("scope=labels",): "scope=labels needs namespaceSelector",
    ("namespaceSelector=team=care",): "namespaceSelector (team=care) would be ignored",
    ("metrics.port=8080",): "must differ from each other and from 8080",
    ("metrics.port=50055",): "must differ from each other and from 8080",
    ("endpoint.serverCertificate.enabled=true",): "needs endpoint.serverCertificate.issuerRef.name",
    (
        "endpoint.enabled=true",
        "endpoint.spec.policy.run=clinic",
        "endpoint.serverCertificate.enabled=true",
        "endpoint.serverCertificate.issuerRef.name=internal",
    ): "Set endpoint.spec.servers.tls.secret=ask-policy-tls",
    ("progress.tls.secret=own",): "needs progress.tls.caConfigMap",
    ("progress.tls.caConfigMap=authority",): "Set progress.tls.secret",
    (
        "progress.enabled=false", "progress.tls.secret=own", "progress.tls.caConfigMap=authority",
    ): "since progress.enabled is false",
    ("tracing.headersSecret=otel",): "Set tracing.endpoint=http://collector.namespace.svc:4317",
    ("workloads.serviceAccount.annotations.role=lta",): "workloads.serviceAccount.create=true and workloads.s",
}  # fmt: skip


@pytest.mark.parametrize("values", APART, ids=",".join)
def test_values_that_do_not_fit_together_are_refused_with_what_to_do(values: tuple[str, ...]) -> None:
    with pytest.raises(RuntimeError) as refused:
        rendered(*values)
    said = _error(refused.value)
    assert "these values do not fit together" in said
    assert APART[values].lower() in said.lower()


OURS = ("operator", "services", "trainer", "policyServer")
RIGHT = (
    ("operator.leaseTime=1m", "operator.leaseRenewal=30s"),
    ("scope=labels", "namespaceSelector=team in (care\\,desk)\\,!test"),
    ("operator.leaseTime=08s", "operator.leaseRenewal=04s"),
    ("minio.enabled=true", "store.uri=s3://learntoask/other"),
    ("image.registry=", *(f"images.{name}.repository=localhost/lta" for name in OURS)),
    ("image.registry=[fd00::1]:5000/team",),
    ("networkPolicy.apiServer.cidrs={10.0.0.0/8,fd00::/8,2001:db8::1/128,::/0}",),
    ("minio.enabled=true", "minio.persistence.size=0.5Ti"),
    ("minio.enabled=true", "cleanup.schedule=@weekly"),
    ("minio.enabled=true", "cleanup.schedule=*/15 0-6 1\\,15 * MON-FRI"),
    ("metrics.serviceMonitor.interval=1m30s",),
)  # fmt: skip


@pytest.mark.parametrize("values", RIGHT, ids=",".join)
def test_what_is_right_is_accepted(values: tuple[str, ...]) -> None:
    assert rendered(*values)


def _values_on_pages() -> list[tuple[str, ...]]:
    """What each command and each phrase of a page passes to helm by `--set`."""
    pages = [ROOT / "README.md", CHART / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for code in re.findall(r"^ *helm .*|`--set [^`]*`", text, re.MULTILINE):
            words = shlex.split(code.strip("`"), comments=True)
            found.append(tuple(value for flag, value in pairwise(words) if flag == "--set"))
    return [values for values in found if values]


@pytest.mark.parametrize("values", _values_on_pages(), ids=" ".join)
def test_values_that_a_page_sets_are_accepted(values: tuple[str, ...]) -> None:
    assert of_kind(rendered(*values), "Deployment", "-operator")


def test_the_grace_period_is_ten_seconds_longer_than_the_operators() -> None:
    (deployment,) = of_kind(rendered("operator.grace=1m30s"), "Deployment", "-operator")
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 100


def test_an_image_with_a_digest_is_pulled_by_it() -> None:
    digests = {name: f"sha256:{number}" + "0" * 63 for number, name in enumerate(OURS)}
    pinned = [f"images.{name}.digest={digest}" for name, digest in digests.items()]
    tags = [f"images.{name}.tag=old" for name in OURS]
    objects = rendered(*pinned, *tags)
    (deployment,) = of_kind(objects, "Deployment", "-operator")
    images = {
        "operator": deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        "services": _environment(deployment)["LTA_OPERATOR_IMAGE"],
        "trainer": _environment(deployment)["LTA_OPERATOR_TRAINER_IMAGE"],
        "policyServer": _environment(deployment)["LTA_OPERATOR_SERVER_IMAGE"],
    }
    assert {name: image.partition("@")[2] for name, image in images.items()} == digests
    assert all(image.startswith(f"{REGISTRY}/") and ":old" not in image for image in images.values())


def test_every_service_is_dual_stack_where_the_cluster_is() -> None:
    services = of_kind(rendered("minio.enabled=true"), "Service")
    assert len(services) == 3
    assert {service["spec"]["ipFamilyPolicy"] for service in services} == {"PreferDualStack"}


def test_names_are_looked_up_where_dns_servers_listen() -> None:
    (deny,) = of_kind(rendered("networkPolicy.dnsPorts={53,5353}"), "NetworkPolicy", "-deny")
    (rule,) = deny["spec"]["egress"]
    assert {(one["port"], one["protocol"]) for one in rule["ports"]} == {
        (port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")
    }


_EVERY_KIND = ("--api-versions=monitoring.coreos.com/v1", "--kube-version=1.35.0")


def _error(refused: BaseException) -> str:
    """What helm said, without the command that it was given."""
    return str(refused).partition("Error: ")[2]


def _without(values: Path, name: str, folder: Path) -> Path:
    """The values without one of them."""
    given = yaml.safe_load(values.read_text())
    del given[name]
    path = folder / values.name
    path.write_text(yaml.safe_dump(given))
    return path


def _environment(deployment: Json) -> dict[str, str]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def _strings_of(body: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of labels, annotations, selectors and variables anywhere in an object, and names and namespaces."""
    if isinstance(body, list):
        for index, part in enumerate(body):
            yield from _strings_of(part, f"{path}[{index}]")
    elif isinstance(body, dict) and body.get("kind") != "CustomResourceDefinition":
        for name, part in body.items():
            inner = f"{path}.{name}"
            if name in ("labels", "annotations", "matchLabels", "nodeSelector", "data") and isinstance(
                part, dict
            ):
                yield from ((f"{inner}.{key}", found) for key, found in part.items())
            elif name in ("name", "namespace", "value", "image") and not isinstance(part, dict | list):
                yield inner, part
            else:
                yield from _strings_of(part, inner)
