"""Types and reasons of the conditions of LearnToAskRun and AskEndpoint, and functions that set conditions.

Programs should read the conditions; `phase` only summarises them for printing. For every type except `Stalled`, `True`
is the good or expected state. Events use the same reasons.
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
"""True: the manifest passed the checks that its schema cannot express, and its inputs were found. False: the run cannot
run with this manifest."""
PROGRESSING = "Progressing"
"""True: a stage of the run is running or about to start. False: the run is suspended, waiting or finished; see the
reason."""
SUCCEEDED = "Succeeded"
"""True: all stages are published. False: the run finished without that; see the reason. Unknown: it is not finished.
The condition only changes back when the run is rewound or its manifest is edited."""
RECONCILING = "Reconciling"
"""True: the run, or the rollout of the endpoint, goes on by itself. The condition only exists while it is True. Tools
that follow the rules of kstatus, such as Flux, read it."""
STALLED = "Stalled"
"""True: the run or endpoint goes no further until somebody does something: it failed, was cancelled, or is refused. The
condition only exists while it is True. Tools that follow the rules of kstatus, such as Flux, read it."""
WITHIN_BUDGET = "WithinBudget"
"""True: the run has used less than `spec.budget.gpuHours`. The condition only exists if a budget is set."""

# --- LearnToAskRun: reasons -----------------------------------------------------------------------------------------
INVALID_SPEC = "InvalidSpec"
"""The manifest contradicts itself in a way that its schema cannot express; the message names the field."""
RESOLVING_INPUTS = "ResolvingInputs"
"""A pod is computing the digests of logs, pack and base model."""
INPUTS_RESOLVED = "InputsResolved"
"""The digests of all inputs are known."""
STAGE_STARTED = "StageStarted"
"""An attempt of a stage was created."""
STAGE_PUBLISHED = "StagePublished"
"""The output of a stage is in the store."""
STAGE_FAILED = "StageFailed"
"""An attempt of a stage failed. Another attempt follows unless the stage has used `spec.attempts`."""
STAGE_DISRUPTED = "StageDisrupted"
"""The cluster ended an attempt (eviction, preemption, lost node). It does not count against `spec.attempts`."""
NEVER_STARTED = "NeverStarted"
"""No pod of the attempt ran within `spec.startDeadline`; the message says what it waited for."""
CANNOT_START = "CannotStart"
"""The pods of the attempt lack something that somebody has to mend: a Secret, ConfigMap, claim, service account,
priority class or image is missing, or the namespace does not allow them. It still did after a minute, so the run
failed. Mend what the message names, and annotate the run with learntoask.io/retry."""
DEADLINE_EXCEEDED = "DeadlineExceeded"
"""An attempt ran longer than `spec.stageDeadline`."""
RUNNING = "Running"
"""Stages are running."""
QUEUED = "Queued"
"""A Job waits for its admission by Kueue."""
WAITING_FOR_REVIEW = "WaitingForReview"
"""People still have to answer; the message says how many answers are missing and where they are given. No pod and no
GPU waits."""
REVIEW_DEADLINE_EXCEEDED = "ReviewDeadlineExceeded"
"""Answers were still missing at `spec.calibrate.deadline`, and `spec.calibrate.onDeadline` is `fail`."""
WAITING_FOR_PODS = "WaitingForPods"
"""A Job was created, and none of its pods runs yet; the message says why, as soon as the cluster tells it."""
RETRYING = "Retrying"
"""A failed attempt is retried after a delay."""
SUSPENDING = "Suspending"
"""`spec.suspend` is true, and some pods are still ending."""
SUSPENDED = "Suspended"
"""`spec.suspend` is true, and no pod runs."""
RESUMED = "Resumed"
"""`spec.suspend` was set to false again."""
CANCELLED = "Cancelled"
"""The annotation learntoask.io/cancel ended the run."""
RUN_SUCCEEDED = "RunSucceeded"
"""Every stage is published."""
RUN_FAILED = "RunFailed"
"""A stage used all its attempts or cannot succeed; the message names the stage and the cause."""
GATE_FAILED = "GateFailed"
"""The evaluation gate refused the policy, so it is not served."""
GRADER_NOT_CALIBRATED = "GraderNotCalibrated"
"""People disagree with labels or graders, or have not answered enough to say; nothing is trained. The message says what
to do."""
BUDGET_EXHAUSTED = "BudgetExhausted"
"""The run used all its GPU-hours; its checkpoints and published stages are kept."""
WITHIN_LIMITS = "WithinLimits"
"""The run has GPU-hours left."""
REWOUND = "Rewound"
"""The annotation learntoask.io/rerun made stages run again."""
ENDPOINT_APPLIED = "EndpointApplied"
"""The run's policy was written into the AskEndpoint."""
ENDPOINT_FOREIGN = "EndpointForeign"
"""An AskEndpoint of this name exists that the operator did not create for this run; the operator does not change it."""
CHILD_FOREIGN = "ChildForeign"
"""An object with the name of a child exists that does not belong to this run or endpoint; the operator does not change
it."""
CHILD_REFUSED = "ChildRefused"
"""The API server refuses a child: its fields contradict each other, or a quota, a policy or a missing right forbids it.
The message names the child and the field. The operator tries again every 30 seconds."""
EXPIRED = "Expired"
"""The run finished more than `spec.ttl` ago and is deleted."""

