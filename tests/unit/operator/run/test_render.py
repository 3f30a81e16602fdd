"""The rendered children of a run: restricted, complete, and changed by what the manifest sets for pods."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from learntoask.cli.pod import stage as lta_stage
from learntoask.core.json_object import Json
from learntoask.core.manifest import Grpo, PodTemplate, RunSpec
from learntoask.core.stages.graph import STAGES
from learntoask.core.stages.planner import Start
from learntoask.core.status.run import RunInputsRecord, StageRecord
from learntoask.grader_service.config import read_config
from learntoask_operator.render.override import override_template
from learntoask_operator.render.security import pod_security
from learntoask_operator.run.admission import refusal
from learntoask_operator.run.render import jobs, services
from learntoask_operator.run.render.config_map import config_map
from learntoask_operator.run.render.endpoint import endpoint
from learntoask_operator.run.stage_records import RecordedPublication
from learntoask_operator.settings import Settings
from pydantic import ValidationError

SETTINGS = Settings(
    store_uri="s3://artefacts/lta",
    store_endpoint="https://minio:9000",
    store_credentials="keys",
    store_ca="authority",
    progress_address="operator:50055",
)
RUN: Json = {
    "apiVersion": "learntoask.io/v1alpha1",
    "kind": "LearnToAskRun",
    "metadata": {
        "name": "clinic",
        "namespace": "care",
        "uid": "u",
        "labels": {"kueue.x-k8s.io/queue-name": "gpus"},
    },
}
INPUTS = RunInputsRecord(pack={"whole": "w"}, files={"dataset": "d", "base": "b"})
KEY = "0123456789abcdef" * 4
KNOWN = {KEY: RecordedPublication(key=KEY, output="out", summary={})}


def spec(**changes: Any) -> RunSpec:
    given: Json = {"dataset": {"uri": "pvc:logs/a.jsonl"}, "pack": {"uri": "configMap:packs/clinic.yaml"}}
    return RunSpec.model_validate({**given, **changes})


def made(stage: str = "sft", *, attempt: int = 1, **changes: Any) -> Json:
    start = Start(stage=stage, key=KEY, attempt=attempt, inputs={"fetch": KEY})
    return jobs.job(
        RUN,
        spec(**changes),
        start,
        inputs=INPUTS,
        published=KNOWN,
        configuration="clinic-config-1",
        settings=SETTINGS,
    )


def pod_of(job: Json) -> tuple[Json, Json, dict[str, Any]]:
    """Pod spec, container, and the container's variables."""
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    return pod, container, {one["name"]: one.get("value") for one in container["env"]}


def test_a_stage_is_told_what_to_do_with_digests_pinned() -> None:
    pod, container, environment = pod_of(made("fetch"))
    assert json.loads(environment["LTA_STAGE"]) == {
        "stage": "fetch",
        "key": KEY,
        "attempt": 1,
        "inputs": {"fetch": {"key": KEY, "output": "out"}},
        "pack": "w",
        "files": {"base": "b"},
    }
    assert container["command"] == ["lta", "stage"]
    assert environment["LTA_STORE"] == "s3://artefacts/lta"
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    assert set(mounts.values()) == {one["name"] for one in pod["volumes"]}
    assert environment["LTA_STORE_CREDENTIALS"] in mounts
    assert environment["LTA_STORE_CA"].rsplit("/", 1)[0] in mounts
    assert {"/claims/logs", "/etc/learntoask-config-maps/packs", "/work", "/tmp", "/dev/shm"} <= set(mounts)
    assert "/var/run/secrets/learntoask/progress" in mounts
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize(
    "stage",
    [
        "resolve",
        "prepare",
        "label",
        "grader",
        "sft",
        "grpo",
        "evaluate",
        "gate",
        "serve",
        "draw",
        "calibrate",
    ],
)
def test_every_pod_is_within_the_restricted_level(stage: str) -> None:
    pod, container, _ = pod_of(made(stage))
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("user", [34567, 0])
def test_pods_run_as_the_user_that_was_chosen_if_one_was(user: int) -> None:
    job = made("sft")
    assert job["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == SETTINGS.pod_user
    chosen = pod_security(user)
    assert chosen["runAsNonRoot"] is True
    given = {name: chosen[name] for name in ("runAsUser", "runAsGroup", "fsGroup") if name in chosen}
    assert given == (dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), user) if user else {})


