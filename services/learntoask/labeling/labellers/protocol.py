"""The labeller protocol, and the micro-goals that follow from the exchanges of a session.

The stage label (`labeling.stage`) calls `StageLabeller.label_all`; `labeling.samples` turns its Findings into samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from learntoask.core.records import Item, Provenance, Session, UserAnswer
from learntoask.core.text.patterns import SlowPattern
from learntoask.labeling.logs.quarantine import Reason


@dataclass(frozen=True, slots=True)
class TurnLabel:
    """The label of one decision point.

    `requested`: the fields that this expert turn asks for. `remaining`: the micro-goal. `unnamed`: this or a later
    expert turn holds a question whose field the labeller does not know, so an empty micro-goal does not prove that the
    expert has finished asking. `attempts`: the requests to a model that the label took.
    """

    requested: tuple[str, ...]
    remaining: tuple[Item, ...]
    unnamed: bool = False
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class LabelFailure:
    """Why a decision point could not be labelled. It goes to quarantine and never becomes a label."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a labeller found in one session.

    `turns` has one entry for each of the session's turns. `stop_turn` is the index of the turn in which the labeller
    saw the expert act; None if it saw none or does not look.
    """

    turns: tuple[TurnLabel | LabelFailure, ...]
    answers: tuple[UserAnswer, ...] = ()
    stop_turn: int | None = None
    questions: int = 0  # expert messages with a question; 0 if the labeller does not count them
    unnamed_questions: int = 0  # those of them whose field the labeller does not know
    unknown_items: tuple[str, ...] = ()  # annotated items that the pack does not list, once for each mention


class Labeller(Protocol):
    """Labels one session at a time (`annotated`, `lexicon`)."""

    @property
    def provenance(self) -> Provenance: ...

    def label(self, session: Session) -> Findings: ...


class StageLabeller(Protocol):
    """Labels a stream of sessions; the stage label calls it. `llm` works on many sessions at once."""

    @property
    def provenance(self) -> Provenance: ...

    def label_all(self, sessions: Iterable[Session]) -> Iterator[tuple[Session, Findings]]:
        """Yield the sessions in their order, each with its findings."""

    def progress(self) -> dict[str, float]:
        """Return the figures that the progress display shows while labelling."""

    def usage(self) -> dict[str, JsonValue]:
        """Return the requests, tokens and costs of a language model; empty without one."""


@dataclass(frozen=True)
class SequentialLabeller:
    """A StageLabeller that calls a Labeller for one session after the other."""

    labeller: Labeller

    @property
    def provenance(self) -> Provenance:
        return self.labeller.provenance

    def label_all(self, sessions: Iterable[Session]) -> Iterator[tuple[Session, Findings]]:
        for session in sessions:
            try:
                findings = self.labeller.label(session)
            except SlowPattern as slow:
                raise slow.at(f"session {session.session_id!r}") from None
            yield session, findings

    def progress(self) -> dict[str, float]:
        return {}

    def usage(self) -> dict[str, JsonValue]:
        return {}


@dataclass(frozen=True, slots=True)
class Exchange:
    """The expert asks for `field` in message `asked`; the user gives `value` in message `answered`, or never does."""

    field: str
    asked: int
    value: str | None = None
    answered: int | None = None


def micro_goals(
    exchanges: Iterable[Exchange], *, starts: Sequence[int], stop: int | None
) -> list[tuple[Item, ...]]:
    """Return the micro-goal I*_t of each turn: the fields that are asked for from that turn on and then given.

    `starts` are the message indices at which the turns start, ascending. `stop` is the message in which the expert
    acts; questions at or after it do not count. The fields of a goal come in the order in which they are asked; a field
    that is given several times has its last value.
    """
    given = [
        exchange
        for exchange in exchanges
        if exchange.value is not None and (stop is None or exchange.asked < stop)
    ]
    given.sort(key=lambda exchange: exchange.asked)
    items: dict[str, Item] = {}  # fields asked for from the current turn on, the last asked first
    values = {exchange.field: Item(field=exchange.field, value=exchange.value or "") for exchange in given}
    goals = []
    for start in reversed(starts):
        while given and given[-1].asked >= start:
            field = given.pop().field
            items.pop(field, None)
            items[field] = values[field]
        goals.append(tuple(reversed(items.values())))
    return goals[::-1]


def fields_asked(exchanges: Iterable[Exchange], start: int, end: int) -> tuple[str, ...]:
    """Return the fields that are asked for in messages [start, end), in the order of the questions."""
    fields = {exchange.field: exchange.asked for exchange in exchanges if start <= exchange.asked < end}
    return tuple(sorted(fields, key=fields.__getitem__))