# --- AskEndpoint: types ---------------------------------------------------------------------------------------------
READY = "Ready"
"""True: a policy answers calls, because servers of the serving revision are warm and every ready gateway sees one.
Unknown: a gateway has not told the operator yet what it sees."""
ROLLED_OUT = "RolledOut"
"""True: the policy in the spec answers all calls. False: the reason gives the state of its rollout or its failure."""
GATEWAY_READY = "GatewayReady"
"""True: at least one gateway accepts calls. Without a policy server it answers with the fallback."""

ROLLOUT_HEALTHY = "RolloutHealthy"
"""True: nothing speaks against the policy that is tried, or it was promoted. False: it did harm, or nothing can be
learned; see the reason. The condition only exists once a policy was tried."""

# --- AskEndpoint: reasons -------------------------------------------------------------------------------------------
WAITING_FOR_POLICY = "WaitingForPolicy"
"""The run in `spec.policy.run` does not exist, or has not published a policy yet."""
PODS_REFUSED = "PodsRefused"
"""The cluster refuses to create pods of servers or gateways; the message says why (quota, service account, policy)."""
SERVERS_STARTING = "ServersStarting"
"""Servers of the new policy were created; they load the model and warm up without traffic."""
WARM_UP_FAILED = "WarmUpFailed"
"""Servers of the new policy did not warm up. They got no traffic and are stopped, unless no other policy serves."""
TRYING_POLICY = "TryingPolicy"
"""The policy in the spec is tried on a part of the conversations (`status.rollout`); the message says what is waited
for."""
ROLLED_BACK = "RolledBack"
"""The policy in the spec was tried and rolled back; the message says why. The old one serves. A change of the spec
begins another attempt."""
SHIFTING_TRAFFIC = "ShiftingTraffic"
"""Servers of the old and the new policy both answer until enough new ones are ready."""
DRAINING_OLD = "DrainingOld"
"""All traffic goes to the new policy, and the old servers finish their requests."""
ROLLOUT_COMPLETE = "RolloutComplete"
"""The policy in the spec is the only one that serves."""
SERVING = "Serving"
"""Policy servers answer."""
NO_SERVERS = "NoServers"
"""No policy server is ready; gateways answer with the fallback."""
SERVERS_NOT_SEEN = "ServersNotSeen"
"""Policy servers are ready, and a gateway sees none of them; it answers with the fallback."""
GATEWAYS_SILENT = "GatewaysSilent"
"""A gateway has not told the operator which servers it sees; the message names the address that it needs to reach."""
SCALED_TO_ZERO = "ScaledToZero"
"""`spec.replicas` is 0."""
GATEWAY_AVAILABLE = "GatewayAvailable"
"""Gateways accept calls."""
GATEWAY_STARTING = "GatewayStarting"
"""No gateway accepts calls yet; the message contains the last output of its container."""

