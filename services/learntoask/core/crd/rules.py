"""The checks of the manifest models' validators as CEL expressions.

With them the API server itself refuses a contradictory manifest, without a webhook. A rule on an optional object must
also hold for `{}`, the default of the object before the defaults of its fields are filled in.

Three checks are missing here, and the operator reports their failures in the status: whether a pattern in `redact`
compiles (Python's syntax is not CEL's), whether two judges are the same model in spite of different parameters, and the
names in `deepspeed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from learntoask.core.manifest import address, grader_metric
from learntoask.core.manifest.duration import LONGEST
from learntoask.core.manifest.metric import (
    ASSESSMENT,
    ASSESSMENT_METRICS,
    CALIBRATION_METRICS,
    CALIBRATION_PREFIX,
    CORRECTED,
    CORRECTED_METRICS,
    DIFFERENCES,
    GAP_METRICS,
    GRADER_PREFIX,
    METRICS,
    POLICIES,
    REPEAT_METRICS,
    REPEATS,
    REPLAY_METRICS,
    UNBOUNDED,
)
from learntoask.core.manifest.pod import Pods


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
    stored run would contain sixteen empty pod templates. `described_in`: of the object's fields only this one
    describes the fields below it, so that the definition stays small enough for the annotation of `kubectl apply`.
    """

    model: tuple[Rule, ...] = ()
    fields: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    reserved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keyed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    bare: bool = False
    described_in: str | None = None


def metric_pattern() -> str:
    """Return the regular expression of the names that `learntoask.core.manifest.metric.check_metric` accepts."""

    policy = rf"({_any_of(POLICIES)}\.)?"
    return "|".join(
        (
            rf"^{policy}(sampled\.)?((seen|unseen)\.)?{_any_of(METRICS)}$",
            rf"^gap(-growth)?\.{_any_of(GAP_METRICS)}$",
            rf"^{_DIFFERENCES}\.{_any_of(METRICS)}$",
            rf"^{policy}replay\.{_any_of(REPLAY_METRICS)}$",
            rf"^{policy}{REPEATS}\.{_any_of(REPEAT_METRICS)}$",
            rf"^{policy}{ASSESSMENT}\.{_any_of(ASSESSMENT_METRICS)}$",
            rf"^{policy}{CORRECTED}\.{_any_of(CORRECTED_METRICS)}$",
            rf"^{CALIBRATION_PREFIX.replace('.', '[.]')}{_any_of(CALIBRATION_METRICS)}$",
            rf"^{GRADER_PREFIX}({_grader_pattern()})$".replace(GRADER_PREFIX, "grader[.]"),
        )
    ).replace("\\.", "[.]")


def _grader_pattern() -> str:
    figures = _any_of((*grader_metric.FIGURES, *grader_metric.COUNTS))
    forms, form_figures = _any_of(grader_metric.FORMS), _any_of(grader_metric.FORM_FIGURES)
    return "|".join(
        (
            *grader_metric.HEADLINE,
            *grader_metric.SHARES,
            *grader_metric.UNSURE,
            *grader_metric.MEASURED_ON,
            rf"{_ROLES}\.({_any_of(grader_metric.GROUPS)}\.)?{figures}",
            rf"{_ROLES}\.probes\.({_any_of(grader_metric.PROBES)}|{forms}\.{form_figures})",
            rf"{_ROLES}\.asked\.{_any_of(grader_metric.ASKED)}",
            rf"fits\.{_ROLES}\.{_any_of(grader_metric.FITS)}",
        )
    )


def _any_of(names: Iterable[str]) -> str:
    return f"({'|'.join(names)})"


_ROLES = _any_of(grader_metric.ROLES)
_DIFFERENCES = _any_of(f"{after}-{before}" for after, before in DIFFERENCES)
_IS_DIFFERENCE = f"self.metric.matches('^(gap|gap-growth|{_DIFFERENCES})[.]')"
_UNBOUNDED = f"self.metric.matches('^grader[.]|(^|[.]){_any_of(sorted(UNBOUNDED))}$')"


def matching(pattern: str, text: str = "self") -> str:
    """Return a CEL expression that is true if the text matches the regular expression."""
    literal = pattern.replace("\\", "\\\\").replace("'", "\\'")
    return f"{text}.matches('{literal}')"


