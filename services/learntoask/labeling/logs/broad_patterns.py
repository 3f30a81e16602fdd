"""Patterns of a pack that match nearly everything, such as `.*`, and so tell nothing apart.

`lta data check` warns of them. A field whose pattern matches every message of the experts is asked for in every turn, a
non-answer that matches every reply leaves nothing answered, and a session that is handed over or acted on at once has
nothing left to learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, Session
from learntoask.core.text.patterns import bounded_search
from learntoask.core.text.sentences import has_question_mark, sentences

BROAD_SHARE = 0.95  # of the messages or sessions; a pattern that matches more is warned of
ENOUGH = 30  # messages or sessions from which a share means something
_MOST_MESSAGES = 3_000  # of a side and task that are searched
_LISTED = 5
_OF_FIELD = "patterns of field "
_OPTIONAL = ("nonAnswers", "fluency.questions")  # phrases of a language, which need not occur


@dataclass(frozen=True, slots=True)
class _Key:
    """A pattern with its place in the pack, and the messages it is searched in: of a task, by an author."""

    where: str
    pattern: str
    task: str
    author: str

    @property
    def is_field(self) -> bool:
        """Whether the pattern finds questions for a field."""
        return self.where.startswith(_OF_FIELD)


class BroadPatterns:
    """Counts in how many messages and sessions each pattern of a pack matches."""

    def __init__(self, pack: Pack) -> None:
        self._keys: dict[tuple[str, str], list[_Key]] = {
            (task.name, author): list(_keys(pack, task.name, author))
            for task in pack.tasks
            for author in ("expert", "user")
        }
        self._messages: Counter[tuple[str, str]] = Counter()  # by task and author
        self._matches: Counter[_Key] = Counter()
        self._openings: Counter[str] = Counter()  # sessions whose greeting matches, by field
        self._sessions = 0
        self._ends: Counter[EndReason] = Counter()
        self._at_once = 0  # sessions in which the expert acts in the first turn

    def add(self, session: Session) -> None:
        """Count the messages of one session."""
        self._sessions += 1
        self._ends[session.end] += 1
        self._at_once += session.stop_turn == 0
        self._openings.update(self._asked_by_greeting(session))
        for message in session.messages:
            group = (session.task, message.author)
            if group not in self._keys or self._messages[group] >= _MOST_MESSAGES:
                continue
            self._messages[group] += 1
            for key in self._keys[group]:
                self._matches[key] += bounded_search(key.pattern)(message.content) is not None

    def never(self) -> Iterator[tuple[str, str, str]]:
        """Yield task, place and pattern of each pattern of a field or an end that matches no message, of enough.

        A field of several tasks has the same patterns in each, so one that matches in any of them is left out, and one
        that matches in none is yielded for the first.
        """
        matched = {(key.where, key.pattern) for key, count in self._matches.items() if count}
        for (task, author), keys in self._keys.items():
            if self._messages[task, author] < ENOUGH:
                continue
            for key in keys:
                if (key.where, key.pattern) not in matched and key.where not in _OPTIONAL:
                    matched.add((key.where, key.pattern))
                    yield task, key.where, key.pattern

    def _asked_by_greeting(self, session: Session) -> set[str]:
        """Return the fields whose patterns match what the expert says first, where it asks nothing."""
        greeting = takewhile(lambda message: message.author == "expert", session.messages)
        texts = [
            sentence
            for message in greeting
            for sentence in sentences(message.content)
            if not has_question_mark(sentence)
        ]
        return {
            key.where
            for key in self._keys.get((session.task, "expert"), ())
            if key.is_field and any(bounded_search(key.pattern)(text) for text in texts)
        }

    def warnings(self, excluded: int) -> Iterator[str]:
        """Yield one warning for each kind. `excluded` is the number of sessions that match the pack's exclusions."""
        broad = [
            key
            for group, keys in self._keys.items()
            if self._messages[group] >= ENOUGH
            for key in keys
            if self._matches[key] > BROAD_SHARE * self._messages[group]
        ]
        for key in broad[:_LISTED]:
            yield (
                f"pattern {key.pattern!r} ({key.where}) matches {self._matches[key]} of "
                f"{self._messages[key.task, key.author]} messages of the {key.author}, so it tells nothing apart: make "
                "it narrower"
            )
        if len(broad) > _LISTED:
            yield f"{len(broad) - _LISTED} further patterns of the pack match nearly every message"
        for where, count in self._openings.most_common(_LISTED):
            if count >= ENOUGH:
                yield (
                    f"{where} match the greeting of {count} sessions, so the user's first message counts as the "
                    "answer: make the patterns narrower"
                )
        yield from _of_sessions(
            self._sessions,
            {
                "are handed over: check handoffPatterns": self._ends[EndReason.HANDOFF],
                "have the expert's act in the first turn: check endMarkers and actionPatterns": self._at_once,
            },
        )
        yield from _of_sessions(self._sessions + excluded, {"are set aside: check exclusions": excluded})


def _of_sessions(sessions: int, counts: Mapping[str, int]) -> Iterator[str]:
    for finding, count in counts.items():
        if sessions >= ENOUGH and count > BROAD_SHARE * sessions:
            yield f"{count} of {sessions} sessions {finding} of the pack, which should match few"


def _keys(pack: Pack, task: str, author: str) -> Iterator[_Key]:
    fields = pack.task(task).fields
    if author == "expert":
        for field in fields:
            for pattern in field.patterns:
                yield _Key(f"{_OF_FIELD}{field.name}", pattern, task, author)
        for pattern in pack.fluency.questions:
            yield _Key("fluency.questions", pattern, task, author)
        for pattern in pack.action_patterns:
            yield _Key("actionPatterns", pattern, task, author)
        for pattern in pack.handoff_patterns:
            yield _Key("handoffPatterns", pattern, task, author)
        return
    for field in fields:
        for pattern in field.answer_patterns:
            yield _Key(f"answerPatterns of field {field.name}", pattern, task, author)
    for pattern in pack.non_answers:
        yield _Key("nonAnswers", pattern, task, author)
