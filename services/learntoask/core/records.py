"""What the stages hand each other: sessions, decision points and labelled samples (docs/method.md).

All indices are message indices of the raw session: end markers are stripped from `content`, which may leave it
empty, but a message is never removed, so that annotations, provenance and quarantine refer to the same numbers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

Role = Literal["user", "assistant"]
Author = Literal["user", "expert", "policy"]
Split = Literal["train", "validation", "test"]
Decision = Literal["continue", "stop"]
STOP = "<stop />"  # the stop on the wire of the model: exactly this, white space aside


class EndReason(StrEnum):
    COMPLETED = "completed"
    ABANDONED = "abandoned"
    HANDOFF = "handoff"


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    role: Role
    content: str
    author: Author


class Item(Record):
    """One information item, `field: value`; `field` is a field name of the session's task in the pack."""

    field: str
    value: str


class Turn(Record):
    """An expert turn that is a decision point: `messages[start:end]`; its context is `messages[:start]`.

    `start == end` where the expert acted without a word (the log holds only an end marker).
    """

    start: int
    end: int


class Session(Record):
    """A validated session. `task` names a task of the pack; `goal` overrides the task's own goal text."""

    session_id: str
    split: Split
    task: str
    goal: str | None = None
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]
    end: EndReason
    stop_turn: int | None  # index into `turns`; at most one, and none in an abandoned session
    extras: dict[str, JsonValue] = {}  # keys of the log line that we do not interpret, kept as they were


class Provenance(Record):
    labeller: str
    model: str | None = None
    prompt_digest: str | None = None
    attempts: int = 1


class Sample(Record):
    """One labelled decision point.

    `remaining` is the micro-goal I*_t (empty at a stop): what the expert still asks for in the observed future and
    the user then gives. `requested` are the fields this very expert turn asks for (empty when unknown).
    """

    turn: int  # index into Session.turns
    decision: Decision
    remaining: tuple[Item, ...]
    requested: tuple[str, ...] = ()
    provenance: Provenance


class UserAnswer(Record):
    """A value the user gave in message `message`; what session replay answers with."""

    field: str
    value: str
    message: int


class LabelledSession(Record):
    session: Session
    samples: tuple[Sample, ...]  # ordered by turn; turns without a sample are context only
    answers: tuple[UserAnswer, ...] = ()

    def context(self, sample: Sample) -> tuple[Message, ...]:
        """What was said before the decision point."""
        return self.session.messages[: self.session.turns[sample.turn].start]