def test_a_single_pod_is_replaced_and_workers_fail_together() -> None:
    alone = made()["spec"]
    assert alone["podFailurePolicy"]["rules"][0]["action"] == "Ignore"
    assert (alone["backoffLimit"], alone["podReplacementPolicy"]) == (0, "Failed")
    assert "completions" not in alone
    job = made(attempt=2, train={"distributed": {"workers": 3, "zero": 1}})
    assert job["spec"]["podFailurePolicy"]["rules"][0]["action"] == "FailJob"
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 3)
    pod, _, environment = pod_of(job)
    name = job["metadata"]["name"]
    assert name == "clinic-sft-01234567-2"
    assert pod["subdomain"] == name
    assert environment["LTA_WORKERS"] == "3"
    assert environment["LTA_RENDEZVOUS"] == f"{name}-0.{name}.care.svc:29500"
    shards = made("label", label={"parallelism": 4})
    assert shards["spec"]["parallelism"] == 4
    assert shards["spec"]["podFailurePolicy"]["rules"][0]["action"] == "Ignore"
    assert pod_of(shards)[2]["LTA_SHARDS"] == "4"


def test_the_queue_is_passed_on_and_the_longest_name_fits() -> None:
    assert made()["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    stage = max((stage.name for stage in STAGES), key=len)
    longest = jobs.job_name("r" * 40, stage, KEY, 100)
    assert len(longest) <= 63


def test_the_configuration_has_what_the_pods_need_and_its_name_follows_from_it() -> None:
    one, other = (config_map(RUN, spec(**more), SETTINGS) for more in ({}, {"attempts": 9}))
    assert one == other, "what decides when pods are made changes nothing in them"
    told = json.loads(one["data"]["run.json"])["spec"]
    assert told["store"]["uri"] == "s3://artefacts/lta"
    assert told["train"]["grpo"]["groupSize"] == Grpo().group_size
    edited = config_map(RUN, spec(train={"seed": 1}), SETTINGS)
    assert edited["metadata"]["name"] != one["metadata"]["name"]


def test_services_are_needed_by_the_stages_that_ask_them() -> None:
    judged = spec(
        grader={
            "method": "llm",
            "replicas": 1,
            "llm": {
                "endpoint": {"uri": "http://localhost/v1", "model": "m"},
                "server": {"model": "pvc:models/judge"},
            },
        }
    )
    needed = {
        stage: services.services_for(judged, stage)
        for stage in ("prepare", "grader", "draw", "calibrate", "sft", "grpo", "evaluate")
    }
    assert needed == {
        "prepare": (),
        "grader": ("judge",),
        "draw": ("judge",),
        "calibrate": ("judge",),
        "sft": (),
        "grpo": ("judge", "grader"),
        "evaluate": ("judge", "grader"),
    }
    rendered = {
        name: services.deployment(
            RUN,
            judged,
            name,
            inputs=INPUTS,
            published=KNOWN,
            records={"grader": StageRecord(name="grader", key=KEY)},
            configuration="c",
            settings=SETTINGS,
        )["spec"]["template"]["spec"]
        for name in ("judge", "grader")
    }
    judge = rendered["judge"]["containers"][0]
    assert "--model=/claims/models/judge" in judge["args"]
    assert judge["startupProbe"]["failureThreshold"] * judge["startupProbe"]["periodSeconds"] >= 600
    assert judge["readinessProbe"]["failureThreshold"] >= 2
    assert judge["lifecycle"]["preStop"] == {"sleep": {"seconds": 15}}
    assert rendered["judge"]["terminationGracePeriodSeconds"] >= 60
    program, *arguments = rendered["grader"]["containers"][0]["command"]
    assert (program, arguments[0]) == ("lta", "stage")
    parsed = lta_stage.make_context(
        "stage", arguments[1:]
    ).params  # raises if the command lacks or does not know any
    port = rendered["grader"]["containers"][0]["ports"][0]["containerPort"]
    assert parsed == {"serve_graders": True, "serve_review": False, "host": "0.0.0.0", "port": port}
    variables = {entry["name"]: entry["value"] for entry in rendered["grader"]["containers"][0]["env"]}
    ports = {entry["name"]: entry["containerPort"] for entry in rendered["grader"]["containers"][0]["ports"]}
    config = read_config(variables, {"host": parsed["host"], "port": parsed["port"]})
    assert (config.port, config.metrics_port) == (ports["grpc"], ports["metrics"])
    assert services.services_for(spec(), "grpo") == ()


def test_services_are_dual_stack_where_the_cluster_is() -> None:
    of = {name: services.service(RUN, name)["spec"] for name in ("grader", "review", "judge")}
    of["workers"] = jobs.headless_service(RUN, Start(stage="sft", key=KEY, attempt=1, inputs={}))["spec"]
    assert of.pop("judge").get("ipFamilyPolicy") is None, "vLLM listens on IPv4 alone"
    assert {spec["ipFamilyPolicy"] for spec in of.values()} == {"PreferDualStack"}


def test_stages_are_always_traced_and_graders_as_the_ratio_says() -> None:
    settings = replace(SETTINGS, tracing_endpoint="http://collector:4317", tracing_ratio=0.1)
    start = Start(stage="sft", key=KEY, attempt=1, inputs={})
    stage = jobs.job(RUN, spec(), start, inputs=INPUTS, published=KNOWN, configuration="c", settings=settings)
    grader = services.deployment(
        RUN,
        spec(grader={"replicas": 1}),
        "grader",
        inputs=INPUTS,
        published=KNOWN,
        records={"grader": StageRecord(name="grader", key=KEY)},
        configuration="c",
        settings=settings,
    )
    for body, ratio in ((stage, None), (grader, "0.1")):
        (container,) = body["spec"]["template"]["spec"]["containers"]
        env = {one["name"]: one.get("value") for one in container["env"]}
        assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4317"
        assert env.get("OTEL_TRACES_SAMPLER_ARG") == ratio
    assert not [name for name in pod_of(made())[2] if name.startswith("OTEL_")]


def test_stages_speak_tls_with_the_operator_if_its_authority_is_known() -> None:
    start = Start(stage="sft", key=KEY, attempt=1, inputs={})
    secured = jobs.job(
        RUN,
        spec(),
        start,
        inputs=INPUTS,
        published=KNOWN,
        configuration="c",
        settings=replace(SETTINGS, progress_ca="operator-authority"),
    )
    pod, container, environment = pod_of(secured)
    folder = environment["LTA_PROGRESS_CA"].rpartition("/")[0]
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == folder]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    assert volume["configMap"] == {"name": "operator-authority"}
    assert "LTA_PROGRESS_CA" not in pod_of(made())[2]


