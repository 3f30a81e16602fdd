"""Manifests just within the bounds are accepted, and mean the same in a cluster as on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from learntoask.core.manifest import EndpointSpec, RunSpec
from learntoask.core.manifest.grader_metric import needs_judge
from learntoask.core.manifest.metric import GRADER_PREFIX, metric_names
from worlds.cluster.applied_manifests import ENDPOINT, KEY, MODEL, PRICES, RUN, changed, manifest, tried
from worlds.cluster.cluster import Cluster
from worlds.cluster.toolchain import ROOT

SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
DEEPSPEED = {"zero_optimization": {"offload_optimizer": {"device": "cpu"}}}
PARAMETERS = {"chat_template_kwargs": {"enable_thinking": False}, "max_tokens": None, "stop": ["\n"]}
_OF_A_JUDGE = {name for name in metric_names() if needs_judge(name.removeprefix(GRADER_PREFIX))}
_OF_PEOPLE = {name for name in metric_names() if {"corrected", "calibration"} & set(name.split("."))}
_OF_ASSESSMENTS = {name for name in metric_names() if "assessment" in name.split(".")}
CASES: list[tuple[str, dict[str, Any], str, Any]] = [
    ("LearnToAskRun", RUN, "dataset.uri", "pvc:logs/2026/clinic.jsonl"),
    ("LearnToAskRun", RUN, "dataset.testUri", "s3://logs/test@2026.jsonl"),
    (
        "LearnToAskRun",
        RUN,
        "dataset",
        {"uri": "s3://logs/a", "testUri": "s3://logs/b", "validationShare": 0.99, "testShare": 0},
    ),
    ("LearnToAskRun", RUN, "dataset.validationShare", 0),
    ("LearnToAskRun", RUN, "pack.uri", "configMap:packs/clinic.yaml"),
    ("LearnToAskRun", RUN, "train", {"assessment": "fields", "reward": {"assessmentWeight": 0.5}}),
    (
        "LearnToAskRun",
        {**RUN, "train": {"assessment": "fields"}},
        "gate.thresholds",
        [{"metric": name, "min": 0} for name in sorted(_OF_ASSESSMENTS)],
    ),
    ("LearnToAskRun", RUN, "label", {"method": "lexicon", "llm": {"endpoint": MODEL}}),
    (
        "LearnToAskRun",
        RUN,
        "label",
        {"method": "llm", "llm": {"endpoint": {**MODEL, "parameters": PARAMETERS}}},
    ),
    (
        "LearnToAskRun",
        RUN,
        "label",
        {
            "method": "llm",
            "llm": {
                "endpoint": {**MODEL, "prices": PRICES},
                "judges": [{**MODEL, "seed": 1, "prices": PRICES}],
                "agreement": "unanimous",
                "budget": {"cost": 0.01},
            },
        },
    ),
    ("LearnToAskRun", RUN, "grader.hedgeAfter", "1h1m1s"),
    ("LearnToAskRun", RUN, "grader.llm", {"endpoint": MODEL, "server": {"model": "hf:Qwen/Qwen3-8B"}}),
    ("LearnToAskRun", RUN, "train.base.uri", "tiny:"),
    ("LearnToAskRun", RUN, "train.distributed.deepspeed", DEEPSPEED),
    ("LearnToAskRun", RUN, "train.grpo", {"updates": 0, "learningRate": 1, "confidence": 0.5}),
    ("LearnToAskRun", RUN, "train.lora", {}),
    ("LearnToAskRun", RUN, "gate.thresholds", [{"metric": "gap.Total", "max": -1.5e-9}]),
    (
        "LearnToAskRun",
        RUN,
        "gate.thresholds",
        [
            {"metric": name, "min": 0}
            for name in sorted(metric_names() - _OF_A_JUDGE - _OF_PEOPLE - _OF_ASSESSMENTS)[-256:]
        ],
    ),
    ("LearnToAskRun", RUN, "serve", {"port": 0, "prefixCache": "1000000", "redact": [r"(?<=id )\d+"]}),
    (
        "LearnToAskRun",
        {**RUN, "calibrate": {"onDeadline": "fail", "deadline": "48h"}},
        "gate.thresholds",
        [
            {"metric": "calibration.kappa", "min": 0.6, "bound": "lowerOneSided"},
            *({"metric": name, "min": 0} for name in sorted(_OF_PEOPLE)),
        ],
    ),
    (
        "LearnToAskRun",
        RUN,
        "gate.thresholds",
        [{"metric": "grpo-sft.TA", "min": -1, "bound": "lowerOneSided"}],
    ),
    ("LearnToAskRun", RUN, "gate.thresholds", [{"metric": "replay.questions", "min": 2, "max": 9}]),
    ("LearnToAskRun", RUN, "stageDeadline", "8784h"),
    ("LearnToAskRun", RUN, "startDeadline", "31622400s"),
    ("LearnToAskRun", RUN, "attempts", 100),
    ("LearnToAskRun", RUN, "ttl", "0s"),
    ("LearnToAskRun", RUN, "pods.all.resources", {"limits": {"cpu": 4, "memory": "1.5Gi"}}),
    ("LearnToAskRun", RUN, "pods.all.volumes", [{"name": "a", "csi": {"driver": "d", "x": {"y": 1}}}]),
    ("LearnToAskRun", RUN, "pods.grpo.affinity", {"nodeAffinity": {}}),
    (
        "LearnToAskRun",
        RUN,
        "pods.all",
        {
            "envFrom": [{"secretRef": {"name": "hub", "optional": True}}],
            "initContainers": [{"name": "wait", "image": "busybox", "command": ["true"]}],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            "schedulerName": "volcano",
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["192.0.2.53"], "options": [{"name": "ndots", "value": "1"}]},
        },
    ),
    (
        "LearnToAskRun",
        RUN,
        "pods",
        {
            "all": {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]},
            "sft": {
                "resourceClaims": [{"name": "link", "resourceClaimName": "shared"}],
                "resources": {"claims": [{"name": "gpu", "request": "gpu/large"}, {"name": "link"}]},
            },
        },
    ),
    (
        "AskEndpoint",
        ENDPOINT,
        "pods.policyServer",
        {
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
            "resources": {"claims": [{"name": "gpu"}]},
        },
    ),
    ("AskEndpoint", ENDPOINT, "gateway.autoscaling", {"min": 2, "max": 2, "target": 90}),
    ("AskEndpoint", ENDPOINT, "gateway.service", {"type": "NodePort", "externalTrafficPolicy": "Local"}),
    (
        "AskEndpoint",
        ENDPOINT,
        "gateway.service",
        {
            "type": "LoadBalancer",
            "loadBalancerClass": "service.k8s.aws/nlb",
            "loadBalancerSourceRanges": ["203.0.113.0/24", "2001:db8::/32"],
        },
    ),
    ("AskEndpoint", ENDPOINT, "policy", {"publication": KEY, "policy": KEY, "run": "clinic"}),
    ("AskEndpoint", ENDPOINT, "policy", {"uri": "pvc:models/m", "pack": {"uri": "configMap:p/k"}}),
    ("AskEndpoint", ENDPOINT, "replicas", 0),
    ("AskEndpoint", ENDPOINT, "autoscaling", {"min": 2, "max": 2}),
    ("AskEndpoint", ENDPOINT, "rollout", {"maxSurge": 0, "maxUnavailable": 1}),
    ("AskEndpoint", ENDPOINT, "rollout.strategy", {"mode": "canary", "shadow": {"pairs": 50}}),
    (
        "AskEndpoint",
        ENDPOINT,
        "rollout.strategy",
        {
            "mode": "ab",
            "steps": [{"weight": 50}],
            "primary": "outcome",
            "guards": [
                {"metric": "outcome", "outcome": {"name": "booked", "labels": ["yes"]}},
                {"metric": "error", "margin": 0.02},
            ],
            "limits": {"latency": "2s"},
        },
    ),
    (
        "AskEndpoint",
        ENDPOINT,
        "rollout.strategy.guards",
        [
            {"metric": "outcome", "outcome": {"name": "booked", "labels": ["yes"]}},
            {"metric": "outcome", "outcome": {"name": "rating", "atLeast": 3}},
        ],
    ),
    ("AskEndpoint", ENDPOINT, "servers.tls", {"secret": "desk-policy-tls"}),
    ("AskEndpoint", ENDPOINT, "servers.tls", {"secret": "desk-policy-tls", "required": False}),
    ("AskEndpoint", ENDPOINT, "gateway.access", {"tlsSecret": "tls", "clientAuthoritySecret": "ca"}),
]
MODELS = {"LearnToAskRun": RunSpec, "AskEndpoint": EndpointSpec}


@pytest.mark.parametrize(
    ("kind", "base", "path", "value"),
    CASES,
    ids=[f"{kind}-{path}-{index}" for index, (kind, _, path, _) in enumerate(CASES)],
)
def test_accepted_and_understood_alike(
    cluster: Cluster, kind: str, base: dict[str, Any], path: str, value: Any
) -> None:
    """The server fills in the same defaults as the models, so stages have the same keys as on a laptop."""
    spec = changed(base, path, value)
    answer = tried(cluster, manifest(kind, spec))
    assert answer.status == 201, answer.message
    model = MODELS[kind]
    assert model.model_validate(answer.body["spec"]) == model.model_validate(spec)


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_samples(cluster: Cluster, path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    body["metadata"] |= {"name": "tried-out", "namespace": "default"}
    answer = tried(cluster, body)
    assert answer.status == 201, answer.message
    model = MODELS[body["kind"]]
    assert model.model_validate(answer.body["spec"]) == model.model_validate(body["spec"])


def test_fields_left_empty_are_as_left_out(cluster: Cluster) -> None:
    spec = {**RUN, "dataset": {**RUN["dataset"], "testUri": None, "maxSessions": None}, "ttl": None}
    answer = tried(cluster, manifest("LearnToAskRun", spec))
    assert answer.status == 201, answer.message
    assert not {"testUri", "maxSessions"} & set(answer.body["spec"]["dataset"])
