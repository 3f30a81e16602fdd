"""Targets that only the rest of a session shows: questions that the expert puts later and that are right already.

At a decision point every later question of the session is right if the fields that it asks for are in the micro-goal
I*_t. A later question that leans on what was said in between would be odd earlier, and is no target.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from learntoask.core.records import LabelledSession, Sample
from learntoask.core.text.characters import folded_line
from learntoask.core.text.sentences import has_question_mark, sentences
from learntoask.core.text.words import words
from learntoask.policy.prompt import expert_answer

MOST_LATER = 8
"""Largest number of later questions of one decision point, the nearest, so that trees grow linearly with the turns."""
_RARE_SHARE = 0.02  # share of the other sessions whose experts use a word; below it the word is rare
_EXPECTED = 2.0  # expected first questions with an opening, from which their absence is no chance
_SHORTFALL = 4  # times fewer first questions with an opening than expected show that it follows up


@dataclass(frozen=True)
class ExpertWording:
    """What the experts of some sessions tell about the words of their questions, in any language.

    `speakers` counts the sessions in whose expert turns each word occurs, `words_of` are the words of each session.
    `follow_ups` are the openings of questions that continue a conversation, such as "and" or "thanks".
    """

    speakers: Counter[str]
    words_of: dict[str, frozenset[str]]
    follow_ups: frozenset[str]

    @classmethod
    def of(cls, sessions: Sequence[LabelledSession]) -> ExpertWording:
        """Learn from the expert turns of `sessions`."""
        words_of = {
            labelled.session.session_id: frozenset(
                word
                for turn in range(len(labelled.session.turns))
                if turn != labelled.session.stop_turn
                for word in words(expert_answer(labelled.session, turn))
            )
            for labelled in sessions
        }
        return cls(
            speakers=Counter(word for of_session in words_of.values() for word in of_session),
            words_of=words_of,
            follow_ups=_follow_ups(sessions),
        )

    def is_rare(self, word: str, *, session_id: str) -> bool:
        """Return whether hardly any expert of another session uses `word`, as is the case of most values."""
        own = self.words_of.get(session_id)
        others = len(self.words_of) - (own is not None)
        return self.speakers[word] - (own is not None and word in own) < _RARE_SHARE * others

    def leans(self, question: str, labelled: LabelledSession, *, turn: int, asked_at: int) -> bool:
        """Return whether `question`, put at turn `asked_at`, refers to what was said since the context of `turn`.

        It does if it has a number or a rare word that the user said in between and not before, or if it begins like a
        follow-up. A sentence before the question, such as "Thanks.", only counts where the expert has not asked yet.
        """
        session = labelled.session
        start, end = session.turns[turn].start, session.turns[asked_at].start
        known = {word for message in session.messages[:start] for word in words(message.content)}
        given = {
            word
            for message in session.messages[start:end]
            if message.role == "user"
            for word in words(message.content)
        }
        for word in (given - known).intersection(words(question)):
            has_digit = any(character.isdigit() for character in word)
            if has_digit or self.is_rare(word, session_id=session.session_id):
                return True
        openings = {_opening(_asking_sentence(question))}
        if turn <= _first_question(labelled):
            openings.add(_opening(question))
        return not openings.isdisjoint(self.follow_ups)


@dataclass(frozen=True)
class HindsightTargets:
    """Chooses the answers that are learned at a decision point.

    With a `weight` they are the expert's own answer and all later questions, which share that weight in the loss.
    Without one they are the expert's own answer or, if that asks for nothing that is needed, the next question. What
    looks like a question may ask for something needed if patterns made the labels, because they miss wordings.
    """

    wording: ExpertWording
    weight: float | None

    @classmethod
    def of(cls, sessions: Sequence[LabelledSession], *, weight: float | None) -> HindsightTargets:
        """Learn the filter from the training sessions."""
        return cls(ExpertWording.of(sessions), weight)

    def targets(self, labelled: LabelledSession, sample: Sample) -> dict[int, float]:
        """Return the turns whose answers are learned at `sample`, with their weights."""
        own = {sample.turn: 1.0}
        if self.weight is not None:
            nearest = self._later(labelled, sample)[:MOST_LATER]
            return own | {turn: self.weight / len(nearest) for turn in nearest}
        if {item.field for item in sample.remaining}.intersection(sample.requested):
            return own
        answer = expert_answer(labelled.session, sample.turn)
        if sample.provenance.labeller == "lexicon" and has_question_mark(answer):
            return own
        later = self._later(labelled, sample)
        return {later[0]: 1.0} if later else own

    def _later(self, labelled: LabelledSession, sample: Sample) -> list[int]:
        """Return the later turns whose questions are right at `sample`; none at a stop.

        Left out are questions for what the user has given already, repetitions of a text that stands in the context, is
        the expert's own answer or another target, and what `ExpertWording.leans` finds.
        """
        if sample.decision == "stop":
            return []
        session = labelled.session
        start = session.turns[sample.turn].start
        wanted = {item.field for item in sample.remaining} - labelled.given_before(sample.turn)
        texts = {folded_line(message.content) for message in session.messages[:start]}
        texts.add(folded_line(expert_answer(session, sample.turn)))
        found: list[int] = []
        for later in labelled.samples:
            if later.turn <= sample.turn or later.decision == "stop":
                continue
            question = expert_answer(session, later.turn)
            if not question or not later.requested or not wanted.issuperset(later.requested):
                continue
            if folded_line(question) in texts:
                continue
            if self.wording.leans(question, labelled, turn=sample.turn, asked_at=later.turn):
                continue
            texts.add(folded_line(question))
            found.append(later.turn)
        return found


def _follow_ups(sessions: Iterable[LabelledSession]) -> frozenset[str]:
    """Return the openings that experts use in later questions but hardly in first ones for the same fields.

    Fields are compared with themselves, because some are asked for late: "How many guests?" is no follow-up.
    """
    first: Counter[tuple[str, tuple[str, ...]]] = Counter()
    first_openings: Counter[str] = Counter()
    later: dict[tuple[str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    for labelled in sessions:
        session = labelled.session
        first_question = _first_question(labelled)
        for sample in labelled.samples:
            if sample.decision == "stop" or not sample.requested:
                continue
            about = (session.task, tuple(sorted(sample.requested)))
            opening = _opening(expert_answer(session, sample.turn))
            if sample.turn == first_question:
                first[about] += 1
                first_openings[opening] += 1
            else:
                later[about][opening] += 1
    expected: Counter[str] = Counter()
    for about, openings in later.items():
        for opening, count in openings.items():
            expected[opening] += first[about] * count / openings.total()
    return frozenset(
        opening
        for opening, count in expected.items()
        if count >= _EXPECTED and first_openings[opening] * _SHORTFALL <= count
    )


def _first_question(labelled: LabelledSession) -> int:
    """The first turn that asks for a field; the number of turns if none does."""
    return next((sample.turn for sample in labelled.samples if sample.requested), len(labelled.session.turns))


def _opening(text: str) -> str:
    found = words(text)
    return found[0] if found else ""


def _asking_sentence(text: str) -> str:
    """The first sentence with a question mark, or else the whole text."""
    return next((sentence for sentence in sentences(text) if has_question_mark(sentence)), text)