def test_the_endpoint_gets_the_policy_and_no_owner() -> None:
    stored = spec(store={"uri": "s3://b/p", "credentials": {"secret": "mine"}}, serve={"endpoint": "desk"})
    whole = endpoint(RUN, stored, publication="p" * 64, policy="q" * 64, whole=True)
    assert "ownerReferences" not in whole["metadata"]
    assert whole["metadata"]["name"] == "desk"
    assert whole["spec"]["store"] == {"uri": "s3://b/p", "credentials": {"secret": "mine"}}
    bare = endpoint(RUN, stored, publication="p" * 64, policy="q" * 64, whole=False)
    assert set(bare["spec"]) == {"policy"}


TEMPLATE: Json = {
    "metadata": {"labels": {"learntoask.io/run": "clinic"}},
    "spec": {
        "containers": [
            {
                "name": "stage",
                "image": "ours",
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {"requests": {"cpu": "1", "memory": "4Gi"}},
                "volumeMounts": [{"name": "work", "mountPath": "/work"}],
                "securityContext": {"readOnlyRootFilesystem": True},
            }
        ],
        "volumes": [{"name": "work", "emptyDir": {}}],
    },
}


def test_what_people_say_is_merged_and_leaves_the_rest() -> None:
    override = PodTemplate.model_validate(
        {
            "image": "theirs",
            "env": [
                {"name": "B", "value": "3"},
                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub"}}},
            ],
            "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "2Gi"}},
            "volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": "disk"}}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache", "readOnly": True}],
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "nodeSelector": {"zone": "a"},
            "priorityClassName": "high",
            "labels": {"team": "x", "learntoask.io/run": "stolen"},
            "writableRoot": True,
        }
    )
    merged = override_template(TEMPLATE, override)
    container = merged["spec"]["containers"][0]
    assert container["image"] == "theirs"
    assert [one["name"] for one in container["env"]] == ["A", "B", "HF_TOKEN"]
    assert container["env"][1]["value"] == "3"
    assert container["resources"] == {
        "requests": {"cpu": "1"},
        "limits": {"nvidia.com/gpu": 2, "memory": "2Gi"},
    }, "a limit below the default request brings it down"
    assert merged["spec"]["volumes"] == [{"name": "work", "persistentVolumeClaim": {"claimName": "disk"}}]
    assert [one["mountPath"] for one in container["volumeMounts"]] == ["/work", "/cache"]
    assert merged["metadata"]["labels"] == {"learntoask.io/run": "clinic", "team": "x"}
    assert merged["spec"]["priorityClassName"] == "high"
    assert container["securityContext"]["readOnlyRootFilesystem"] is False
    assert TEMPLATE["spec"]["containers"][0]["image"] == "ours", "the template itself stays"