def _address(kinds: tuple[str, ...], message: str) -> tuple[Rule, ...]:
    return (Rule(cel=matching(address.address_pattern(kinds)), message=message),)


_UPLOAD = "`lta apply` uploads local files and writes their addresses here"
_LOGS = _address(address.LOGS, f"in a cluster this is {address.examples(address.LOGS)}; {_UPLOAD}")
_PACK = _address(address.PACK, f"in a cluster this is {address.examples(address.PACK)}; {_UPLOAD}")
_BASE = _address(address.BASE, f"in a cluster this is {address.examples(address.BASE)}")
_SERVED_MODEL = _address(
    address.SERVED_MODEL, f"in a cluster this is {address.examples(address.SERVED_MODEL)}"
)
_MODEL_FOLDER = _address(address.MODEL_FOLDER, f"give {address.examples(address.MODEL_FOLDER)}")
_STORE = (
    Rule(
        cel=matching(f"^s3://{address.BUCKET}(/.*)?$"), message="in a cluster the store is s3://bucket/prefix"
    ),
)
_NEEDS_MODEL = Rule(
    cel="!has(self.method) || self.method != 'llm' || has(self.llm)",
    message="method llm needs llm.endpoint with uri and model",
    path=".llm",
)


def _gate_needs(condition: str, metrics: str, message: str) -> Rule:
    """Return the rule that no threshold is on one of `metrics` unless the condition on the spec of the run holds."""
    pattern = metrics.replace("{policy}", _any_of(POLICIES)).replace("\\.", "[.]")
    return Rule(
        cel=f"{condition} || !has(self.gate.thresholds) || "
        f"self.gate.thresholds.all(threshold, !{matching(pattern, 'threshold.metric')})",
        message=message,
        path=".gate",
    )


WITHOUT_CREDENTIALS = Rule(
    cel="!self.matches('(?i)^[a-z][a-z0-9+.-]*://[^/]*@|^s3://[^/]*:')",
    message="an address must not carry credentials; give them in a Secret",
)

SOME_TIME = Rule(cel="self.matches('[1-9]')", message="give at least 1s")
BOUNDED_TIME = Rule(
    # A duration of more digits overflows; it is too long, or no duration and refused for that.
    cel="self.matches('^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}s)?$') && self != ''"
    f" ? duration(self) <= duration('{LONGEST}') : !self.matches('[0-9]{{7}}')",
    message=f"give at most {LONGEST} (366 days)",
)

_PODS = tuple(field.alias or name for name, field in Pods.model_fields.items())


def _claims_known(pod: str, *, every: str | None = None) -> Rule:
    """The check of `learntoask.core.manifest.pod.check_claims` for the template `pod`."""
    known = " || ".join(
        f"(has({at}) && has({at}.resourceClaims) && {at}.resourceClaims.exists(claim, claim.name == used.name))"
        for at in (f"self.{name}" for name in (pod, every) if name)
    )
    resources = f"self.{pod}.resources"
    return Rule(
        cel=f"!has(self.{pod}) || !has({resources}) || !has({resources}.claims) || "
        f"{resources}.claims.all(used, {known})",
        message="resources.claims names a claim that is not in resourceClaims",
        path=f".{pod}",
    )


_ORDERED = Rule(cel="self.min <= self.max", message="min is greater than max", path=".min")

