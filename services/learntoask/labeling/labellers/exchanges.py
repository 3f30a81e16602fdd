"""Find what the expert asks and the user gives in a session, with the pack's patterns.

- An expert message asks for the fields whose patterns match it.
- The user's next messages answer it. If a field has answer patterns, the first match gives the value: group 1, or the
  whole match. If it has none, the first reply that does not ask a question itself is the value.
- If one field of a turn is left that no answer pattern recognised, a reply that answered nothing else is its value,
  provided that the turn asks no more questions than the patterns recognise.
- Messages that match the pack's `nonAnswers` answer nothing. A question stays open when the expert's next turn asks
  nothing ("take your time").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from learntoask.core.pack import InformationField
from learntoask.core.records import Message
from learntoask.core.text.characters import plain_text
from learntoask.core.text.patterns import Search
from learntoask.core.text.sentences import ends_with_question_mark, has_question_mark, question_marks
from learntoask.labeling.labellers.protocol import Exchange
from learntoask.labeling.logs.patterns import any_of, first_of

LONGEST_VALUE = 200  # characters of a reply that become the value
LONGEST_NON_ANSWER = 200  # characters; a longer message counts as an answer

Replies = Sequence[tuple[int, str]]
"""(message index, content)"""


@dataclass(frozen=True, slots=True)
class FieldPatterns:
    """An information field of the pack, with compiled patterns."""

    name: str
    asks: Search
    gives: Search | None  # None if the field has no answer patterns
    values: tuple[tuple[str, str], ...]  # the possible values: (case-folded, as written)

    @classmethod
    def of(cls, information: InformationField) -> FieldPatterns:
        return cls(
            name=information.name,
            asks=any_of(information.patterns),
            gives=first_of(information.answer_patterns) if information.answer_patterns else None,
            values=tuple((plain_text(value).casefold(), value) for value in information.values),
        )

    def given_in(self, replies: Replies) -> tuple[str, int] | None:
        """Return the first value that an answer pattern recognises, with its message."""
        for index, text in replies if self.gives is not None else ():
            match = self.gives(text) if self.gives is not None else None
            if match is not None:
                value = (match.group(1) if match.re.groups else None) or match.group()
                return value.strip()[:LONGEST_VALUE], index
        return None

    def taken_from(self, replies: Replies) -> tuple[str, int] | None:
        """Return a possible value of the field that occurs in a reply, or else the first reply that is no question."""
        for index, text in replies:
            folded = plain_text(text).casefold()
            known = next((value for key, value in self.values if key in folded), None)
            if known is not None:
                return known, index
        for index, text in replies:
            if not ends_with_question_mark(text):
                return text.strip()[:LONGEST_VALUE], index
        return None


@dataclass(slots=True)
class Exchanges:
    """Everything asked in a session, answered or not."""

    found: list[Exchange] = field(default_factory=list)
    unnamed: list[int] = field(default_factory=list)  # expert messages with a question that matches no field
    questions: int = 0  # expert messages that ask something


@dataclass(slots=True)
class _OpenFields:
    """The fields of the last asking turn that have no answer yet."""

    fields: dict[str, tuple[FieldPatterns, int]] = field(
        default_factory=dict
    )  # name → (patterns, asking message)
    unnamed: bool = False  # the turn asks more questions than the patterns recognise


def read_exchanges(
    messages: Sequence[Message], fields: Sequence[FieldPatterns], non_answer: Search
) -> Exchanges:
    """Find all exchanges of a conversation about `fields`. `non_answer` searches for the pack's non-answers."""
    exchanges, pending = Exchanges(), _OpenFields()
    index = 0
    for role, group in groupby(messages, key=lambda message: message.role):
        run = list(enumerate((message.content for message in group), start=index))
        index += len(run)
        if role == "user":
            answers = [
                reply for reply in run if len(reply[1]) > LONGEST_NON_ANSWER or not non_answer(reply[1])
            ]
            _match_answers(exchanges, pending, answers)
            continue
        asked = _find_asked(exchanges, messages, fields, run)
        if asked is not None:
            _close(exchanges, pending)
            pending = asked
    _close(exchanges, pending)
    return exchanges


def _find_asked(
    exchanges: Exchanges, messages: Sequence[Message], fields: Sequence[FieldPatterns], run: Replies
) -> _OpenFields | None:
    """Return the fields that a run of assistant messages asks for; None when it asks nothing."""
    asked: dict[str, tuple[FieldPatterns, int]] = {}
    marks = 0
    for index, text in run:
        matching = [patterns for patterns in fields if patterns.asks(text)]
        for patterns in matching:
            asked.setdefault(patterns.name, (patterns, index))
        marks += question_marks(text)
        if (matching or has_question_mark(text)) and messages[index].author == "expert":
            exchanges.questions += 1
            if not matching:
                exchanges.unnamed.append(index)
    return _OpenFields(asked, unnamed=marks > len(asked)) if asked or marks else None


def _match_answers(exchanges: Exchanges, pending: _OpenFields, replies: Replies) -> None:
    used = set()
    for patterns, asked in list(pending.fields.values()):
        given = patterns.given_in(replies) if patterns.gives is not None else patterns.taken_from(replies)
        if given is not None:
            exchanges.found.append(Exchange(patterns.name, asked, *given))
            used.add(given[1])
            del pending.fields[patterns.name]
    if len(pending.fields) == 1 and not pending.unnamed:
        ((patterns, asked),) = pending.fields.values()
        given = patterns.taken_from([reply for reply in replies if reply[0] not in used])
        if given is not None:
            exchanges.found.append(Exchange(patterns.name, asked, *given))
            pending.fields.clear()


def _close(exchanges: Exchanges, pending: _OpenFields) -> None:
    """Record the pending fields as asked and never given."""
    exchanges.found.extend(Exchange(name, asked) for name, (_, asked) in pending.fields.items())
    pending.fields.clear()
