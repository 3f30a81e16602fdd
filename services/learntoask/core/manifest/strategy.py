"""How a new policy is tried on live conversations before it takes all of them (docs/rollout.md)."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from learntoask.core.manifest.duration import Duration, PositiveDuration
from learntoask.core.manifest.model import ManifestModel

Metric = Literal[
    "stoppedEarly",
    "askedAfterKnown",
    "repeatedQuestion",
    "nonAnswer",
    "abandoned",
    "takenOver",
    "repaired",
    "error",
    "outcome",
]
"""An event that does harm to a conversation: it happened or not, so every conversation is one observation."""
METRICS: tuple[Metric, ...] = get_args(Metric)
Percent = Annotated[int, Field(ge=1, le=99)]
Margin = Annotated[float, Field(gt=0, lt=1)]


class Step(ManifestModel):
    """A share of the new conversations, and how long it stays at least."""

    weight: Percent
    """Percent of the new conversations that the new policy gets."""
    pause: Duration = "0s"
    """Shortest time at this weight."""
    min_conversations: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    """Smallest number of conversations that the new policy has finished at this weight before the next step."""


class Outcome(ManifestModel):
    """Which reported outcomes are good. Give `labels`, or `atLeast` for an outcome that is a number."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of the outcome, as it is reported."""
    labels: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=20)
    ] = ()
    """Labels that are good; every other one is harm."""
    at_least: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    """Smallest good number; every smaller one is harm."""

    @model_validator(mode="after")
    def _one_rule(self) -> Outcome:
        if bool(self.labels) == (self.at_least is not None):
            raise ValueError("give labels or atLeast")
        return self


class Guard(ManifestModel):
    """A metric that must not get worse."""

    metric: Metric
    """Harmful event: `stoppedEarly` (the policy stopped with a required field missing), `askedAfterKnown` (it asked
    when every required field was known), `repeatedQuestion` (it asked the same again), `nonAnswer` (the user did not
    answer), `abandoned` (the policy had not stopped when the conversation was observed), `takenOver` (an expert wrote),
    `repaired` (an answer was repaired or replaced), `error` (a server failed), or `outcome` (a bad one was reported).
    The first two need patterns of the pack's fields."""
    margin: Margin = 0.05
    """Largest rise of the share of conversations with this event that counts as no worse."""
    outcome: Outcome | None = None
    """Which reported outcomes are good; for `metric: outcome`."""

    @model_validator(mode="after")
    def _outcome_with_rule(self) -> Guard:
        if (self.metric == "outcome") != (self.outcome is not None):
            raise ValueError("metric outcome needs outcome, and other metrics have none")
        return self


class Shadow(ManifestModel):
    """Copies of conversations that the new policy answers too, without anybody seeing its answers."""

    pairs: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Number of judged conversations after which the new policy gets its first users, unless it is worse."""
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the conversations that are copied."""


class Limits(ManifestModel):
    """Limits on the new policy's calls that act at once, before there is evidence about conversations."""

    errors: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Largest share of its calls that may fail."""
    latency: PositiveDuration | None = None
    """Longest time for 95 % of its calls."""
    after: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Number of its calls from which on the limits hold."""


class Strategy(ManifestModel):
    """How a new policy gets traffic: all at once, or in steps with a control arm and verdicts."""

    mode: Literal["replace", "shadow", "canary", "ab"] = "replace"
    """`replace`: it gets all traffic as soon as its servers are warm. `shadow`: it answers copies only, until somebody
    promotes it. `canary`: it gets the weights of `steps` one after the other and is promoted or rolled back by the
    evidence. `ab`: it keeps the weight of the one step until the evidence about `primary` decides."""
    shadow: Shadow | None = None
    """Copies before the first step; needed by mode `shadow`, and optional in mode `canary`."""
    unit: Literal["conversation", "caller"] = "conversation"
    """What is assigned, and counted once. `conversation`: each one by itself. `caller`: a person with all of their
    conversations, of which the first one is counted; every request has to name the person in `caller_id`."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=10)] = (
        Step(weight=10),
        Step(weight=50),
    )
    """Weights, in rising order."""
    guards: Annotated[tuple[Guard, ...], Field(min_length=1, max_length=8)] = (
        Guard(metric="abandoned"),
        Guard(metric="repeatedQuestion"),
        Guard(metric="repaired"),
    )
    """Metrics that must not get worse. The probability of a false alarm is divided among them."""
    primary: Metric | None = None
    """Metric of `guards` that mode `ab` wants to see improved."""
    control: Literal["policy", "fallback"] = "policy"
    """What the other conversations get in mode `ab`: the old policy, or no policy but the pack's fallback question."""
    alpha: Annotated[float, Field(ge=0.001, le=0.2)] = 0.05
    """Largest probability of rolling back a policy that is as good, over all looks together; likewise of promoting one
    that is worse by the margin."""
    min_conversations: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Smallest number of conversations of the new policy before it is promoted."""
    observe_within: PositiveDuration = "10m"
    """Time after its first message at which a conversation is observed as it is then, if it has not ended before."""
    max_duration: PositiveDuration | None = None
    """Longest time of a rollout. Without an end in it, `onMaxDuration` says what follows; it is never a promotion."""
    on_max_duration: Literal["hold", "rollback"] = "hold"
    """`hold`: keep the weight, and say so. `rollback`: go back to the old policy."""
    on_rollback: Literal["finish", "evict"] = "finish"
    """Whether conversations of a policy that is rolled back finish with it, or move to the old policy at once."""
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _consistent(self) -> Strategy:
        weights = [step.weight for step in self.steps]
        if any(after <= before for before, after in itertools.pairwise(weights)):
            raise ValueError("the weights of steps must rise")
        if len({(guard.metric, guard.outcome and guard.outcome.name) for guard in self.guards}) < len(
            self.guards
        ):
            raise ValueError("two guards have the same metric")
        if self.mode == "shadow" and self.shadow is None:
            raise ValueError("mode shadow needs shadow")
        if self.mode == "ab" and (self.shadow is not None or len(self.steps) != 1):
            raise ValueError("mode ab has exactly one step and no shadow")
        if (self.mode == "ab") != (self.primary is not None):
            raise ValueError("mode ab needs primary, and other modes have none")
        if self.primary is not None and sum(guard.metric == self.primary for guard in self.guards) != 1:
            raise ValueError("primary must be the metric of one guard")
        if self.control == "fallback" and self.mode != "ab":
            raise ValueError("control fallback needs mode ab")
        if self.control == "fallback" and self.unit == "caller":  # later conversations would have a policy
            raise ValueError("control fallback needs unit conversation")
        return self
