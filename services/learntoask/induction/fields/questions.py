"""Find what experts ask in the logs: one Question for each thing that a sentence asks.

Values that the user has said before are left out of a question's text, and so are numbers, so that "Two tickets to
Boston on Friday, right?" looks like every other confirmation. A question that repeats several of them confirms and asks
for nothing; a question that matches the language's small talk ("How can I help?") asks for nothing either.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from learntoask.core.languages.pack_phrases import PHRASES, PackPhrases, language_of
from learntoask.core.pack import Fluency, Pack
from learntoask.core.text.characters import one_line
from learntoask.core.text.sentences import ends_with_question_mark, has_question_mark
from learntoask.core.text.words import words
from learntoask.grading.fluency import FluencyGuard
from learntoask.labeling.logs.parsing import LogSession
from learntoask.labeling.logs.patterns import any_of

_PART_END = re.compile(r"(?:(?<=[,;:?!.])\s+|(?<=[，、；：？。])|\s+(?:and|but|und|aber|y|e|et|mais|и)\s+)")
_NUMBER = re.compile(r"\d+")
_RARE = 0.03  # share of the questions up to which a word that the user said before is a value and not a topic
_LONGEST_QUESTION = 60  # words


@dataclass(frozen=True, slots=True)
class Question:
    """A thing that an expert asks for. `session`, `turn` and `message` are indices; turns are runs of messages."""

    session: int
    turn: int
    message: int
    text: str  # as written, on one line
    plain: str  # without numbers, in lower case
    reply: str  # what the user says next; empty if nothing
    alone: bool  # the only question of its turn, so the reply answers it
    answered: bool  # the reply is an answer and no question or "I don't know"


@dataclass(frozen=True)
class AskedQuestions:
    """The questions of all sessions. `idle` are (session, message) of expert messages that ask for nothing."""

    questions: tuple[Question, ...]
    asking: frozenset[
        tuple[int, int]
    ]  # (session, message) of every message that asks anything, small talk included
    small_talk: tuple[str, ...]  # the questions that ask for no field
    confirmations: tuple[str, ...]


class QuestionFinder:
    """Finds questions by the phrases of one language."""

    def __init__(self, pack: Pack) -> None:
        loose = Fluency(min_words=1, max_words=_LONGEST_QUESTION * 4)
        self._guard = FluencyGuard(pack.model_copy(update={"fluency": loose}))
        phrases = PHRASES.get(language_of(pack))
        self._small_talk = any_of(phrases.small_talk if phrases else ())
        self._non_answer = any_of(PackPhrases.of(pack).non_answers)
        self._cue = any_of(PackPhrases.of(pack).questions)

    def find(self, sessions: Sequence[LogSession]) -> AskedQuestions:
        """Return the questions of the sessions, in order."""
        drafts = [draft for index, session in enumerate(sessions) for draft in self._drafts(index, session)]
        frequency = Counter(word for draft in drafts for word in set(words(draft.question.text)))
        kept, small, confirmations = [], [], []
        for draft in drafts:
            if self._small_talk(draft.question.text):
                small.append(draft.question.text)
            elif draft.confirms(frequency, most=max(3, _RARE * len(drafts))):
                confirmations.append(draft.question.text)
            else:
                kept.append(draft.question)
        asking = frozenset((draft.question.session, draft.question.message) for draft in drafts)
        return AskedQuestions(tuple(kept), asking, tuple(small), tuple(confirmations))

    def units(self, text: str) -> list[str]:
        """Return the parts of a message that each ask for a thing."""
        return [unit for sentence in self._guard.asking(one_line(text)) for unit in self._units_of(sentence)]

    def _units_of(self, sentence: str) -> Iterator[str]:
        unit = ""
        for part in _PART_END.split(sentence):
            if not words(part):
                unit += part
            elif unit and self._cue(part) and self._asks(unit):
                yield unit
                unit = part
            else:
                unit = f"{unit} {part}".strip()
        if unit:
            yield unit

    def _asks(self, part: str) -> bool:
        return ends_with_question_mark(part) or self._cue(part) is not None

    def _drafts(self, index: int, session: LogSession) -> Iterator[_Draft]:
        position = turn = 0
        said: set[str] = set()
        runs = [(role, list(group)) for role, group in groupby(session.messages, key=lambda one: one.role)]
        for number, (role, run) in enumerate(runs):
            start, position = position, position + len(run)
            if role == "user":
                said |= {word for message in run for word in words(message.content)}
                continue
            reply = [message.content for message in runs[number + 1][1]] if number + 1 < len(runs) else []
            asked = [
                (start + offset, unit)
                for offset, message in enumerate(run)
                if message.author == "expert"
                for unit in self.units(message.content)
                if len(words(unit)) <= _LONGEST_QUESTION
            ]
            answers = [text for text in reply if not has_question_mark(text) and not self._non_answer(text)]
            for message_index, unit in asked:
                yield _Draft(
                    Question(
                        session=index,
                        turn=turn,
                        message=message_index,
                        text=unit,
                        plain=plain_text(unit),
                        reply=one_line(" ".join(reply)),
                        alone=len(asked) == 1,
                        answered=bool(answers),
                    ),
                    said=frozenset(said),
                )
            turn += 1


def plain_text(text: str) -> str:
    """Return the text of a question without its numbers, in lower case; it names the question in answers of people."""
    return _NUMBER.sub("0", text).lower()


@dataclass(frozen=True, slots=True)
class _Draft:
    question: Question
    said: frozenset[str]  # words that the user has said before

    def confirms(self, frequency: Counter[str], *, most: float) -> bool:
        """Whether at least two words, and a fifth of all, are values that the user has said."""
        text = words(self.question.text)
        repeated = [
            word for word in text if word in self.said and (frequency[word] <= most or word.isdigit())
        ]
        return len(repeated) >= 2 and 5 * len(repeated) >= len(text)
