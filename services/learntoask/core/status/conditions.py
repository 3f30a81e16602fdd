"""Condition types and reasons of our resources, and how a condition is set.

Conditions carry the truth about an object; `phase` only sums them up for printing. All are positive: `True` is the good
or expected state. Events use the same reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.manifest.model import ManifestModel

ConditionStatus = Literal["True", "False", "Unknown"]
_LONGEST_MESSAGE = 1000  # Events refuse 1,024 characters and more

# --- LearnToAskRun: types -------------------------------------------------------------------------------------------
ACCEPTED = "Accepted"
"""The manifest is valid beyond what its schema can say, and its inputs were found. False: it will not run as it is."""
PROGRESSING = "Progressing"
"""Something of the run is at work or about to be. False with the reason: suspended, waiting, or over."""
SUCCEEDED = "Succeeded"
"""The run is over: True, every stage is published; False, the reason says why not. Unknown until then. Never changes
back, unless the run is rewound or its manifest is edited."""
WITHIN_BUDGET = "WithinBudget"
"""GPU-hours used are below `spec.budget.gpuHours`; exists only with a budget."""

# --- LearnToAskRun: reasons -----------------------------------------------------------------------------------------
INVALID_SPEC = "InvalidSpec"
"""The manifest contradicts itself in a way that its schema does not express; the message names the field."""
RESOLVING_INPUTS = "ResolvingInputs"
"""A pod computes the digests of logs, pack and base model."""
INPUTS_RESOLVED = "InputsResolved"
"""The digests of all inputs are known."""
STAGE_STARTED = "StageStarted"
"""An attempt of a stage was created."""
STAGE_PUBLISHED = "StagePublished"
"""A stage's output lies in the store."""
STAGE_FAILED = "StageFailed"
"""An attempt of a stage failed and counts; another follows while attempts are left."""
STAGE_DISRUPTED = "StageDisrupted"
"""An attempt was ended by the cluster (eviction, preemption, a lost node); it does not count."""
NEVER_STARTED = "NeverStarted"
"""No pod of the attempt ran within `spec.startDeadline`; the message says what the scheduler or Kueue waits for."""
DEADLINE_EXCEEDED = "DeadlineExceeded"
"""An attempt ran longer than `spec.stageDeadline`."""
RUNNING = "Running"
"""Stages are at work."""
QUEUED = "Queued"
"""A Job waits to be admitted by Kueue."""
WAITING_FOR_PODS = "WaitingForPods"
"""Pods were created and none of them runs yet."""
RETRYING = "Retrying"
"""A failed attempt is repeated after a pause."""
SUSPENDING = "Suspending"
"""`spec.suspend` is true and pods still end."""
SUSPENDED = "Suspended"
"""`spec.suspend` is true and nothing runs."""
RESUMED = "Resumed"
"""`spec.suspend` was taken back."""
CANCELLED = "Cancelled"
"""The annotation learntoask.io/cancel ended the run."""
RUN_SUCCEEDED = "RunSucceeded"
"""Every stage is published."""
RUN_FAILED = "RunFailed"
"""A stage has used up its attempts, or cannot succeed; the message says which and why."""
GATE_FAILED = "GateFailed"
"""The evaluation gate refused the policy; it is not served."""
BUDGET_EXHAUSTED = "BudgetExhausted"
"""The run used its GPU-hours; checkpoints and published stages stay."""
WITHIN_LIMITS = "WithinLimits"
"""GPU-hours are left."""
REWOUND = "Rewound"
"""The annotation learntoask.io/rerun made stages run anew."""
ENDPOINT_APPLIED = "EndpointApplied"
"""The AskEndpoint now names this run's policy."""
ENDPOINT_FOREIGN = "EndpointForeign"
"""The AskEndpoint of that name was made by somebody else and is left alone."""
CHILD_FOREIGN = "ChildForeign"
"""An object of a child's name exists and is not this run's; it is left alone."""
EXPIRED = "Expired"
"""The run finished longer than `spec.ttl` ago and is removed."""

# --- AskEndpoint: types ---------------------------------------------------------------------------------------------
READY = "Ready"
"""Asks are answered by a policy: a gateway is up, and servers of the serving revision are warm."""
ROLLED_OUT = "RolledOut"
"""The policy that the spec asks for answers every ask. False: the reason says how far it is, or why it failed."""
GATEWAY_READY = "GatewayReady"
"""At least one gateway takes calls; without a policy server it answers with the fallback."""

# --- AskEndpoint: reasons -------------------------------------------------------------------------------------------
WAITING_FOR_POLICY = "WaitingForPolicy"
"""The run that `spec.policy.run` names has published no policy yet."""
SERVERS_STARTING = "ServersStarting"
"""Servers of the new policy were created; they load the model and warm up, without traffic."""
WARM_UP_FAILED = "WarmUpFailed"
"""Servers of the new policy did not warm up; they got no traffic and are stopped, unless no other policy serves."""
SHIFTING_TRAFFIC = "ShiftingTraffic"
"""Old and new servers answer side by side until there are enough new ones."""
DRAINING_OLD = "DrainingOld"
"""All traffic goes to the new policy; old servers finish what they are at."""
ROLLOUT_COMPLETE = "RolloutComplete"
"""The policy that the spec asks for serves alone."""
SERVING = "Serving"
"""Policy servers answer."""
NO_SERVERS = "NoServers"
"""No policy server is ready; gateways answer with the fallback."""
SCALED_TO_ZERO = "ScaledToZero"
"""`spec.replicas` is 0."""
GATEWAY_AVAILABLE = "GatewayAvailable"
"""Gateways take calls."""
GATEWAY_STARTING = "GatewayStarting"
"""No gateway takes calls yet; the message says what its container said last."""


class Condition(ManifestModel):
    """As metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """What the condition is about."""
    status: ConditionStatus
    """Whether it holds."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The metadata.generation that was seen when the condition was computed."""
    last_transition_time: Annotated[str, Field(max_length=40)]
    """When `status` last changed."""
    reason: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, as one word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, for a person."""


def set_condition(
    conditions: Sequence[Condition],
    type: str,
    status: ConditionStatus,
    *,
    reason: str,
    message: str = "",
    generation: int,
    now: float,
) -> tuple[Condition, ...]:
    """`conditions` with that of `type` as given; the time of its last transition stays while `status` does."""
    before = next((one for one in conditions if one.type == type), None)
    since = before.last_transition_time if before and before.status == status else timestamp(now)
    condition = Condition(
        type=type,
        status=status,
        observed_generation=generation,
        last_transition_time=since,
        reason=reason,
        message=shorten(message),
    )
    if before is None:
        return (*conditions, condition)
    return tuple(condition if one is before else one for one in conditions)


def remove_condition(conditions: Sequence[Condition], type: str) -> tuple[Condition, ...]:
    """`conditions` without that of `type`: a condition exists only while what it is about does."""
    return tuple(one for one in conditions if one.type != type)


def find_condition(conditions: Sequence[Condition], type: str) -> Condition | None:
    return next((one for one in conditions if one.type == type), None)


def timestamp(now: float) -> str:
    """Seconds since the epoch as Kubernetes writes times: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(time: str) -> float:
    """The inverse of `timestamp`; fractions of a second (microTime) are understood too."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def shorten(message: str, limit: int = _LONGEST_MESSAGE) -> str:
    """`message` within `limit` characters: its beginning and its end, where the cause stands."""
    if len(message) <= limit:
        return message
    head = limit // 3
    return f"{message[:head]} … {message[len(message) - (limit - head - 3) :]}"