ROLLOUT_COLLECTING = "Collecting"
"""Conversations are compared, or copies judged; neither verdict is reached."""
ROLLOUT_PROMOTED = "Promoted"
"""The policy that was tried was shown to be no worse, or somebody promoted it."""
ROLLOUT_PAUSED = "Paused"
"""Somebody paused the rollout; harm still leads to a rollback."""
ROLLOUT_HARM = "HarmShown"
"""The policy that was tried does more harm by a guard; the message says by how much, on how many conversations."""
ROLLOUT_LIMIT = "LimitExceeded"
"""Calls to the policy that was tried fail, or are slow, beyond `strategy.limits`."""
ROLLOUT_BY_HAND = "ByHand"
"""Somebody ended the rollout."""
ROLLOUT_TOO_LONG = "TooLong"
"""The rollout takes longer than `strategy.maxDuration`."""
ASSIGNMENT_SKEWED = "AssignmentSkewed"
"""The arms did not get their shares of the new conversations, so they cannot be compared."""
CALLERS_UNKNOWN = "CallersUnknown"
"""`strategy.unit` is caller, and no request names its caller, so that no conversation gets the policy that is tried."""

AUTOSCALED = "Autoscaled"
"""True: the autoscalers of the endpoint read their metric and set the number of pods. False: one cannot, and the number
stays as it is. The condition only exists with `spec.autoscaling` or `spec.gateway.autoscaling`."""
AUTOSCALING = "Autoscaling"
"""The autoscalers read their metric."""
AUTOSCALER_STARTING = "AutoscalerStarting"
"""An autoscaler has not looked at its metric yet."""
AUTOSCALER_BLIND = "AutoscalerBlind"
"""An autoscaler cannot read its metric; the message is its own. For `cpu` the cluster needs the metrics server, for
`inFlight` an adapter of Prometheus metrics."""


class Condition(ManifestModel):
    """A condition, as metav1.Condition of Kubernetes."""

    type: Annotated[str, Field(max_length=316)]
    """Type of the condition."""
    status: ConditionStatus
    """Whether the condition is met."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The metadata.generation for which the condition was computed."""
    last_transition_time: Annotated[str, Field(max_length=40)]
    """Time when `status` last changed (RFC 3339)."""
    reason: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Cause of the status, as a CamelCase word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Cause of the status, as a sentence for a person."""


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
    """Return `conditions` with the one of `type` set; its transition time only changes when `status` changes."""
    before = find_condition(conditions, type)
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
    return tuple(condition if other is before else other for other in conditions)


def remove_condition(conditions: Sequence[Condition], type: str) -> tuple[Condition, ...]:
    """Return `conditions` without the one of `type`."""
    return tuple(condition for condition in conditions if condition.type != type)


def find_condition(conditions: Sequence[Condition], type: str) -> Condition | None:
    """Return the condition of `type`, or None."""
    return next((condition for condition in conditions if condition.type == type), None)


def timestamp(now: float) -> str:
    """Format seconds since the epoch as Kubernetes does: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(time: str) -> float:
    """Return the seconds since the epoch of a time in a Kubernetes object, with or without fractions of a second."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def shorten(message: str, limit: int = _LONGEST_MESSAGE) -> str:
    """Shorten `message` to `limit` characters. The end is kept too, because error messages often end with the cause."""
    if len(message) <= limit:
        return message
    head = limit // 3
    return f"{message[:head]} … {message[len(message) - (limit - head - 3) :]}"
