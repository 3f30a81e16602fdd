"""Sessions, decision points and labelled samples: the records that stages pass to each other (docs/method.md).

All indices are message indices of the logged session. End markers are removed from `content`, which may leave it empty,
but a message is never removed, so that annotations, provenance and quarantine refer to the same indices.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

Role = Literal["user", "assistant"]
Author = Literal["user", "expert", "policy"]
Split = Literal["train", "validation", "test"]
Decision = Literal["continue", "stop"]
STOP = "<stop />"  # the stop string: what the model generates, apart from white space, when it stops


class EndReason(StrEnum):
    """How a session ended: the expert acted, the user left, or the expert handed over to another person."""

    COMPLETED = "completed"
    ABANDONED = "abandoned"
    HANDOFF = "handoff"


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """A message. `role` is its side in the conversation; `author` says who wrote it, an expert or a served policy."""

    role: Role
    content: str
    author: Author


class Item(Record):
    """An information item, `field: value`; `field` is a field name of the session's task in the pack."""

    field: str
    value: str


class Turn(Record):
    """An expert turn that is a decision point: `messages[start:end]`, with the context `messages[:start]`.

    `start == end` if the expert acted without a message, because the log only contains an end marker.
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
    stop_turn: int | None  # index into `turns`; None in an abandoned session
    extras: dict[str, JsonValue] = {}  # unknown keys of the log line, unchanged


class Provenance(Record):
    """How a label was found: the labeller, its model and prompt if it has one, and its number of requests."""

    labeller: str
    model: str | None = None
    prompt_digest: str | None = None
    attempts: int = 1


class Sample(Record):
    """A labelled decision point.

    `remaining` is the micro-goal I*_t: the items that the expert still asks for after this point and that the user then
    gives. It is empty at a stop. `requested` are the fields that this expert turn asks for (empty if unknown).
    """

    turn: int  # index into Session.turns
    decision: Decision
    remaining: tuple[Item, ...]
    requested: tuple[str, ...] = ()
    provenance: Provenance


class UserAnswer(Record):
    """A value that the user gave in message `message`; session replay answers questions with it."""

    field: str
    value: str
    message: int


class LabelledSession(Record):
    """A session with its labels. `samples` are ordered by turn; a turn without a sample only serves as context."""

    session: Session
    samples: tuple[Sample, ...]
    answers: tuple[UserAnswer, ...] = ()

    def context(self, sample: Sample) -> tuple[Message, ...]:
        """Return the messages before the decision point."""
        return self.session.messages[: self.session.turns[sample.turn].start]

    def given_before(self, turn: int) -> frozenset[str]:
        """Return the fields that the user has given before the expert's turn `turn`."""
        start = self.session.turns[turn].start
        return frozenset(answer.field for answer in self.answers if answer.message < start)
