"""What has happened in a conversation besides its messages. It travels with the conversation in its Assignment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from learntoask.core.status.rollout import Arm
from learntoask.wire import ask_pb2 as wire

_ARMS: dict[wire.Arm, Arm] = {wire.ARM_CONTROL: "control", wire.ARM_CANARY: "canary"}
_WIRE_ARMS = {arm: number for number, arm in _ARMS.items()}
CARRIED_EVENTS = frozenset({"error", "repaired"})
"""Metrics that the messages of a conversation do not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A conversation's arm and what has happened in it, as in `Assignment` of ask.proto. `policy` answered last."""

    rollout: str
    arm: Arm
    weight: int
    born: float
    events: frozenset[str] = frozenset()
    stopped: bool = False
    moved: bool = False
    adopted: bool = False
    policy: str = ""

    @property
    def answering(self) -> Arm:
        """The arm whose servers answer it."""
        return "control" if self.moved else self.arm

    def after(self, *, policy: str, failed: bool, repaired: bool, stopped: bool) -> Progress:
        """Return the progress after one more answer of `policy`, which is empty where none answered.

        What happens after the first stop is not observed.
        """
        policy = policy or self.policy
        events = {name for name, happened in (("error", failed), ("repaired", repaired)) if happened}
        if self.stopped or (events <= self.events and not stopped):
            return self if policy == self.policy else replace(self, policy=policy)
        return replace(self, events=self.events | events, stopped=stopped, policy=policy)


def from_wire(assignment: wire.Assignment) -> Progress | None:
    """Return what an assignment says, None if it says nothing that this gateway understands."""
    arm = _ARMS.get(assignment.arm)
    if arm is None or not assignment.rollout or not 0 <= assignment.weight <= 100:
        return None
    return Progress(
        rollout=assignment.rollout,
        arm=arm,
        weight=assignment.weight,
        born=assignment.born,
        events=CARRIED_EVENTS & set(assignment.events),
        stopped=assignment.stopped,
        moved=assignment.moved,
        adopted=assignment.adopted,
        policy=assignment.policy_revision,
    )


def to_wire(progress: Progress, *, gateway: str) -> wire.Assignment:
    """Return the assignment that carries `progress`; `gateway` is the one that answered."""
    return wire.Assignment(
        rollout=progress.rollout,
        arm=_WIRE_ARMS[progress.arm],
        weight=progress.weight,
        born=progress.born,
        gateway=gateway,
        events=sorted(progress.events),
        stopped=progress.stopped,
        moved=progress.moved,
        adopted=progress.adopted,
        policy_revision=progress.policy,
    )
