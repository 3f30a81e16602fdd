"""Labeller `lexicon`: the pack's patterns find what is asked and given; needs no model.

A value that the user gives unasked is kept as an answer for replay, and is never part of a micro-goal.
"""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.core.pack import Pack
from learntoask.core.records import Provenance, Session, UserAnswer
from learntoask.labeling.labellers.exchanges import FieldPatterns, read_exchanges
from learntoask.labeling.labellers.protocol import Exchange, Findings, TurnLabel, fields_asked, micro_goals
from learntoask.labeling.logs.patterns import any_of


class LexiconLabeller:
    provenance = Provenance(labeller="lexicon")

    def __init__(self, pack: Pack) -> None:
        self._fields = {
            task.name: tuple(FieldPatterns.of(field) for field in task.fields) for task in pack.tasks
        }
        self._non_answer = any_of(pack.non_answers)

    def label(self, session: Session) -> Findings:
        fields = self._fields[session.task]
        read = read_exchanges(session, fields, self._non_answer)
        stop = session.turns[session.stop_turn].start if session.stop_turn is not None else None
        by_expert = [one for one in read.found if session.messages[one.asked].author == "expert"]
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
    """Values with the message that gives each; what comes after the act, at message `end`, is small talk."""
    end = len(session.messages) if end is None else end
    given = [
        (one.answered, one.field, one.value)
        for one in exchanges
        if one.value is not None and one.answered is not None and one.answered < end
    ]
    asked = {field for _, field, _ in given}
    users = [(i, one.content) for i, one in enumerate(session.messages[:end]) if one.role == "user"]
    for field in fields:
        volunteered = field.given_in(users) if field.name not in asked else None
        if volunteered is not None:
            given.append((volunteered[1], field.name, volunteered[0]))
    return tuple(
        UserAnswer(field=field, value=value, message=message) for message, field, value in sorted(given)
    )
