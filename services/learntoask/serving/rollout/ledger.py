"""Keeps each conversation at its arm, and observes it once: a set time after it began, whatever happened by then.

All conversations are observed at the same age, so neither arm is ahead of the other. A conversation that moves from one
gateway to another has a leg at each. Every leg counts what was known at its end and takes back what was known at its
beginning, so that all legs together count the conversation once, without a word between the gateways.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from learntoask.client.wire import AUTHORS
from learntoask.core.manifest.strategy import Outcome
from learntoask.core.records import STOP, Message
from learntoask.core.status.rollout import Arm, RolloutCounts
from learntoask.rollout.assignment import arm_at_birth, position
from learntoask.rpc.requests import InvalidRequest
from learntoask.serving.rollout.callers import CountedCallers
from learntoask.serving.rollout.counts import GatewayCounts
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.progress import Progress, from_wire, to_wire
from learntoask.serving.rollout.traffic import Traffic
from learntoask.wire import ask_pb2 as wire

MOST_CONVERSATIONS = 50_000  # remembered for later requests and outcomes; the one idle longest is forgotten
MOST_OBSERVED = 20_000  # to be observed, whose messages are kept; further ones are left out of comparisons


class Leg:
    """The part of a conversation at this gateway. `progress` is None if it belongs to no rollout."""

    __slots__ = (
        "answer",
        "asked",
        "began_here",
        "copied",
        "extra_faults",
        "known",
        "length",
        "name",
        "observable",
        "outcomes",
        "progress",
        "start",
    )

    def __init__(self, name: str, progress: Progress | None) -> None:
        self.name = name
        self.progress = progress
        self.start: Progress | None = None  # what was known when it came from another gateway
        self.known = 0  # messages that were known then
        self.began_here = False  # and is compared, so that this gateway alone counts its outcomes
        self.observable = False  # whether it is still to be observed
        self.asked: wire.DecideRequest | None = None  # until then
        self.length = 0  # messages of `asked` before the last answer
        self.answer = ""
        self.copied = 0  # answers that the canary gave unseen, and how many more faults they have
        self.extra_faults = 0
        self.outcomes: dict[str, str | float] = {}


class Reported(NamedTuple):
    """Whether a report is the first one here, and whether it counts elsewhere, where the conversation began."""

    first: bool
    elsewhere: bool


class Ledger:
    """The conversations of one gateway. `gateway` identifies its start; `clock` returns seconds since the epoch."""

    def __init__(self, events: EventReader, *, gateway: str, clock: Callable[[], float]) -> None:
        self._events, self.gateway, self._clock = events, gateway, clock
        self._legs: OrderedDict[str, Leg] = OrderedDict()
        self._due: list[tuple[float, int, Leg]] = []
        self._order = itertools.count()
        self.traffic = Traffic()
        self.counts = GatewayCounts()
        self._callers = CountedCallers()

    def set_traffic(self, traffic: Traffic) -> None:
        """Move new conversations as `traffic` says; counts begin at 0 for another rollout."""
        if traffic.rollout != self.traffic.rollout:
            self.counts, self._callers = GatewayCounts(), CountedCallers()
            for _, _, leg in self._due:
                leg.asked = None
            self._due.clear()
        self.traffic = traffic

    def total(self) -> RolloutCounts:
        """Return the counts of the current rollout."""
        return self.counts.total()

    def leg(self, name: str, asked: wire.DecideRequest, *, routing_key: str) -> Leg:
        """Return the conversation that a request belongs to.

        Without a `name` it is not remembered, counted or moved; requests with the same beginning get the same arm.
        """
        traffic = self.traffic
        if not name:
            return Leg("", self._anonymous(asked, routing_key) if traffic.rollout else None)
        known = self._legs.get(name)
        if known is not None:
            self._legs.move_to_end(name)
        carried = from_wire(asked.assignment) if asked.HasField("assignment") else None
        if not traffic.rollout:  # one of a rollout that is over keeps its assignment
            return known or self._remember(Leg(name, carried))
        if carried is not None and carried.rollout == traffic.rollout:
            if known is None or not self.is_current(known) or asked.assignment.gateway != self.gateway:
                known = self._remember(self._arrived(name, carried, asked))
        elif known is None or (not self.is_current(known) and _begins(asked)):
            known = self._remember(self._begun(name, asked, from_another=carried is not None))
        return known

    def is_current(self, leg: Leg) -> bool:
        """Return whether the conversation belongs to the current rollout."""
        return leg.progress is not None and leg.progress.rollout == self.traffic.rollout

    def began_here(self, name: str) -> bool:
        """Return whether the conversation began at this gateway, and is compared."""
        leg = self._legs.get(name)
        return leg is not None and leg.began_here

    def arm(self, leg: Leg) -> Arm:
        """Return the arm whose servers are asked now."""
        progress = leg.progress
        if progress is None or not self.is_current(leg):
            return "control"
        if progress.answering == "canary" and self.traffic.evict:
            self.move(leg)
            return "control"
        return progress.answering

    def has_no_policy(self, leg: Leg) -> bool:
        """Return whether the pack's fallback answers: that is the control, and the conversation is compared with it."""
        progress = leg.progress
        if not self.traffic.no_policy or not leg.name or progress is None or not self.is_current(leg):
            return False
        return progress.arm == "control" and _is_compared(progress)

    def move(self, leg: Leg) -> None:
        """Mark a conversation that goes on with another policy; one of the canary is answered by the control."""
        if leg.progress is not None and not leg.progress.moved:
            self.counts.switched += self.is_current(leg)
            leg.progress = replace(leg.progress, moved=True)

    def answered(self, leg: Leg, asked: wire.DecideRequest, decision: wire.Decision, *, failed: bool) -> None:
        """Note an answer, and write the assignment into it, also once the rollout is over. `failed`: a server of its
        arm failed."""
        before = leg.progress
        if before is None or not leg.name:
            return
        stopped, policy = decision.HasField("stop"), decision.policy_revision
        if before.policy and policy not in ("", before.policy):  # for example the control's servers ended
            self.move(leg)
        leg.progress = (leg.progress or before).after(
            policy=policy, failed=failed, repaired=is_repaired(decision), stopped=stopped
        )
        if not before.stopped and leg.observable:
            leg.asked, leg.length = asked, len(asked.messages)
            leg.answer = STOP if stopped else decision.ask.question
        decision.assignment.CopyFrom(to_wire(leg.progress, gateway=self.gateway))

    def called(self, *, failed: bool, seconds: float) -> None:
        """Count a call to servers of the canary."""
        self.counts.calls += 1
        self.counts.failed += failed
        slow = self.traffic.slow
        self.counts.slow += slow is not None and seconds > slow

    def is_copied(self, leg: Leg) -> bool:
        """Return whether the canary answers this conversation unseen, all of it or none."""
        if not self.traffic.copies or not leg.observable or leg.start is not None:
            return False
        return position(leg.name, f"{self.traffic.rollout}/copies") < self.traffic.copies

    def copied(self, leg: Leg, extra_faults: int) -> None:
        """Note an unseen answer of the canary, which has this many faults more than the control's."""
        self.counts.copies += 1
        leg.copied += 1
        leg.extra_faults += extra_faults

    def mature(self) -> bool:
        """Observe one conversation that is old enough; return whether there was one."""
        if not self._due or self._due[0][0] > self._clock():
            return False
        self._observe(heapq.heappop(self._due)[2])
        return True

    def close(self) -> None:
        """Observe all conversations as they are now."""
        for _, _, leg in self._due:
            self._observe(leg)
        self._due.clear()

    def report(
        self, name: str, outcome: str, value: str | float, assignment: wire.Assignment | None
    ) -> Reported:
        """Note an outcome of a conversation. It counts at the gateway where the conversation began, and only there.

        Raises InvalidRequest for a label where the strategy wants a number, or the reverse, LookupError if the
        conversation is unknown here, and ValueError if another value was reported before.
        """
        leg = self._legs.get(name)
        if leg is None:
            carried = from_wire(assignment) if assignment is not None else None
            if carried is None:
                raise LookupError(name)
            leg = self._remember(Leg(name, carried))
        rule = self.traffic.outcomes.get(outcome)
        harm = rule is not None and is_harm(rule, value)
        progress = leg.progress
        counts = progress is not None and self.is_current(leg) and rule is not None and _is_compared(progress)
        first = outcome not in leg.outcomes
        if not first and leg.outcomes[outcome] != value:
            raise ValueError(f"{outcome} was reported as {leg.outcomes[outcome]!r} before")
        leg.outcomes[outcome] = value
        if first and counts and progress is not None and leg.began_here:
            self.counts.add(progress.weight, progress.arm, {f"outcome/{outcome}": harm})
        return Reported(first=first, elsewhere=counts and not leg.began_here)

    def _anonymous(self, asked: wire.DecideRequest, routing_key: str) -> Progress:
        arm, weight = self._arm_of_new(asked, routing_key), self.traffic.weight
        return Progress(
            rollout=self.traffic.rollout, arm=arm, weight=weight, born=self._clock(), adopted=True
        )

    def _arm_of_new(self, asked: wire.DecideRequest, name: str) -> Arm:
        """Return the arm of a conversation that begins. A caller that should be assigned, but is not named, belongs to
        the control."""
        traffic = self.traffic
        if traffic.by_caller and not asked.caller_id:
            return "control"
        unit = asked.caller_id if traffic.by_caller else name
        return arm_at_birth(unit, traffic.rollout, weight=traffic.weight)

    def _counts_caller(self, asked: wire.DecideRequest) -> bool:
        """Return whether a conversation that begins may be counted: once for each caller, if callers are assigned."""
        traffic = self.traffic
        if not traffic.by_caller:
            return True
        if not asked.caller_id:
            self.counts.without_caller += 1
            return False
        first = self._callers.is_first(asked.caller_id, copied=traffic.weight == 0)
        self.counts.returning += not first
        return first

    def _begun(self, name: str, asked: wire.DecideRequest, *, from_another: bool) -> Leg:
        """A conversation that is new here. One that began elsewhere, without an assignment, is not compared, nor is one
        of too many at once, nor a caller's second one if callers are assigned.

        One that began before this rollout, as its assignment or the time shows, belongs to the control.
        """
        traffic, now = self.traffic, self._clock()
        began_elsewhere = not _begins(asked)
        adopted = began_elsewhere or len(self._due) >= MOST_OBSERVED or not self._counts_caller(asked)
        older = began_elsewhere and (from_another or now < traffic.started + traffic.within)
        arm: Arm = "control" if older else self._arm_of_new(asked, name)
        progress = Progress(
            rollout=traffic.rollout, arm=arm, weight=traffic.weight, born=now, adopted=adopted
        )
        leg = Leg(name, progress)
        leg.began_here = not adopted
        if not adopted:
            if 0 < traffic.weight < 100:
                self.counts.add_birth(traffic.weight, arm)
            self._schedule(leg)
        return leg

    def _arrived(self, name: str, carried: Progress, asked: wire.DecideRequest) -> Leg:
        """A conversation that another gateway, or this one before a restart, has answered before."""
        leg = Leg(name, carried)
        leg.start, leg.known = carried, _after_last_answer(asked)
        leg.asked, leg.length = asked, leg.known
        if self._clock() < carried.born + self.traffic.within:  # else it was observed already
            self._schedule(leg)
        return leg

    def _schedule(self, leg: Leg) -> None:
        assert leg.progress is not None
        leg.observable = True
        due = min(leg.progress.born, self._clock()) + self.traffic.within
        heapq.heappush(self._due, (due, next(self._order), leg))

    def _remember(self, leg: Leg) -> Leg:
        before = self._legs.get(leg.name)
        if before is not None:
            leg.outcomes, leg.began_here = before.outcomes, before.began_here or leg.began_here
        self._legs[leg.name] = leg
        self._legs.move_to_end(leg.name)
        if len(self._legs) > MOST_CONVERSATIONS:
            self._legs.popitem(last=False)
        return leg

    def _observe(self, leg: Leg) -> None:
        """Count what happened in a leg; its messages are forgotten."""
        asked, leg.asked, leg.observable = leg.asked, None, False
        if leg.progress is None or asked is None or not self.is_current(leg):
            return
        messages = messages_of(asked.messages[: leg.length], answer=leg.answer)
        self._count(leg.progress, asked.task, messages, times=1)
        if leg.start is not None:
            self._count(leg.start, asked.task, messages[: leg.known], times=-1)
        if leg.copied:
            self.counts.better += leg.extra_faults < 0
            self.counts.worse += leg.extra_faults > 0
            self.counts.alike += leg.extra_faults == 0

    def _count(self, progress: Progress, task: str, messages: Sequence[Message], *, times: int) -> None:
        if progress.adopted or not 0 < progress.weight < 100:
            return
        observation = self._events.observation(
            task,
            messages,
            failed="error" in progress.events,
            repaired="repaired" in progress.events,
            stopped=progress.stopped,
            moved=progress.moved,
        )
        if not progress.moved:
            self.counts.add_end(progress.weight, progress.arm, times=times)
        self.counts.add(progress.weight, progress.arm, observation, times=times)