def test_pods_take_spreading_scheduler_names_variables_and_init_containers() -> None:
    spread = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    override = PodTemplate.model_validate(
        {
            "envFrom": [{"secretRef": {"name": "hub"}}],
            "topologySpreadConstraints": [spread],
            "schedulerName": "volcano",
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["192.0.2.53"]},
            "initContainers": [
                {"name": "wait", "image": "busybox"},
                {"name": "own", "image": "busybox", "securityContext": {"runAsUser": 7}},
            ],
        }
    )
    merged = override_template(TEMPLATE, override)["spec"]
    assert merged["containers"][0]["envFrom"] == [{"secretRef": {"name": "hub"}}]
    assert merged["topologySpreadConstraints"] == [spread]
    assert (merged["schedulerName"], merged["dnsPolicy"]) == ("volcano", "None")
    assert merged["dnsConfig"] == {"nameservers": ["192.0.2.53"]}
    first, second = merged["initContainers"]
    assert first["securityContext"] == {"readOnlyRootFilesystem": True}, "the restricted level, as its pod"
    assert second["securityContext"] == {"runAsUser": 7}
    plain = override_template(TEMPLATE, PodTemplate())["spec"]
    assert plain.keys() == TEMPLATE["spec"].keys()


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_pods_take_the_token_and_variables_of_a_web_identity(stage: str) -> None:
    """As docs/stores.md says for clusters whose service accounts Amazon or MinIO trusts, such as GKE's."""
    token = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "path": "token"}}
    variables = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/identity/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/lta"}
    everywhere = {
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "volumes": [{"name": "identity", "projected": {"sources": [token]}}],
        "volumeMounts": [{"name": "identity", "mountPath": "/identity", "readOnly": True}],
    }
    pod, container, environment = pod_of(made(stage, pods={"all": everywhere}))
    assert variables.items() <= environment.items()
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "identity")
    assert volume["projected"]["sources"] == [token]
    assert everywhere["volumeMounts"][0] in container["volumeMounts"]


