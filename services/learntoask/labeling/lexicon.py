"""Labeller `lexicon`: the pack's patterns find what the expert asks and what the user gives; needs no model.

- An expert message asks for the fields whose patterns match it.
- The next user messages answer. With answer patterns the match is the value (group 1, or all of it); otherwise, or when
  the field was the only one asked for, the reply itself is, unless it gives nothing ("I don't know", a question back).
- A question stays open when the reply gives nothing and the expert's next turn asks nothing ("take your time").
- A value the user gives unasked is kept as an answer for replay, never as part of a micro-goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from learntoask.core.pack import InformationField, Pack
from learntoask.core.records import Answer, Provenance, Session
from learntoask.labeling.labeller import Exchange, Findings, TurnLabel, micro_goal
from learntoask.labeling.patterns import Search, any_of, first_of
from learntoask.labeling.sessions import has_question_mark

LONGEST_VALUE = 200  # characters of a reply that is taken as the value


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    asks: Search
    gives: Search | None  # None: the field has no answer patterns
    values: tuple[tuple[str, str], ...]  # (case-folded, as written)

    @classmethod
    def of(cls, field: InformationField) -> _Field:
        return cls(
            name=field.name,
            asks=any_of(field.patterns),
            gives=first_of(field.answer_patterns) if field.answer_patterns else None,
            values=tuple((value.casefold(), value) for value in field.values),
        )


class Lexicon:
    provenance = Provenance(labeller="lexicon")

    def __init__(self, pack: Pack) -> None:
        self._fields = {task.name: tuple(_Field.of(field) for field in task.fields) for task in pack.tasks}
        self._empty = any_of(pack.non_answers)

    def label(self, session: Session) -> Findings:
        fields = self._fields[session.task]
        reading = _read(session, fields, self._empty)
        stop = session.turns[session.stop_turn].start if session.stop_turn is not None else None
        asked_by_expert = [one for one in reading.exchanges if session.messages[one.asked].author == "expert"]
        before_stop = [index for index in reading.unnamed if stop is None or index < stop]
        last_unnamed = before_stop[-1] if before_stop else -1
        return Findings(
            turns=tuple(
                TurnLabel(
                    requested=tuple(
                        dict.fromkeys(
                            one.field for one in asked_by_expert if turn.start <= one.asked < turn.end
                        )
                    ),
                    remaining=micro_goal(asked_by_expert, start=turn.start, stop=stop),
                    unnamed=turn.start <= last_unnamed,
                )
                for turn in session.turns
            ),
            answers=_answers(reading.exchanges, session, fields),
            questions=reading.questions,
            unnamed_questions=len(before_stop),
        )


@dataclass(slots=True)
class _Reading:
    """`unnamed`: messages of the expert with a question that matches no field."""

    exchanges: list[Exchange]
    unnamed: list[int]
    questions: int = 0


def _read(session: Session, fields: Sequence[_Field], empty: Search) -> _Reading:
    reading = _Reading([], [])
    open_fields: dict[str, tuple[_Field, int]] = {}
    index = 0
    for role, group in groupby(session.messages, key=lambda message: message.role):
        run = list(enumerate((message.content for message in group), start=index))
        index += len(run)
        if role == "user":
            _take_answers(reading, open_fields, run, empty)
            continue
        asked, asks = _asked(session, reading, fields, run)
        if asks:
            _close(reading, open_fields)
            open_fields |= asked
    _close(reading, open_fields)
    return reading


def _asked(
    session: Session, reading: _Reading, fields: Sequence[_Field], run: Sequence[tuple[int, str]]
) -> tuple[dict[str, tuple[_Field, int]], bool]:
    """The fields that a run of assistant messages asks for, and whether it asks anything at all."""
    asked: dict[str, tuple[_Field, int]] = {}
    asks = False
    for index, text in run:
        matching = [field for field in fields if field.asks(text)]
        for field in matching:
            asked.setdefault(field.name, (field, index))
        question = bool(matching) or has_question_mark(text)
        asks |= question
        if question and session.messages[index].author == "expert":
            reading.questions += 1
            if not matching:
                reading.unnamed.append(index)
    return asked, asks


def _take_answers(
    reading: _Reading,
    open_fields: dict[str, tuple[_Field, int]],
    run: Sequence[tuple[int, str]],
    empty: Search,
) -> None:
    replies = [(index, text) for index, text in run if not empty(text)]
    alone = len(open_fields) == 1
    for name, (field, asked) in list(open_fields.items()):
        given = _value(field, replies, alone=alone)
        if given is not None:
            reading.exchanges.append(Exchange(name, asked, *given))
            del open_fields[name]


def _close(reading: _Reading, open_fields: dict[str, tuple[_Field, int]]) -> None:
    reading.exchanges.extend(Exchange(name, asked) for name, (_, asked) in open_fields.items())
    open_fields.clear()


def _value(field: _Field, replies: Sequence[tuple[int, str]], *, alone: bool) -> tuple[str, int] | None:
    if field.gives is not None:
        given = _matched(field.gives, replies)
        if given is not None or not alone:
            return given
    for index, text in replies:
        folded = text.casefold()
        known = next((value for key, value in field.values if key in folded), None)
        if known is not None:
            return known, index
    for index, text in replies:
        if not text.rstrip().endswith(("?", "？")):  # a question back is no answer
            return text.strip()[:LONGEST_VALUE], index
    return None


def _matched(gives: Search, replies: Sequence[tuple[int, str]]) -> tuple[str, int] | None:
    for index, text in replies:
        match = gives(text)
        if match is not None:
            value = match.group(1) if match.re.groups and match.group(1) is not None else match.group(0)
            return value.strip()[:LONGEST_VALUE], index
    return None


def _answers(exchanges: Sequence[Exchange], session: Session, fields: Sequence[_Field]) -> tuple[Answer, ...]:
    answers = [
        Answer.model_construct(field=one.field, value=one.value, message=one.answered)
        for one in exchanges
        if one.value is not None
    ]
    answered = {answer.field for answer in answers}
    users = [(i, message.content) for i, message in enumerate(session.messages) if message.role == "user"]
    for field in fields:
        if field.gives is not None and field.name not in answered:
            volunteered = _matched(field.gives, users)
            if volunteered is not None:
                value, index = volunteered
                answers.append(Answer.model_construct(field=field.name, value=value, message=index))
    return tuple(sorted(answers, key=lambda answer: (answer.message, answer.field)))
