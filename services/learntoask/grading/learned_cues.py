"""Learn from the labels how experts ask without a question mark, for languages and styles that no phrase fits.

A request is an expert turn that is labelled as asking for a field, in which no sentence asks by the rules of the pack
and its language, and which the user answers in a few words. A cue is the last sentence of such turns, or how it begins
or ends (one to three words). It is kept if requests in at least `FEWEST_SESSIONS` sessions have it, and hardly any
sentence that asks nothing. Those are the sentences of users, and those of experts who act or who ask with a mark
elsewhere. A beginning or an end must also be a form of asking and not a topic, so the requests ask for different fields
and none of its words names one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Message, Sample
from learntoask.core.text.characters import one_line
from learntoask.core.text.sentences import has_question_mark, sentences
from learntoask.core.text.words import morphemes, words
from learntoask.grading.cues import Cue, LearnedCues, Place
from learntoask.grading.fluency import FluencyGuard

FEWEST_SESSIONS = 5
MOST_OF_A_FIELD = {
    "begins": 0.9,
    "ends": 0.7,
}
"""Share of the requests with a beginning or an end, for one field each, that may ask for the same field."""
LEAST_PRECISION = 0.97  # share of the sentences with a cue that are requests
MOST_WORDS = 3  # of a cue
LONGEST_REPLY = 12  # words of the reply to a request
MOST_SENTENCES = 20_000  # of each kind; further sentences cost memory and hardly change the cues

_Key = tuple[Place, tuple[str, ...]]


@dataclass
class _Seen:
    """The requests that have a cue."""

    sessions: set[int] = field(default_factory=set)
    alone: Counter[tuple[str, str]] = field(default_factory=Counter)  # (task, field), of those for one field
    requests: int = 0

    def asks(self, place: Place, said: Sequence[str], named: set[str]) -> bool:
        """Whether these are requests of enough sessions and, unless they are equal, for different fields.

        `named` are the words that name fields.
        """
        if len(self.sessions) < FEWEST_SESSIONS:
            return False
        if place == "is":
            return not named.issuperset(said)
        commonest = max(self.alone.values(), default=0)
        return (
            not named.intersection(said)
            and len(self.alone) > 1
            and commonest <= MOST_OF_A_FIELD[place] * self.alone.total()
        )


class CueLearner:
    """Collects requests and other sentences of labelled sessions. The cues depend on the sessions and their order."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._guard = FluencyGuard(pack)
        self._requests: list[tuple[int, str, frozenset[str], str]] = []  # session, task, fields, sentence
        self._others: list[str] = []
        self._session = 0

    def add(self, labelled: LabelledSession) -> None:
        """Count the sentences of one session."""
        self._session += 1
        session = labelled.session
        for message in session.messages:
            if message.author == "user":
                self._add_others(_without_marks([message]))
        for sample in labelled.samples:
            turn = session.turns[sample.turn]
            said = [
                message for message in session.messages[turn.start : turn.end] if message.author == "expert"
            ]
            asking = self._guard.asking(one_line(" ".join(message.content for message in said)))
            if sample.decision == "stop" or asking:
                if len(asking) < len(sample.requested):
                    continue  # another sentence may ask for the other field
                self._add_others(
                    text for text in _without_marks(said) if not any(text in sentence for sentence in asking)
                )
            elif sample.requested and _is_short(session.messages[turn.end : turn.end + 1]):
                self._add_request(sample, session.task, _without_marks(said))

    def _add_request(self, sample: Sample, task: str, said: Sequence[str]) -> None:
        if said and len(self._requests) < MOST_SENTENCES:
            self._requests.append((self._session, task, frozenset(sample.requested), said[-1]))

    def _add_others(self, said: Iterable[str]) -> None:
        if len(self._others) < MOST_SENTENCES:
            self._others.extend(said)

    def cues(self) -> LearnedCues:
        """Return the cues of the sessions so far, the most frequent first."""
        seen: dict[_Key, _Seen] = defaultdict(_Seen)
        for session, task, fields, sentence in self._requests:
            for key in _keys(sentence):
                found = seen[key]
                found.requests += 1
                found.sessions.add(session)
                found.alone.update((task, name) for name in fields if len(fields) == 1)
        named = self._field_words()
        likely = {key: found for key, found in seen.items() if found.asks(*key, named)}
        others: dict[_Key, int] = defaultdict(int)
        for sentence in self._others if likely else ():
            for key in _keys(sentence):
                others[key] += key in likely
        kept = [
            Cue(place, said, len(found.sessions), len(found.alone), others[place, said])
            for (place, said), found in likely.items()
            if found.requests >= LEAST_PRECISION * (found.requests + others[place, said])
        ]
        kept.sort(key=lambda cue: (-cue.sessions, len(cue.words), cue.place, cue.words))
        return LearnedCues(tuple(_shortest(kept)))

    def _field_words(self) -> set[str]:
        return {
            word
            for task in self._pack.tasks
            for information in task.fields
            for text in (information.title, *information.values)
            for word in words(text)
        }


def _without_marks(messages: Iterable[Message]) -> list[str]:
    """Return the sentences without a question mark in a text with several messages."""
    return [
        sentence
        for message in messages
        for sentence in sentences(one_line(message.content))
        if not has_question_mark(sentence) and words(sentence)
    ]


def _is_short(reply: Sequence[Message]) -> bool:
    """Whether there is a reply, of the user and in a few words that ask nothing."""
    texts = [one_line(message.content) for message in reply if message.author == "user"]
    return bool(texts) and all(
        0 < max(len(words(text)), morphemes(text)) <= LONGEST_REPLY and not has_question_mark(text)
        for text in texts
    )


def _keys(sentence: str) -> Iterator[_Key]:
    said = words(sentence)
    yield "is", said
    for count in range(1, min(MOST_WORDS, len(said) - 1) + 1):
        yield "begins", said[:count]
        yield "ends", said[-count:]


def _shortest(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Yield the cues that no other one makes needless, because it finds the same sentences and more."""
    for cue in cues:
        if not any(other != cue and _finds_all_of(other, cue) for other in cues):
            yield cue


def _finds_all_of(general: Cue, cue: Cue) -> bool:
    return cue.place in ("is", general.place) and general.place != "is" and general.match(cue.words)
