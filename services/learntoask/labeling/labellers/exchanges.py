"""What the expert asked and the user gave, read off a session with the pack's patterns.

- An expert message asks for the fields whose patterns match it.
- The next user messages answer. A field with answer patterns is given where one matches: the value is group 1, or the
  match. A field without takes the first reply that is not a question back.
- The one field of a turn that no answer pattern recognised takes a reply that answered nothing else, if the turn asks
  no more questions than the patterns name.
- Messages that give nothing (the pack's `nonAnswers`) answer nothing. A question stays open when the expert's next turn
  asks nothing ("take your time").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from learntoask.core.pack import InformationField
from learntoask.core.records import Session
from learntoask.labeling.labellers.protocol import Exchange
from learntoask.labeling.logs.endings import QUESTION_MARKS, has_question_mark
from learntoask.labeling.logs.patterns import Search, any_of, first_of

LONGEST_VALUE = 200  # characters of a reply that is taken as the value
LONGEST_NON_ANSWER = 200  # characters; whoever writes more says something

_MARKS = re.compile(f"[{QUESTION_MARKS}]+")
Replies = Sequence[tuple[int, str]]
"""(message index, content)"""


@dataclass(frozen=True, slots=True)
class FieldPatterns:
    """An information field of the pack, compiled."""

    name: str
    asks: Search
    gives: Search | None  # None: the field has no answer patterns
    values: tuple[tuple[str, str], ...]  # (case-folded, as written)

    @classmethod
    def of(cls, one: InformationField) -> FieldPatterns:
        return cls(
            name=one.name,
            asks=any_of(one.patterns),
            gives=first_of(one.answer_patterns) if one.answer_patterns else None,
            values=tuple((value.casefold(), value) for value in one.values),
        )

    def given_in(self, replies: Replies) -> tuple[str, int] | None:
        """The first value that an answer pattern recognises, with its message."""
        for index, text in replies if self.gives is not None else ():
            match = self.gives(text) if self.gives is not None else None
            if match is not None:
                value = (match.group(1) if match.re.groups else None) or match.group()
                return value.strip()[:LONGEST_VALUE], index
        return None

    def taken_from(self, replies: Replies) -> tuple[str, int] | None:
        """A possible value of the field that occurs in a reply, else the first reply that asks nothing back."""
        for index, text in replies:
            folded = text.casefold()
            known = next((value for key, value in self.values if key in folded), None)
            if known is not None:
                return known, index
        for index, text in replies:
            if not text.rstrip().endswith(tuple(QUESTION_MARKS)):
                return text.strip()[:LONGEST_VALUE], index
        return None


@dataclass(slots=True)
class Exchanges:
    """Everything asked in a session, answered or not. `unnamed`: expert messages whose question matches no field."""

    found: list[Exchange] = field(default_factory=list)
    unnamed: list[int] = field(default_factory=list)
    questions: int = 0  # expert messages that ask something


@dataclass(slots=True)
class _OpenFields:
    """The fields of the last turn that asked, still without an answer: name → (patterns, message that asks)."""

    fields: dict[str, tuple[FieldPatterns, int]] = field(default_factory=dict)
    unnamed: bool = False  # the turn asks more questions than the patterns name


def read_exchanges(session: Session, fields: Sequence[FieldPatterns], non_answer: Search) -> Exchanges:
    exchanges, pending = Exchanges(), _OpenFields()
    index = 0
    for role, group in groupby(session.messages, key=lambda message: message.role):
        run = list(enumerate((message.content for message in group), start=index))
        index += len(run)
        if role == "user":
            gives = [one for one in run if len(one[1]) > LONGEST_NON_ANSWER or not non_answer(one[1])]
            _answer(exchanges, pending, gives)
            continue
        asked = _ask(exchanges, session, fields, run)
        if asked is not None:
            _close(exchanges, pending)
            pending = asked
    _close(exchanges, pending)
    return exchanges


def _ask(
    exchanges: Exchanges, session: Session, fields: Sequence[FieldPatterns], run: Replies
) -> _OpenFields | None:
    """What a run of assistant messages asks for; None when it asks nothing."""
    asked: dict[str, tuple[FieldPatterns, int]] = {}
    marks = 0
    for index, text in run:
        matching = [one for one in fields if one.asks(text)]
        for one in matching:
            asked.setdefault(one.name, (one, index))
        marks += len(_MARKS.findall(text))
        if (matching or has_question_mark(text)) and session.messages[index].author == "expert":
            exchanges.questions += 1
            if not matching:
                exchanges.unnamed.append(index)
    return _OpenFields(asked, unnamed=marks > len(asked)) if asked or marks else None


def _answer(exchanges: Exchanges, pending: _OpenFields, replies: Replies) -> None:
    used = set()
    for one, asked in list(pending.fields.values()):
        given = one.given_in(replies) if one.gives is not None else one.taken_from(replies)
        if given is not None:
            exchanges.found.append(Exchange(one.name, asked, *given))
            used.add(given[1])
            del pending.fields[one.name]
    if len(pending.fields) == 1 and not pending.unnamed:
        ((one, asked),) = pending.fields.values()
        given = one.taken_from([reply for reply in replies if reply[0] not in used])
        if given is not None:
            exchanges.found.append(Exchange(one.name, asked, *given))
            pending.fields.clear()


def _close(exchanges: Exchanges, pending: _OpenFields) -> None:
    exchanges.found.extend(Exchange(name, asked) for name, (_, asked) in pending.fields.items())
    pending.fields.clear()