def test_devices_are_claimed_by_the_pod_and_used_by_its_container() -> None:
    claims = [
        {"name": "gpu", "resourceClaimTemplateName": "one-gpu"},
        {"name": "link", "resourceClaimName": "link"},
    ]
    pods = {
        "all": {"resourceClaims": claims},
        "sft": {
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "two-gpus"}],
            "resources": {"claims": [{"name": "gpu", "request": "large"}], "limits": {"memory": "8Gi"}},
        },
    }
    pod, container, _ = pod_of(made(pods=pods))
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "two-gpus"}, claims[1]]
    assert container["resources"]["claims"] == [{"name": "gpu", "request": "large"}]
    assert container["resources"]["limits"] == {"memory": "8Gi"}


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        ({"sft": {"resources": {"claims": [{"name": "gpu"}]}}}, "sft.resources.claims: gpu is not in"),
        ({"all": {"resources": {"claims": [{"name": "gpu"}]}}}, "all.resources.claims: gpu is not in"),
        ({"graderService": {"resources": {"claims": [{"name": "gpu"}]}}}, "graderService.resources.claims"),
        ({"sft": {"resourceClaims": [{"name": "gpu"}]}}, "give resourceClaimName or"),
        ({"sft": {"resourceClaims": [{"name": "a", "resourceClaimName": "b"}] * 2}}, "has the name a twice"),
    ],
)
def test_claims_that_name_nothing_are_refused(pods: Json, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(pods=pods)


def test_what_is_said_for_one_stage_goes_before_what_is_said_for_all() -> None:
    pods = {"all": {"image": "all", "nodeSelector": {"a": "1"}}, "sft": {"image": "mine"}}
    pod, container, _ = pod_of(made(pods=pods))
    assert (container["image"], pod["nodeSelector"]) == ("mine", {"a": "1"})
    assert pod_of(made("grpo", pods=pods))[1]["image"] == "all"


@pytest.mark.parametrize(
    ("changes", "settings", "field"),
    [
        ({}, Settings(), "spec.store.uri"),
        ({"store": {"uri": "folder"}}, SETTINGS, "spec.store.uri"),
        ({"dataset": {"uri": "logs.jsonl"}}, SETTINGS, "spec.dataset.uri"),
        ({"dataset": {"uri": "s3://logs/b", "testUri": "x"}}, SETTINGS, "spec.dataset.testUri"),
        ({"pack": {"uri": "pack.yaml"}}, SETTINGS, "spec.pack.uri"),
        ({"train": {"base": {"uri": "./model"}}}, SETTINGS, "spec.train.base.uri"),
        (
            {"store": {"uri": "s3://logs/b", "credentials": {"file": "k"}}},
            SETTINGS,
            "spec.store.credentials.file",
        ),
        ({}, SETTINGS, None),
    ],
)
def test_what_no_pod_could_read_is_refused(changes: Json, settings: Settings, field: str | None) -> None:
    why = refusal(spec(**changes), settings)
    assert (why is None) if field is None else (why is not None and why.startswith(field))


def test_a_review_has_a_page_that_reads_the_drawn_items() -> None:
    reviewed = spec(calibrate={})
    assert services.services_for(reviewed, "review") == ("review",)
    review = "f" * 64
    deployment = services.deployment(
        RUN,
        reviewed,
        "review",
        inputs=INPUTS,
        published=KNOWN,
        records={
            "draw": StageRecord(name="draw", key=KEY),
            "review": StageRecord(name="review", key=review),
        },
        configuration="c",
        settings=replace(SETTINGS, progress_ca="operator-authority"),
    )
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    # Without the authority its reports would not reach an operator that speaks TLS, and the run would wait for ever.
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(variables["LTA_PROGRESS_CA"]).rpartition("/")[0] in mounts
    order = json.loads(variables["LTA_STAGE"] or "")
    assert (order["stage"], order["key"], order["inputs"]["draw"]["key"]) == ("review", review, KEY)
    assert variables["LTA_PROGRESS_ADDRESS"] == "operator:50055"
    lta_stage.make_context("lta stage", list(container["command"][2:]))
    port = services.service(RUN, "review")["spec"]["ports"][0]
    assert port == {"name": "http", "port": container["ports"][0]["containerPort"]}
    assert services.review_address(reviewed, run="clinic", namespace="care").startswith(
        "http://clinic-review-service.care.svc:"
    )
