"""The state of a rollout that moves in steps: counts of both arms, what they have shown, and what is waited for.

The operator keeps it in the status of the AskEndpoint, and a gateway without an operator in a file. Verdicts depend on
the counts alone, so anybody can compute them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.run import Count, StatusModel, Time

Stage = Literal["Shadow", "Steps", "Promoted", "RolledBack"]
"""Shadow: the canary answers copies only. Steps: it gets the weight of a step. Promoted, RolledBack: the end."""
Verdict = Literal["Hold", "Promote", "Rollback"]
MetricName = Annotated[str, Field(max_length=80)]
Arm = Literal["control", "canary"]


class MetricCounts(StatusModel):
    """Observed conversations of both arms, and those with the harmful event.

    A number of one gateway may be negative, because it takes back what another gateway counts of a conversation that
    has moved; the sums over all gateways are not.
    """

    metric: MetricName
    """Name of the metric; `outcome/NAME` for an outcome."""
    canary_events: int = 0
    """Conversations of the canary with the event."""
    canary: int = 0
    """Observed conversations of the canary."""
    control_events: int = 0
    """Conversations of the control with the event."""
    control: int = 0
    """Observed conversations of the control."""

    def plus(self, other: MetricCounts) -> MetricCounts:
        """Return the sum of both counts of one metric."""
        return MetricCounts(
            metric=self.metric,
            canary_events=self.canary_events + other.canary_events,
            canary=self.canary + other.canary,
            control_events=self.control_events + other.control_events,
            control=self.control + other.control,
        )


class WeightCounts(StatusModel):
    """Counts of the conversations that were born while the canary had one weight."""

    weight: Annotated[int, Field(ge=1, le=99)]
    """Percent of the new conversations that the canary got."""
    canary_born: Count = 0
    """Conversations that were assigned to the canary."""
    control_born: Count = 0
    """Conversations that were assigned to the control."""
    canary_ended: int = 0
    """Conversations of the canary that were observed."""
    control_ended: int = 0
    """Conversations of the control that were observed."""
    metrics: Annotated[tuple[MetricCounts, ...], Field(max_length=16)] = ()
    """Counts of each metric."""

    def plus(self, other: WeightCounts) -> WeightCounts:
        """Return the sum of both counts of one weight."""
        metrics = {counts.metric: counts for counts in self.metrics}
        for counts in other.metrics:
            known = metrics.get(counts.metric)
            metrics[counts.metric] = counts if known is None else known.plus(counts)
        return WeightCounts(
            weight=self.weight,
            canary_born=self.canary_born + other.canary_born,
            control_born=self.control_born + other.control_born,
            canary_ended=self.canary_ended + other.canary_ended,
            control_ended=self.control_ended + other.control_ended,
            metrics=tuple(metrics[name] for name in sorted(metrics)),
        )


class RolloutCounts(StatusModel):
    """Everything that verdicts depend on. Counts of several gateways add up."""

    weights: Annotated[tuple[WeightCounts, ...], Field(max_length=20)] = ()
    """Counts of each weight that was in force."""
    calls: Count = 0
    """Calls to servers of the canary."""
    failed: Count = 0
    """Those of them that failed."""
    slow: Count = 0
    """Those of them that took longer than `limits.latency`."""
    switched: Count = 0
    """Conversations that went on with another policy, for example because a server was lost; only `error` observes
    them."""
    returning: Count = 0
    """Conversations that are not counted because their caller was counted before; with `unit: caller`."""
    without_caller: Count = 0
    """Conversations that are not counted because their requests name no caller; with `unit: caller`."""
    copies: Count = 0
    """Copies of conversations that the canary answered unseen."""
    dropped: Count = 0
    """Copies that were dropped because there were too many."""
    better: Count = 0
    """Copied conversations in which the canary made fewer faults than the control."""
    alike: Count = 0
    """Copied conversations in which both made as many."""
    worse: Count = 0
    """Copied conversations in which the canary made more."""

    def plus(self, other: RolloutCounts) -> RolloutCounts:
        """Return the sum of both counts."""
        weights = {counts.weight: counts for counts in self.weights}
        for counts in other.weights:
            known = weights.get(counts.weight)
            weights[counts.weight] = counts if known is None else known.plus(counts)
        numbers = {name: getattr(self, name) + getattr(other, name) for name in COUNTED_NUMBERS}
        return RolloutCounts(weights=tuple(weights[weight] for weight in sorted(weights)), **numbers)

    def born(self, arm: Arm) -> int:
        """Return the conversations that were assigned to an arm, at all weights."""
        return sum(getattr(of_weight, f"{arm}_born") for of_weight in self.weights)

    def ended(self, arm: Arm) -> int:
        """Return the conversations of an arm that were observed, at all weights."""
        return sum(getattr(of_weight, f"{arm}_ended") for of_weight in self.weights)

    def at(self, weight: int) -> WeightCounts:
        """Return the counts of one weight."""
        found = (counts for counts in self.weights if counts.weight == weight)
        return next(found, WeightCounts(weight=weight))


class JudgedPairs(StatusModel):
    """What people said about copied conversations in which the answers differed, each counted once."""

    id: Annotated[str, Field(max_length=63)]
    """Identifier of the rollout."""
    better: Count = 0
    """Conversations in which the canary's answer was the better one."""
    alike: Count = 0
    """Conversations in which both were as good."""
    worse: Count = 0
    """Conversations in which the control's answer was the better one."""