RULES: Mapping[str, Rules] = {
    "Dataset": Rules(
        model=(
            Rule(
                cel="self.validationShare + (has(self.testUri) ? 0.0 : self.testShare) < 1.0",
                message="validationShare and testShare leave no session to train on; their sum must be below 1",
                path=".validationShare",
            ),
            Rule(
                cel="!has(self.testUri) || self.testUri != self.uri",
                message="testUri is the same as uri; give other logs, or leave it out and use testShare",
                path=".testUri",
            ),
            Rule(
                cel="has(self.testUri) || self.testShare > 0.0",
                message="testShare 0 holds out no session for the report; raise it, or give held-out logs in testUri",
                path=".testShare",
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
    "JudgeServer": Rules(fields={"model": _SERVED_MODEL}),
    "GraderSettings": Rules(model=(_NEEDS_MODEL,)),
    "Calibrate": Rules(
        model=(
            Rule(
                cel="!has(self.onDeadline) || self.onDeadline != 'fail' || has(self.deadline)",
                message="onDeadline fail needs a deadline",
                path=".deadline",
            ),
        ),
    ),
    "LlmLabelling": Rules(
        model=(
            Rule(
                cel="!has(self.agreement) || (has(self.judges) && size(self.judges) > 0)",
                message="agreement needs judges; give further models there, or leave it out",
                path=".agreement",
            ),
            Rule(
                cel="!has(self.judges) || self.judges.all(judge, judge.uri != self.endpoint.uri"
                " || judge.model != self.endpoint.model || judge.seed != self.endpoint.seed"
                " || judge.maxTokens != self.endpoint.maxTokens || has(judge.parameters)"
                " || has(self.endpoint.parameters))",
                message="a judge would answer as the endpoint; give another model or seed",
                path=".judges",
            ),
            Rule(
                cel="!has(self.budget.cost) || (has(self.endpoint.prices) && "
                "(!has(self.judges) || self.judges.all(judge, has(judge.prices))))",
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
            Rule(
                cel=f"!has(self.bound) || !self.bound.endsWith('OneSided') || {_IS_DIFFERENCE} || "
                f"self.metric == '{CALIBRATION_PREFIX}kappa'",
                message="only differences such as grpo-sft.TA and calibration.kappa have one-sided bounds; use "
                "lower or upper",
                path=".bound",
            ),
            Rule(
                cel=f"!has(self.min) || self.min <= 1.0 || {_UNBOUNDED}",
                message="this metric is at most 1, so nothing passes; for 80 % write 0.8",
                path=".min",
            ),
            Rule(
                cel=f"!has(self.max) || self.max >= ({_IS_DIFFERENCE} ? -1.0 : 0.0) || {_UNBOUNDED}",
                message="this metric is never so small, so nothing passes",
                path=".max",
            ),
        ),
        fields={
            "metric": (
                Rule(
                    cel=f"self.matches('{metric_pattern()}')",
                    message="no report has this metric; it is named [policy.][sampled.][seen.|unseen.]METRIC, "
                    "gap.METRIC, AFTER-BEFORE.METRIC, replay.METRIC, corrected.METRIC, calibration.kappa or "
                    "grader.PATH, METRIC being one of "
                    f"{', '.join(METRICS)}",
                ),
            )
        },
    ),
    "GateSettings": Rules(
        model=(
            Rule(
                cel="!has(self.thresholds) || self.thresholds.all(low, !has(low.min) || self.thresholds.all(high, "
                "!has(high.max) || low.min <= high.max || low.metric != high.metric || low.bound != high.bound))",
                message="a metric cannot be at least the min of one threshold and at most the max of another, smaller "
                "one; change one threshold",
                path=".thresholds",
            ),
        )
    ),
    "Train": Rules(
        model=(
            Rule(
                cel="has(self.assessment) && self.assessment == 'fields' || "
                "!has(self.reward) || !has(self.reward.assessmentWeight) || self.reward.assessmentWeight == 0.0",
                message="reward.assessmentWeight rewards an assessment; set assessment: fields, or leave it 0",
                path=".reward",
            ),
            Rule(
                cel="!has(self.assessment) || self.assessment != 'fields' || "
                "!has(self.sft) || !has(self.sft.turns) || self.sft.turns != 'all'",
                message="assessment: fields is learned from labels, which sft.turns: all does without; "
                "set sft.turns: labelled",
                path=".sft",
            ),
        ),
    ),
    "RunSpec": Rules(
        model=(
            _gate_needs(
                "self.evaluate.replay",
                r"^({policy}\.)?replay\.",
                "replay.… is measured only with evaluate.replay: true",
            ),
            _gate_needs(
                "self.evaluate.samples > 0",
                r"^({policy}\.)?sampled\.",
                "sampled.… is measured only with evaluate.samples of 1 or more",
            ),
            _gate_needs(
                "self.evaluate.base",
                r"^([a-z]+-)?base\.",
                "base.… and …-base.… are measured only with evaluate.base: true",
            ),
            _gate_needs(
                "has(self.calibrate)",
                rf"^(({{policy}}\.)?{CORRECTED}|calibration)\.",
                "corrected.… and calibration.… are measured only with calibrate",
            ),
            _gate_needs(
                "self.train.assessment == 'fields'",
                rf"^({{policy}}\.)?{ASSESSMENT}\.",
                "assessment.… is measured only with train.assessment: fields",
            ),
            *(
                _gate_needs(
                    f"(self.grader.method == 'llm' && has(self.grader.llm) && self.grader.llm.role == '{role}')",
                    rf"^grader\.{role}\.(probes|asked)\.",
                    f"grader.{role}.probes.… and asked.… are measured only with a judge as the {role} grader",
                )
                for role in grader_metric.ROLES
            ),
        )
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
    "Pods": Rules(
        bare=True, described_in="all", model=tuple(_claims_known(pod, every="all") for pod in _PODS)
    ),
    "EndpointPods": Rules(model=tuple(_claims_known(pod) for pod in ("gateway", "policyServer"))),
    "PodTemplate": Rules(bare=True, named=("volumes", "initContainers"), keyed={"resourceClaims": ("name",)}),
    "Resources": Rules(bare=True, keyed={"claims": ("name",)}),
    "ResourceClaim": Rules(
        model=(
            Rule(
                cel="has(self.resourceClaimName) != has(self.resourceClaimTemplateName)",
                message="give resourceClaimName or resourceClaimTemplateName",
                path=".name",
            ),
        )
    ),
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
    "Autoscaling": Rules(model=(_ORDERED,)),
    "GatewayAutoscaling": Rules(model=(_ORDERED,)),
    "Rollout": Rules(
        model=(
            Rule(
                cel="!has(self.maxSurge) || !has(self.maxUnavailable) || self.maxSurge + self.maxUnavailable > 0",
                message="maxSurge and maxUnavailable are both 0: no server could ever be exchanged",
                path=".maxSurge",
            ),
            Rule(
                cel="!has(self.strategy) || !has(self.strategy.mode) || self.strategy.mode == 'replace' || "
                "!has(self.maxSurge) || self.maxSurge > 0",
                message="strategy needs maxSurge of 1 or more, because both policies run while one is tried",
                path=".maxSurge",
            ),
        )
    ),
    "Strategy": Rules(
        model=(
            Rule(
                cel="!has(self.steps) || (self.steps.map(step, step.weight).isSorted() && "
                "self.steps.all(step, self.steps.exists_one(other, other.weight == step.weight)))",
                message="the weights of steps must rise",
                path=".steps",
            ),
            Rule(
                cel="!has(self.guards) || self.guards.all(guard, self.guards.exists_one(other, "
                "other.metric == guard.metric && (!has(other.outcome) || !has(guard.outcome) || "
                "other.outcome.name == guard.outcome.name)))",
                message="two guards have the same metric",
                path=".guards",
            ),
            Rule(
                cel="!has(self.mode) || self.mode != 'shadow' || has(self.shadow)",
                message="mode shadow needs shadow",
                path=".shadow",
            ),
            Rule(
                cel="!has(self.mode) || self.mode != 'ab' || "
                "(!has(self.shadow) && has(self.steps) && size(self.steps) == 1)",
                message="mode ab has exactly one step and no shadow",
                path=".steps",
            ),
            Rule(
                cel="(has(self.mode) && self.mode == 'ab') == has(self.primary)",
                message="mode ab needs primary, and other modes have none",
                path=".primary",
            ),
            Rule(
                cel="!has(self.primary) || !has(self.guards) || "
                "self.guards.exists_one(guard, guard.metric == self.primary)",
                message="primary must be the metric of one guard",
                path=".primary",
            ),
            Rule(
                cel="!has(self.control) || self.control != 'fallback' || (has(self.mode) && self.mode == 'ab')",
                message="control fallback needs mode ab",
                path=".control",
            ),
            Rule(
                cel="!has(self.control) || self.control != 'fallback' || !has(self.unit) || self.unit != 'caller'",
                message="control fallback needs unit conversation",
                path=".unit",
            ),
        )
    ),
    "Outcome": Rules(
        model=(
            Rule(
                cel="(has(self.labels) && size(self.labels) > 0) != has(self.atLeast)",
                message="give labels or atLeast",
                path=".labels",
            ),
        )
    ),
    "Guard": Rules(
        model=(
            Rule(
                cel="(self.metric == 'outcome') == has(self.outcome)",
                message="metric outcome needs outcome, and other metrics have none",
                path=".outcome",
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
