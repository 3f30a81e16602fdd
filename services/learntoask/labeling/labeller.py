"""What every labeller does, and the micro-goals that follow from what was asked and given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from learntoask.core.records import Answer, Item, Provenance, Session
from learntoask.labeling.quarantine import Reason


@dataclass(frozen=True, slots=True)
class TurnLabel:
    """What the labeller found at one decision point.

    `requested`: fields this expert turn asks for. `remaining`: the micro-goal. `unnamed`: this turn or a later one of
    the expert holds a question the labeller could not name, so an empty micro-goal need not mean that asking is done.
    """

    requested: tuple[str, ...]
    remaining: tuple[Item, ...]
    unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A decision point that could not be labelled; never a label."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Findings:
    """One entry in `turns` for each of the session's turns. `stop_turn`: where the labeller saw the expert act."""

    turns: tuple[TurnLabel | Failure, ...]
    answers: tuple[Answer, ...] = ()
    stop_turn: int | None = None
    questions: int = 0  # expert messages with a question, as far as the labeller looks for them
    unnamed_questions: int = 0


class Labeller(Protocol):
    """`annotated` and `lexicon`; a model behind an endpoint fits the same interface."""

    @property
    def provenance(self) -> Provenance: ...

    def label(self, session: Session) -> Findings: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """The expert asked for `field` in the turn that starts at message `asked`; the user gave `value` or did not."""

    field: str
    asked: int
    value: str | None = None
    answered: int | None = None  # message that gives it


def micro_goal(exchanges: Iterable[Exchange], *, start: int, stop: int | None) -> tuple[Item, ...]:
    """I*_t: the fields asked for at or after message `start` and before the act at `stop`, and then given.

    In the order in which they are asked; a field given several times has its last value.
    """
    values: dict[str, str] = {}
    for exchange in sorted(exchanges, key=lambda one: one.asked):
        given = exchange.value is not None and exchange.asked >= start
        if given and (stop is None or exchange.asked < stop):
            values[exchange.field] = exchange.value or ""
    return tuple(Item.model_construct(field=field, value=value) for field, value in values.items())
