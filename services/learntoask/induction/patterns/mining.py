"""Find regular expressions for the expert messages of one kind, such as those that ask for a field.

Candidates are the grams of the texts to be found. The greedy set cover takes the gram that finds the most messages
that no pattern has found yet, as long as nearly nothing else matches it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from learntoask.induction.names import FUNCTION_WORDS
from learntoask.induction.patterns.tokens import Gram, grams, tokens

PRECISION = 0.8  # chosen for the micro-goals of SGD; higher values lose more of them than they mend
FEWEST_FOUND = 2  # messages of different sessions that a pattern adds
MOST_PATTERNS = 25
_PRIOR = 0.75  # least precision, with half a match and half a mismatch added, of patterns without a mismatch
_BORROWED = 4  # messages of a task that the precision in all tasks counts as
_FRAME_KINDS = 4  # kinds of messages from which a word is part of the frame of a question ("what is the")
_FRAME_FOUND = 5  # messages that a pattern of nothing but such words must find


@dataclass(frozen=True, slots=True)
class MinedPattern:
    """A pattern, and how many messages of the kind and of other kinds it matches."""

    gram: Gram
    found: int
    others: int

    @property
    def expression(self) -> str:
        """The regular expression."""
        return self.gram.expression


class MessageIndex:
    """The different texts of expert messages, each with the number of sessions that have it, by their grams."""

    def __init__(self, texts: Iterable[str]) -> None:
        counts = Counter(texts)
        self.texts = sorted(counts)
        self.counts = [counts[text] for text in self.texts]
        self.number = {text: index for index, text in enumerate(self.texts)}

    def with_grams(self, wanted: Set[Gram]) -> Mapping[Gram, set[int]]:
        """Return the texts that have each of the wanted grams."""
        found: dict[Gram, set[int]] = defaultdict(set)
        for index, text in enumerate(self.texts):
            for gram in grams(text) & wanted:
                found[gram].add(index)
        return found


@dataclass(frozen=True)
class Target:
    """Texts that patterns should match and texts that they should not, by number, with how many messages have them.

    Texts in neither do not matter.
    """

    wanted: Mapping[int, int]
    others: Mapping[int, int]

    def counts(self, texts: Iterable[int]) -> tuple[int, int]:
        """Return how many of the messages with these texts are wanted, and how many are others."""
        right = wrong = 0
        for text in texts:
            right += self.wanted.get(text, 0)
            wrong += self.others.get(text, 0)
        return right, wrong


def mine(
    target: Target,
    candidates: Mapping[Gram, set[int]],
    *,
    frame: frozenset[str],
    within: Target | None = None,
    most: int = MOST_PATTERNS,
    precise_from: float = PRECISION,
) -> list[MinedPattern]:
    """Return patterns for the wanted texts that hardly match the others, the most general first.

    `candidates` are the grams to choose from with the texts that have them, and `frame` the words that say nothing
    about the kind. `within` is the part of the target, such as one task, in which the patterns have to be precise;
    where it has few messages, the precision in the whole target counts. It is at least `precise_from`.
    """
    precise: dict[Gram, tuple[int, int]] = {}
    for gram, texts in candidates.items():
        right, wrong = target.counts(texts)
        framed = frame.issuperset(gram.words)
        if right < (_FRAME_FOUND if framed else FEWEST_FOUND):
            continue
        precision = (right + 0.5) / (right + wrong + 1)
        if within is not None:
            near, far = within.counts(texts)
            if near + far:
                precision = (near + _BORROWED * precision) / (near + far + _BORROWED)
        if precision >= (_PRIOR if not wrong else precise_from):
            precise[gram] = (right, wrong)
    wanted = target.wanted
    left = set(wanted)
    chosen: list[MinedPattern] = []
    gains = {gram: sum(wanted.get(text, 0) for text in candidates[gram]) for gram in precise}
    while gains and len(chosen) < most:
        best = min(gains, key=lambda gram: _rank(gram, gains[gram], framed=frame.issuperset(gram.words)))
        if gains[best] < FEWEST_FOUND:
            break
        chosen.append(MinedPattern(best, *precise[best]))
        covered = candidates[best] & left
        left -= covered
        del gains[best]
        for gram in list(gains):
            lost = sum(wanted[text] for text in candidates[gram] & covered)
            if lost:
                gains[gram] -= lost
                if gains[gram] < FEWEST_FOUND:
                    del gains[gram]
    return chosen


def frame_words(kinds: Sequence[Iterable[str]]) -> frozenset[str]:
    """Return the words that occur in the texts of several kinds, and function words of English."""
    spread: Counter[str] = Counter()
    for texts in kinds:
        spread.update({word for text in texts for word in tokens(text)})
    return FUNCTION_WORDS | {word for word, count in spread.items() if count >= _FRAME_KINDS}


def _rank(gram: Gram, gain: int, *, framed: bool) -> tuple[float, bool, int, int, Gram]:
    """Order candidates: the most found, then without a mark, then fewer words, then fewer letters.

    A gram of frame words alone must find twice as much, because it is likelier to be in other questions elsewhere.
    """
    return (-gain / (2 if framed else 1), gram.asks, len(gram.parts), sum(map(len, gram.parts)), gram)
