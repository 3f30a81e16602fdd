"""What every labeller does, and the micro-goals that follow from what was asked and given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from learntoask.core.records import Item, Provenance, Session, UserAnswer
from learntoask.labeling.logs.quarantine import Reason


@dataclass(frozen=True, slots=True)
class TurnLabel:
    """What the labeller found at one decision point, in so many `attempts`.

    `requested`: fields this expert turn asks for. `remaining`: the micro-goal. `unnamed`: this turn or a later one of
    the expert holds a question the labeller could not name, so an empty micro-goal need not mean that asking is done.
    """

    requested: tuple[str, ...]
    remaining: tuple[Item, ...]
    unnamed: bool = False
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class LabelFailure:
    """A decision point that could not be labelled; never a label."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Findings:
    """One entry in `turns` for each of the session's turns. `stop_turn`: where the labeller saw the expert act."""

    turns: tuple[TurnLabel | LabelFailure, ...]
    answers: tuple[UserAnswer, ...] = ()
    stop_turn: int | None = None
    questions: int = 0  # expert messages with a question, as far as the labeller looks for them
    unnamed_questions: int = 0


class Labeller(Protocol):
    """`annotated` and `lexicon`: a session at a time."""

    @property
    def provenance(self) -> Provenance: ...

    def label(self, session: Session) -> Findings: ...


class StageLabeller(Protocol):
    """What the label stage drives: `llm`, which has many sessions under way at once, or one of the others."""

    @property
    def provenance(self) -> Provenance: ...

    def label_all(self, sessions: Iterable[Session]) -> Iterator[tuple[Session, Findings]]:
        """The sessions in their order, each with what was found."""

    def progress(self) -> dict[str, float]:
        """Figures to show while it works."""

    def counts(self) -> dict[str, JsonValue]:
        """What labelling took, where that is of interest."""


@dataclass(frozen=True)
class SequentialLabeller:
    labeller: Labeller

    @property
    def provenance(self) -> Provenance:
        return self.labeller.provenance

    def label_all(self, sessions: Iterable[Session]) -> Iterator[tuple[Session, Findings]]:
        return ((session, self.labeller.label(session)) for session in sessions)

    def progress(self) -> dict[str, float]:
        return {}

    def counts(self) -> dict[str, JsonValue]:
        return {}


@dataclass(frozen=True, slots=True)
class Exchange:
    """The expert asked for `field` in the turn that starts at message `asked`; the user gave `value` or did not."""

    field: str
    asked: int
    value: str | None = None
    answered: int | None = None  # message that gives it


def micro_goals(
    exchanges: Iterable[Exchange], *, starts: Sequence[int], stop: int | None
) -> list[tuple[Item, ...]]:
    """I*_t for each turn start in `starts` (ascending): the fields asked for from there on and then given.

    What is asked for at or after the act, at message `stop`, does not count. Fields come in the order in which they
    are asked from there on; a field given several times has its last value.
    """
    given = [one for one in exchanges if one.value is not None and (stop is None or one.asked < stop)]
    given.sort(key=lambda one: one.asked)
    items: dict[str, Item] = {}  # fields asked for from the current turn on, the last asked first
    values = {one.field: Item(field=one.field, value=one.value or "") for one in given}
    goals = []
    for start in reversed(starts):
        while given and given[-1].asked >= start:
            field = given.pop().field
            items.pop(field, None)
            items[field] = values[field]
        goals.append(tuple(reversed(items.values())))
    return goals[::-1]


def fields_asked(exchanges: Iterable[Exchange], start: int, end: int) -> tuple[str, ...]:
    """The fields asked for in messages [start, end), in the order in which they are."""
    fields = {one.field: one.asked for one in exchanges if start <= one.asked < end}
    return tuple(sorted(fields, key=fields.__getitem__))