def _is_compared(progress: Progress) -> bool:
    return not progress.moved and not progress.adopted and 0 < progress.weight < 100


def _begins(asked: wire.DecideRequest) -> bool:
    """Whether the policy has answered nothing yet; it may have greeted the user."""
    said = itertools.dropwhile(_is_policy, asked.messages)
    return not any(_is_policy(message) for message in said)


def _is_policy(message: Any) -> bool:
    return bool(message.role == wire.ROLE_ASSISTANT and message.author != wire.AUTHOR_EXPERT)


def _after_last_answer(asked: wire.DecideRequest) -> int:
    """Return the number of messages up to the policy's last one: what the last gateway knew."""
    for index in range(len(asked.messages) - 1, -1, -1):
        if _is_policy(asked.messages[index]):
            return index + 1
    return 0


def is_repaired(decision: wire.Decision) -> bool:
    """Return whether the policy's own answer had to be mended or replaced."""
    return decision.origin in (wire.ORIGIN_REPAIRED, wire.ORIGIN_FALLBACK)


def messages_of(messages: Sequence[Any], *, answer: str = "") -> list[Message]:
    """Return messages of a request as records, with the policy's `answer` to them if there is one."""
    found = [
        Message(
            role="user" if message.role == wire.ROLE_USER else "assistant",
            content=message.content,
            author=AUTHORS.get(message.author, "user" if message.role == wire.ROLE_USER else "policy"),
        )
        for message in messages
    ]
    return [*found, Message(role="assistant", content=answer, author="policy")] if answer else found


def is_harm(rule: Outcome, value: str | float) -> bool:
    """Return whether a reported value is harm. Raises InvalidRequest if it is of another kind than the rule's."""
    if rule.at_least is not None:
        if isinstance(value, str):
            raise InvalidRequest("label", f"outcome {rule.name} is a number in the strategy; send number")
        return value < rule.at_least
    if not isinstance(value, str):
        raise InvalidRequest("number", f"outcome {rule.name} is a label in the strategy; send label")
    return value not in rule.labels
