"""Labeller `lexicon`: find what is asked and given with the pack's patterns, without a model.

A value that the user gives without being asked is an answer for session replay, but never part of a micro-goal.
"""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.core.languages.pack_phrases import PackPhrases
from learntoask.core.pack import Pack
from learntoask.core.records import Provenance, Session, UserAnswer
from learntoask.labeling.labellers.exchanges import FieldPatterns, read_exchanges
from learntoask.labeling.labellers.protocol import Exchange, Findings, TurnLabel, fields_asked, micro_goals
from learntoask.labeling.logs.patterns import any_of


class LexiconLabeller:
    """See Labeller."""

    provenance = Provenance(labeller="lexicon")

    def __init__(self, pack: Pack) -> None:
        self._fields = {
            task.name: tuple(FieldPatterns.of(field) for field in task.fields) for task in pack.tasks
        }
        self._non_answer = any_of(PackPhrases.of(pack).non_answers)

    def label(self, session: Session) -> Findings:
        fields = self._fields[session.task]
        read = read_exchanges(session.messages, fields, self._non_answer)
        stop = session.turns[session.stop_turn].start if session.stop_turn is not None else None
        by_expert = [
            exchange for exchange in read.found if session.messages[exchange.asked].author == "expert"
        ]
        unnamed = [index for index in read.unnamed if stop is None or index < stop]
        goals = micro_goals(by_expert, starts=[turn.start for turn in session.turns], stop=stop)
        turns = tuple(
            TurnLabel(
                requested=fields_asked(by_expert, turn.start, turn.end),
                remaining=goal,
                unnamed=bool(unnamed) and turn.start <= unnamed[-1],
            )
            for turn, goal in zip(session.turns, goals, strict=True)
        )
        return Findings(
            turns=turns,
            answers=_answers(read.found, session, fields, end=stop),
            questions=read.questions,
            unnamed_questions=len(unnamed),
        )


def _answers(
    exchanges: Sequence[Exchange], session: Session, fields: Sequence[FieldPatterns], *, end: int | None
) -> tuple[UserAnswer, ...]:
    """Return every value with the message that gives it, up to the act at message `end`; the rest is small talk."""
    end = len(session.messages) if end is None else end
    given = [
        (exchange.answered, exchange.field, exchange.value)
        for exchange in exchanges
        if exchange.value is not None and exchange.answered is not None and exchange.answered < end
    ]
    asked = {field for _, field, _ in given}
    users = [
        (i, message.content) for i, message in enumerate(session.messages[:end]) if message.role == "user"
    ]
    for field in fields:
        volunteered = field.given_in(users) if field.name not in asked else None
        if volunteered is not None:
            given.append((volunteered[1], field.name, volunteered[0]))
    return tuple(
        UserAnswer(field=field, value=value, message=message) for message, field, value in sorted(given)
    )
