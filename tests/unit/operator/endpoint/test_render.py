"""The objects that an endpoint owns, what is observed of them, and the status."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec, PolicyReference
from learntoask.core.status.endpoint import EndpointStatus
from learntoask_operator.endpoint.decide import EndpointDecision, decide
from learntoask_operator.endpoint.findings import Views
from learntoask_operator.endpoint.observe import ObservedEndpoint, ObservedServers, observe
from learntoask_operator.endpoint.policy import resolve_policy
from learntoask_operator.endpoint.render.objects import render, revision_of
from learntoask_operator.endpoint.render.servers import server_template
from learntoask_operator.endpoint.status import events_of, status_of
from learntoask_operator.endpoint.trial import Target, without_trial
from learntoask_operator.settings import Settings

NOW = 1_800_000_000.0
PUBLISHED = {"publication": "a" * 64, "policy": "b" * 64}
SETTINGS = Settings(
    store_uri="s3://learntoask/store", store_endpoint="https://minio:9000", store_credentials="minio-keys"
)
BODY = {"metadata": {"name": "desk", "namespace": "clinic", "uid": "u-1", "generation": 3}}


def spec_of(**fields: object) -> EndpointSpec:
    return EndpointSpec.model_validate({"policy": PUBLISHED, "replicas": 2} | fields)


def rendered(spec: EndpointSpec, settings: Settings = SETTINGS) -> dict[tuple[str, str], Json]:
    target = revision_of(spec.policy, spec, settings)
    decision = decide(
        trial=without_trial(Target(name=target, policy=spec.policy)),
        previous="",
        revisions=(),
        servers={},
        replicas=spec.replicas,
        rollout=spec.rollout,
        now=NOW,
    )
    templates = {target: server_template(spec.policy, spec, settings)}
    objects = render(BODY, spec, decision, templates=templates, settings=settings)
    return {(kind.kind, body["metadata"]["name"]): body for kind, body in objects}


def pod_of(spec: EndpointSpec, component: str) -> Json:
    (found,) = [
        body["spec"]["template"]
        for (kind, _), body in rendered(spec).items()
        if kind == "Deployment" and body["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    return found


def env_of(pod: Json) -> dict[str, str]:
    return {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}


def test_everything_is_owned_by_the_endpoint_and_blocks_nobodys_deletion():
    objects = rendered(spec_of(autoscaling={"max": 5}))
    kinds = sorted(kind for kind, _ in objects)
    assert kinds == sorted(
        ["Service"] * 2 + ["PodDisruptionBudget"] * 2 + ["Deployment"] * 2 + ["HorizontalPodAutoscaler"]
    )
    for body in objects.values():
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("AskEndpoint", "u-1", True)
        assert owner["blockOwnerDeletion"] is False
        assert body["metadata"]["namespace"] == "clinic"
        assert body["metadata"]["labels"]["learntoask.io/endpoint"] == "desk"


def test_gateways_are_scaled_by_their_autoscaler_alone():
    objects = rendered(spec_of(gateway={"replicas": 3, "autoscaling": {"max": 6, "target": 80}}))
    scaling = objects["HorizontalPodAutoscaler", "desk-gateway"]["spec"]
    assert scaling["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "desk-gateway",
    }
    assert (scaling["minReplicas"], scaling["maxReplicas"]) == (2, 6)
    target = {"type": "Utilization", "averageUtilization": 80}
    assert scaling["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    deployment = objects["Deployment", "desk-gateway"]["spec"]
    assert "replicas" not in deployment
    assert "cpu" in deployment["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert objects["PodDisruptionBudget", "desk-gateway"]["spec"]["maxUnavailable"] == 1
    assert rendered(spec_of(gateway={"replicas": 3}))["Deployment", "desk-gateway"]["spec"]["replicas"] == 3


@pytest.mark.parametrize("component", ["gateway", "policy-server"])
def test_pods_are_within_the_restricted_level(component: str):
    pod = pod_of(spec_of(gpus=1, engine="vllm"), component)["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {
        "emptyDir",
        "secret",
        "configMap",
    }


def test_a_policy_server_is_probed_and_ended_as_vllm_needs_it():
    pod = pod_of(spec_of(gpus=2, engine="vllm", rollout={"warmUp": {"deadline": "10m"}}), "policy-server")[
        "spec"
    ]
    (container,) = pod["containers"]
    startup, readiness = container["startupProbe"], container["readinessProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 600
    assert readiness["failureThreshold"] >= 2
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 15}}
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 2}
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert volumes[mounts["/work"]]["emptyDir"] == {"sizeLimit": "20Gi"}
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    env = env_of({"spec": pod})
    assert (env["LTA_PUBLICATION"], env["LTA_POLICY"]) == ("a" * 64, "b" * 64)
    assert (env["LTA_SERVE_ENGINE"], env["LTA_SERVE_WARM_UP"], env["LTA_STORE"]) == (
        "vllm",
        "true",
        "s3://learntoask/store",
    )
    published = {"LTA_SERVE_MAX_NEW_TOKENS", "LTA_SERVE_PRECISION", "LTA_SERVE_STOP_THRESHOLD"}
    assert not published & env.keys()  # as they were published


def test_the_gateway_finds_servers_by_the_name_of_their_headless_service():
    objects = rendered(spec_of())
    service = objects["Service", "desk-policy"]["spec"]
    assert service["clusterIP"] == "None"
    assert service["selector"]["learntoask.io/revision"] == revision_of(spec_of().policy, spec_of(), SETTINGS)
    env = env_of(pod_of(spec_of(), "gateway"))
    assert env["LTA_GATEWAY_SERVERS"] == "desk-policy.clinic.svc:50051"
    assert "LTA_GATEWAY_RECORDS" not in env
    assert objects["Service", "desk"]["spec"]["ports"][0]["port"] == 50051


def test_services_are_dual_stack_where_the_cluster_is():
    services = [body["spec"] for (kind, _), body in rendered(spec_of()).items() if kind == "Service"]
    assert {service["ipFamilyPolicy"] for service in services} == {"PreferDualStack"}
    assert "externalTrafficPolicy" not in services[1]


def test_a_load_balancer_has_the_class_ranges_and_traffic_policy_that_were_given():
    given = {
        "loadBalancerClass": "service.k8s.aws/nlb",
        "loadBalancerSourceRanges": ["203.0.113.0/24"],
        "externalTrafficPolicy": "Local",
    }
    spec = spec_of(gateway={"service": {"type": "LoadBalancer", **given}})
    assert rendered(spec)["Service", "desk"]["spec"].items() >= given.items()


def test_a_spread_that_people_give_replaces_the_default():
    spread = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    spec = spec_of(pods={"gateway": {"topologySpreadConstraints": [spread]}})
    assert pod_of(spec, "gateway")["spec"]["topologySpreadConstraints"] == [spread]
    (default,) = pod_of(spec, "policy-server")["spec"]["topologySpreadConstraints"]
    assert default["topologyKey"] == "kubernetes.io/hostname"


def test_pods_are_given_the_token_of_scrapes_if_there_is_one():
    settings = replace(SETTINGS, metrics_token_secret="metrics-token")
    for prefix, component in (("LTA_GATEWAY", "gateway"), ("LTA_SERVE", "policy-server")):
        (pod,) = [
            body["spec"]["template"]
            for (kind, _), body in rendered(spec_of(), settings).items()
            if kind == "Deployment" and body["metadata"]["labels"]["app.kubernetes.io/component"] == component
        ]
        path = env_of(pod)[f"{prefix}_METRICS_TOKEN_FILE"]
        mounts = {one["mountPath"]: one["name"] for one in pod["spec"]["containers"][0]["volumeMounts"]}
        volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
        secret = volumes[mounts[path.rpartition("/")[0]]]["secret"]
        assert (secret["secretName"], path.rpartition("/")[2]) == ("metrics-token", "token")
        assert f"{prefix}_METRICS_TOKEN_FILE" not in env_of(pod_of(spec_of(), component))


def test_pods_send_traces_only_if_a_receiver_is_set():
    settings = replace(
        SETTINGS,
        tracing_endpoint="http://collector.watch.svc:4317",
        tracing_ratio=0.05,
        tracing_headers_secret="otel",
    )
    deployments = [
        body["spec"]["template"]["spec"]["containers"][0]
        for (kind, _), body in rendered(spec_of(), settings).items()
        if kind == "Deployment"
    ]
    assert [one["name"] for one in deployments] == ["policy-server", "gateway"]
    for container in deployments:
        env = {one["name"]: one for one in container["env"]}
        assert env["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"] == "http://collector.watch.svc:4317"
        assert env["OTEL_EXPORTER_OTLP_PROTOCOL"]["value"] == "grpc"
        assert env["OTEL_TRACES_SAMPLER"]["value"] == "parentbased_traceidratio"
        assert env["OTEL_TRACES_SAMPLER_ARG"]["value"] == "0.05"
        assert env["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"] == {
            "secretKeyRef": {"name": "otel", "key": "headers", "optional": True}
        }
        names = list(env)
        assert names.index("LTA_POD_NAME") < names.index("OTEL_RESOURCE_ATTRIBUTES"), "which refers to it"
    for component in ("gateway", "policy-server"):
        assert not [name for name in env_of(pod_of(spec_of(), component)) if name.startswith("OTEL_")]


def test_no_budget_keeps_a_node_from_draining():
    budgets = [
        body["spec"] for (kind, _), body in rendered(spec_of()).items() if kind == "PodDisruptionBudget"
    ]
    assert len(budgets) == 2
    assert {budget["unhealthyPodEvictionPolicy"] for budget in budgets} == {"AlwaysAllow"}


def test_callers_have_left_a_gateway_before_it_takes_no_more_calls():
    pod = pod_of(spec_of(gateway={"deadline": "2m"}), "gateway")
    env, stays = env_of(pod), pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert stays > 1.1 * float(env["LTA_GATEWAY_MAX_CONNECTION_SECONDS"]), "gRPC adds up to a tenth"
    assert float(env["LTA_GATEWAY_DRAIN_SECONDS"]) >= 120 == float(env["LTA_GATEWAY_DEADLINE_SECONDS"])
    assert pod["spec"]["terminationGracePeriodSeconds"] > stays + float(env["LTA_GATEWAY_DRAIN_SECONDS"])


def test_access_and_records_reach_the_gateway_by_reference_alone():
    gateway = {
        "access": {"tokenSecret": "tok", "tlsSecret": "cert", "clientAuthoritySecret": "clients"},
        "records": {"enabled": True, "redact": [r"\d+", "name"]},
    }
    pod = pod_of(spec_of(gateway=gateway), "gateway")
    env = env_of(pod)
    assert env["LTA_GATEWAY_RECORDS_URI"] == "s3://learntoask/store/records/clinic/desk"
    assert env["LTA_GATEWAY_REDACT"] == "\\d+\nname"
    assert (
        env["LTA_GATEWAY_TOKEN_FILE"] == env["LTA_GATEWAY_SERVER_TOKEN_FILE"] == "/etc/learntoask/token/token"
    )
    secrets = {one["secret"]["secretName"] for one in pod["spec"]["volumes"] if "secret" in one}
    assert secrets == {"tok", "cert", "clients", "minio-keys"}
    probed = pod["spec"]["containers"][0]["readinessProbe"]["grpc"]["port"]
    assert probed == int(env["LTA_GATEWAY_HEALTH_PORT"]) != int(env["LTA_GATEWAY_PORT"]), (
        "the kubelet's probes speak no TLS"
    )
    server = pod_of(spec_of(gateway=gateway), "policy-server")
    assert env_of(server)["LTA_SERVE_TOKEN_FILE"] == "/etc/learntoask/token/token"


def test_gateways_verify_the_name_of_servers_and_never_get_their_key():
    spec = spec_of(servers={"tls": {"secret": "desk-policy-tls"}})
    server, front = pod_of(spec, "policy-server"), pod_of(spec, "gateway")
    env, asked = env_of(server), env_of(front)
    folder = env["LTA_SERVE_TLS_CERTIFICATE"].rpartition("/")[0]
    assert (env["LTA_SERVE_TLS_CERTIFICATE"], env["LTA_SERVE_TLS_KEY"]) == (
        f"{folder}/tls.crt",
        f"{folder}/tls.key",
    )
    assert _mounted(server, folder) == {"secretName": "desk-policy-tls"}
    (container,) = server["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == ports["health"] == int(env["LTA_SERVE_HEALTH_PORT"])
    assert asked["LTA_GATEWAY_SERVER_NAME"] == "desk-policy.clinic.svc"
    folder, _, file = asked["LTA_GATEWAY_SERVER_CA"].rpartition("/")
    assert _mounted(front, folder) == {
        "secretName": "desk-policy-tls",
        "items": [{"key": "ca.crt", "path": file}],
    }
    assert "LTA_GATEWAY_SERVER_PLAIN_TEXT" not in asked
    changing = spec_of(servers={"tls": {"secret": "desk-policy-tls", "required": False}})
    assert env_of(pod_of(changing, "gateway"))["LTA_GATEWAY_SERVER_PLAIN_TEXT"] == "true"
    assert pod_of(changing, "policy-server") == server, "requiring it later replaces no server"
    plain = pod_of(spec_of(), "policy-server")
    assert plain["spec"]["containers"][0]["readinessProbe"]["grpc"]["port"] == 50051
    assert not [name for name in env_of(pod_of(spec_of(), "gateway")) if "SERVER_" in name]


def test_gateways_speak_tls_with_the_operator_if_its_authority_is_known():
    settings = replace(SETTINGS, progress_address="lta-progress.lta.svc:50055", progress_ca="authority")
    (front,) = [
        body["spec"]["template"]
        for (kind, name), body in rendered(spec_of(), settings).items()
        if (kind, name) == ("Deployment", "desk-gateway")
    ]
    folder, _, file = env_of(front)["LTA_GATEWAY_OPERATOR_CA"].rpartition("/")
    (mount,) = [one for one in front["spec"]["containers"][0]["volumeMounts"] if one["mountPath"] == folder]
    (volume,) = [one for one in front["spec"]["volumes"] if one["name"] == mount["name"]]
    assert (volume["configMap"], file) == ({"name": "authority"}, "ca.crt")


def _mounted(pod: Json, folder: str) -> Json:
    """The Secret that is mounted at `folder`."""
    (mount,) = [one for one in pod["spec"]["containers"][0]["volumeMounts"] if one["mountPath"] == folder]
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == mount["name"]]
    return volume["secret"]


@pytest.mark.parametrize(
    ("policy", "command"),
    [
        (
            {"uri": "s3://models/clinic", "pack": {"uri": "configMap:packs/clinic.yaml"}},
            ["--model", "s3://models/clinic", "--pack", "/etc/learntoask/pack/clinic.yaml"],
        ),
        (
            {"uri": "pvc:models/clinic/7", "pack": {"uri": "pvc:models/pack.yaml"}},
            ["--model", "/claims/models/clinic/7", "--pack", "/claims/models/pack.yaml"],
        ),
        (
            {"uri": "pvc:models/m", "pack": {"uri": "s3://packs/clinic.yaml"}},
            ["--model", "/claims/models/m", "--pack", "s3://packs/clinic.yaml"],
        ),
    ],
)
def test_a_model_of_ones_own_is_named_by_its_address(policy: Json, command: list[str]):
    pod = pod_of(spec_of(policy=policy), "policy-server")["spec"]
    assert pod["containers"][0]["command"] == ["lta", "serve", *command]
    mounted = {one["name"] for one in pod["containers"][0]["volumeMounts"]}
    names = [one["name"] for one in pod["volumes"]]
    assert mounted == set(names)
    assert len(names) == len(set(names))


def test_one_claim_may_hold_store_and_model():
    policy = {"uri": "pvc:lake/model", "pack": {"uri": "pvc:lake/pack.yaml"}}
    pod = pod_of(spec_of(policy=policy, store={"uri": "pvc:lake/store"}), "policy-server")
    assert env_of(pod)["LTA_STORE"] == "/claims/lake/store"
    (claim,) = [one for one in pod["spec"]["volumes"] if "persistentVolumeClaim" in one]
    (mount,) = [one for one in pod["spec"]["containers"][0]["volumeMounts"] if one["name"] == claim["name"]]
    assert (claim["persistentVolumeClaim"]["claimName"], mount["mountPath"]) == ("lake", "/claims/lake")


def test_a_revision_changes_with_what_its_servers_are_and_with_nothing_else():
    base = spec_of()
    name = revision_of(base.policy, base, SETTINGS)
    for same in (
        spec_of(replicas=7),
        spec_of(gateway={"replicas": 5, "records": {"enabled": True}}),
        spec_of(rollout={"maxSurge": 3, "drain": "5s"}),
        spec_of(autoscaling={"max": 9}),
        spec_of(pods={"gateway": {"annotations": {"a": "b"}}}),
    ):
        assert revision_of(same.policy, same, SETTINGS) == name
    others = [
        spec_of(policy={"publication": "c" * 64, "policy": "b" * 64}),
        spec_of(engine="vllm"),
        spec_of(gpus=1),
        spec_of(servers={"precision": "float32"}),
        spec_of(pods={"policyServer": {"env": [{"name": "A", "value": "1"}]}}),
    ]
    assert len({name, *(revision_of(one.policy, one, SETTINGS) for one in others)}) == 6


def test_the_run_alone_is_followed_to_what_it_published_last():
    policy = PolicyReference(run="clinic")
    assert resolve_policy(policy, None, ()) is None
    run = {"status": {"stages": [{"name": "serve", "state": "Running", "key": "c" * 64}]}}
    assert resolve_policy(policy, run, ()) is None
    run["status"]["stages"] = [
        {"name": name, "state": "Published", "key": letter * 64}
        for name, letter in (("serve", "a"), ("grpo", "b"))
    ]
    found = resolve_policy(policy, run, ())
    assert found == PolicyReference(run="clinic", **PUBLISHED)
    record = {
        "number": 1,
        "name": "x",
        "policy": found,
        "state": "Serving",
        "created": "2027-01-01T00:00:00Z",
    }
    revisions = EndpointStatus.model_validate({"revisions": [record]}).revisions
    run["status"]["stages"][0]["state"] = (
        "Running"  # rewound: what it had published is served until it publishes again
    )
    assert resolve_policy(policy, run, revisions) == found
    assert resolve_policy(policy, None, revisions) == found


def deployment(revision: str, *, uid: str = "u-1", **status: int) -> Json:
    return {
        "metadata": {
            "name": f"desk-{revision}",
            "labels": {"app.kubernetes.io/component": "policy-server", "learntoask.io/revision": revision},
            "ownerReferences": [{"uid": uid, "controller": True}],
        },
        "spec": {"replicas": 2},
        "status": status,
    }


def server_pod(revision: str, **status: object) -> Json:
    labels = {"app.kubernetes.io/component": "policy-server", "learntoask.io/revision": revision}
    return {"metadata": {"name": f"desk-{revision}-x", "labels": labels}, "status": status}


def test_servers_are_counted_by_revision_with_their_last_message():
    ended = {"exitCode": 3, "message": "error (WarmUpFailed): nan"}
    pods = [
        server_pod("r1", containerStatuses=[{"restartCount": 2, "lastState": {"terminated": ended}}]),
        server_pod("r2", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]),
    ]
    found = observe(
        [
            deployment("r1", replicas=2, readyReplicas=1),
            deployment("r2", replicas=1),
            deployment("r3", uid="other"),
        ],
        pods,
        uid="u-1",
        now=NOW,
    ).servers
    assert found == {
        "r1": ObservedServers(
            wanted=2,
            pods=2,
            ready=1,
            restarts=2,
            last_message="desk-r1-x ended with 3: error (WarmUpFailed): nan",
        ),
        "r2": ObservedServers(wanted=2, pods=1, last_message="Unschedulable: pod desk-r2-x: 0/3 nodes"),
    }
    stuck = server_pod(
        "r1", containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}]
    )
    assert (
        observe([deployment("r1")], [stuck], uid="u-1", now=NOW).servers["r1"].last_message
        == "ImagePullBackOff: pod desk-r1-x: no"
    )


def status_for(
    decision: EndpointDecision | None,
    servers: dict[str, ObservedServers],
    gateway: ObservedServers,
    **fields: object,
) -> EndpointStatus:
    observed = ObservedEndpoint(servers=servers, gateway=gateway)
    views = Views(address="", seen={})
    waiting = "" if decision else "run clinic has published no policy yet"
    return status_of(
        EndpointStatus(), BODY, spec_of(**fields), decision, observed, views=views, waiting=waiting, now=NOW
    )


def conditions_of(status: EndpointStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


def test_the_status_says_what_answers_and_what_is_waited_for():
    waiting = status_for(None, {}, ObservedServers(), policy={"run": "clinic"})
    assert waiting.phase == "Pending"
    assert conditions_of(waiting)["RolledOut"] == ("False", "WaitingForPolicy")
    spec = spec_of()
    decision = decide(
        trial=without_trial(Target(name="r1", policy=spec.policy)),
        previous="",
        revisions=(),
        servers={"r1": ObservedServers(wanted=2, pods=2, ready=2)},
        replicas=2,
        rollout=spec.rollout,
        now=NOW,
    )
    up = ObservedServers(wanted=2, pods=2, ready=2)
    served = status_for(decision, {"r1": up}, up)
    assert conditions_of(served) == {
        "RolledOut": ("True", "RolloutComplete"),
        "GatewayReady": ("True", "GatewayAvailable"),
        "Ready": ("True", "Serving"),
    }
    assert (served.phase, served.address, served.revision) == ("Ready", "desk.clinic.svc:50051", "r1")
    assert (served.replicas, served.ready_replicas) == (2, 2)
    assert served.selector == "learntoask.io/endpoint=desk,app.kubernetes.io/component=policy-server"
    assert [one.reason for one in events_of(waiting, served)] == [
        "RolloutComplete",
        "GatewayAvailable",
        "Serving",
    ]
    assert events_of(served, served) == []
    lost = status_for(decision, {"r1": ObservedServers(wanted=2, pods=2)}, up)
    assert (lost.phase, conditions_of(lost)["Ready"]) == ("Degraded", ("False", "NoServers"))
    (event,) = events_of(served, lost)
    assert (event.type, event.message) == ("Warning", "Ready is False: the gateways answer with the fallback")


def test_a_status_is_plain_json():
    status = status_for(None, {}, ObservedServers(), policy={"run": "clinic"})
    assert json.loads(json.dumps(status.model_dump(mode="json", by_alias=True)))["observedGeneration"] == 3
