"""Questions of experts that no pattern of the pack matches, grouped by their words. `lta data check` lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.core.text.characters import one_line
from learntoask.core.text.sentences import has_question_mark, sentences
from learntoask.core.text.words import stems
from learntoask.labeling.logs.patterns import any_of

LISTED = 8  # groups
_ALIKE = 0.5  # share of common stems from which two questions are one group
_MOST = 5_000  # different questions that are kept


@dataclass(frozen=True, slots=True)
class QuestionGroup:
    """Questions that share most of their words: the commonest one, and how many there are."""

    example: str
    count: int


class UnmatchedQuestions:
    """Collects the sentences with a question mark in expert messages that ask for no field of the pack."""

    def __init__(self, pack: Pack) -> None:
        self._asks: dict[str, Callable[[str], object]] = {
            task.name: any_of(tuple(pattern for field in task.fields for pattern in field.patterns))
            for task in pack.tasks
        }
        self._counts: Counter[str] = Counter()

    def add(self, session: Session) -> None:
        """Count the questions of one session up to the expert's act."""
        asks = self._asks[session.task]
        end = (
            session.turns[session.stop_turn].start if session.stop_turn is not None else len(session.messages)
        )
        for message in session.messages[:end]:
            if message.author != "expert" or not has_question_mark(message.content) or asks(message.content):
                continue
            for sentence in sentences(one_line(message.content)):
                if has_question_mark(sentence) and (sentence in self._counts or len(self._counts) < _MOST):
                    self._counts[sentence] += 1

    def groups(self) -> tuple[QuestionGroup, ...]:
        """Return the largest groups, the largest first."""
        found: list[tuple[frozenset[str], str, int]] = []
        for text, count in sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0])):
            own = frozenset(stems(text))
            for place, (common, example, number) in enumerate(found):
                if len(own & common) >= _ALIKE * len(own | common):
                    found[place] = (common, example, number + count)
                    break
            else:
                found.append((own, text, count))
        found.sort(key=lambda group: (-group[2], group[1]))
        return tuple(QuestionGroup(example, count) for _, example, count in found[:LISTED])