COUNTED_NUMBERS = tuple(name for name in RolloutCounts.model_fields if name != "weights")
"""Names of the counts that do not depend on the weight."""


def total(parts: Iterable[RolloutCounts]) -> RolloutCounts:
    """Return the sum of counts."""
    whole = RolloutCounts()
    for part in parts:
        whole = whole.plus(part)
    return whole


class Evidence(StatusModel):
    """What the conversations so far show about one metric. E-values are logarithms."""

    metric: MetricName
    """Name of the metric."""
    canary: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the canary's conversations with the event."""
    control: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the control's conversations with the event."""
    observed: Count = 0
    """Conversations of the canary in which the metric was observed."""
    harm: float = 0.0
    """Evidence that the canary does more harm; a rollback at the logarithm of guards/alpha."""
    safe: float = 0.0
    """Evidence that it does no more harm than the margin allows; enough at the logarithm of 1/alpha."""


class Look(StatusModel):
    """The evidence at one time."""

    time: Time
    """Time of the look (RFC 3339)."""
    conversations: Count = 0
    """Conversations that were born, of both arms."""
    canary: Count = 0
    """Those of the canary."""
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=8)] = ()
    """Evidence about each guard."""


class RolloutStatus(StatusModel):
    """The state of a rollout in steps."""

    id: Annotated[str, Field(max_length=63)]
    """Identifier of the rollout; with the conversation's id it decides the arm."""
    stable: Annotated[str, Field(max_length=80)] = ""
    """Revision of the control."""
    canary: Annotated[str, Field(max_length=80)] = ""
    """Revision of the canary."""
    stage: Stage
    """Part of the rollout: copies, steps, or its end."""
    step: Count = 0
    """Number of the step, counted from 0."""
    weight: Annotated[int, Field(ge=0, le=100)] = 0
    """Percent of the new conversations that the canary gets."""
    started: Time
    """Time when the rollout began (RFC 3339)."""
    step_started: Time
    """Time when the step began (RFC 3339)."""
    ended: Time | None = None
    """Time of the promotion or rollback (RFC 3339)."""
    paused: bool = False
    """Whether somebody paused it. Harm still leads to a rollback."""
    verdict: Verdict = "Hold"
    """Rollback: harm was shown. Promote: every guard was shown to be no worse. Hold: neither yet."""
    reason: Annotated[str, Field(max_length=100)] = ""
    """Cause of the verdict, as a CamelCase word."""
    message: Annotated[str, Field(max_length=1000)] = ""
    """Cause of the verdict, or what is waited for, as a sentence."""
    remaining: Count | None = None
    """Conversations of both arms that are probably still needed, if both policies are alike."""
    harmful: Annotated[tuple[MetricName, ...], Field(max_length=16)] = ()
    """Metrics in which harm was shown."""
    safe: Annotated[tuple[MetricName, ...], Field(max_length=16)] = ()
    """Metrics that were shown to be no worse."""
    counts: RolloutCounts = RolloutCounts()
    """Counts at the last look."""
    judged: JudgedPairs | None = None
    """What people said about the copies. Then it decides, and not what the patterns of the pack show."""
    verdicts: Annotated[tuple[Look, ...], Field(max_length=40)] = ()
    """Looks, oldest first; older ones are thinned out."""


class RolloutFile(StatusModel):
    """A rollout as gateways read it; `state` is None while no policy is tried."""

    strategy: Strategy
    """How the policy is tried."""
    state: RolloutStatus | None = None
    """The state of the rollout."""
