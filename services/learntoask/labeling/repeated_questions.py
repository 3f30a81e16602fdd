"""Tells what a user has given in a conversation, and whether a question asks for it again.

The policy server, evaluation and rollouts all use this rule. It needs the patterns of the pack and no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from learntoask.core.languages.pack_phrases import PackPhrases
from learntoask.core.pack import Pack, Task
from learntoask.core.records import STOP, Message
from learntoask.core.text.characters import folded_line
from learntoask.core.text.patterns import Search
from learntoask.labeling.labellers.exchanges import FieldPatterns, read_exchanges
from learntoask.labeling.logs.patterns import any_of

Repetition = Literal["same-text", "known-field"]
"""How a question repeats: it was put before in the same words, or it asks only for fields that the user has given."""


@dataclass(frozen=True, slots=True)
class _TaskFields:
    """The fields of a task. `countable` says whether the patterns can tell that a required field is known."""

    patterns: tuple[FieldPatterns, ...]
    required: frozenset[str]
    countable: bool

    @classmethod
    def of(cls, task: Task) -> _TaskFields:
        required = [field for field in task.fields if field.required]
        return cls(
            patterns=tuple(FieldPatterns.of(field) for field in task.fields),
            required=frozenset(field.name for field in required),
            countable=bool(required) and all(field.patterns or field.answer_patterns for field in required),
        )


class RepeatReader:
    """Reads conversations on the tasks of a pack."""

    def __init__(self, pack: Pack) -> None:
        self._fields = {task.name: _TaskFields.of(task) for task in pack.tasks}
        self._default = pack.default_task
        self._fallback = pack.fallback
        self.is_non_answer = any_of(PackPhrases.of(pack).non_answers)

    def read(self, task: str, messages: Sequence[Message]) -> ReadConversation:
        """Return `messages` as the rule sees them. An empty task name means the default task."""
        fields = self._fields.get(task or self._default or "")
        return ReadConversation(messages, fields, self._fallback, self.is_non_answer)


@dataclass(frozen=True)
class ReadConversation:
    """The messages of a conversation. What the user has given is computed once, when it is first asked for."""

    messages: Sequence[Message]
    fields: _TaskFields | None
    fallback: str
    is_non_answer: Search

    @property
    def is_countable(self) -> bool:
        """Whether the patterns can tell that a required field is known."""
        return self.fields is not None and self.fields.countable

    @property
    def all_known(self) -> bool | None:
        """Whether the user has given every required field; None if the patterns cannot tell."""
        if self.fields is None or not self.fields.countable:
            return None
        return self.fields.required <= self._known

    def repetition(self, question: str) -> Repetition | None:
        """Return how `question` repeats what was asked or given, None if it does not."""
        asked = folded_line(question)
        if any(folded_line(m.content) == asked for m in self.messages if m.role == "assistant"):
            return "same-text"
        if self.fields is None:
            return None
        about = {patterns.name for patterns in self.fields.patterns if patterns.asks(question)}
        return "known-field" if about and about <= self._known else None

    def last_resort(self, *, may_stop: bool) -> str:
        """Return the answer when every likely question repeats: a stop or the pack's fallback question.

        The policy stops unless a required field is known to be missing. Then it puts the fallback question, once.
        """
        if may_stop and (self.all_known is not False or self.repetition(self.fallback) is not None):
            return STOP
        return self.fallback

    @cached_property
    def _known(self) -> frozenset[str]:
        """The fields that the user has given: as an answer, or unasked where an answer pattern tells."""
        if self.fields is None:
            return frozenset()
        exchanges = read_exchanges(self.messages, self.fields.patterns, self.is_non_answer)
        given = {exchange.field for exchange in exchanges.found if exchange.value is not None}
        users = [
            (index, message.content) for index, message in enumerate(self.messages) if message.role == "user"
        ]
        given |= {patterns.name for patterns in self.fields.patterns if patterns.given_in(users) is not None}
        return frozenset(given)
