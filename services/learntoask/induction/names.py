"""Name fields by the words that set their questions apart from those of other fields (c-TF-IDF)."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set

from learntoask.core.text.words import is_unspaced, words

_SECOND_WORD = 0.25  # share of the questions with the first word that also have the second
_LONGEST_NAME = 60
_CHOICES = 4
FUNCTION_WORDS = frozenset(
    """
    a an the this that these those it its is are was were be been am do does did has have had having can could
    will would shall should may might must you your yours i me my we us our they them their he she his her him
    and or but if so to of in on at by for from with as about into over what which who whom whose when where
    why how many much any some something anything nothing else other more also there here please like want
    need know let tell give get got going go take say see look looking think prefer exactly just ok okay sure
    thanks thank yes no not now yet then than whats id im youre kind right alright hi hello already
    """.split()  # noqa: SIM905 - a list of one word per line would be 150 lines
)
_FUNCTION_WEIGHT = 0.1


def field_names(questions: Sequence[Sequence[str]], common: Mapping[str, float]) -> list[str]:
    """Return a different name for each field, given the texts of its questions.

    `common` is the share of users' and experts' other sentences that contain a word; such a word names nothing.
    """
    names: list[str] = []
    for texts, ranked in zip(questions, _rankings(questions, common), strict=True):
        names.append(unused_name(_name_of(ranked, texts), set(names), ranked))
    return names


def name_choices(questions: Sequence[Sequence[str]], common: Mapping[str, float]) -> list[list[str]]:
    """Return a few names for each field that a person can choose from, the likeliest first."""
    return [
        list(dict.fromkeys([_name_of(ranked, texts), *ranked[:_CHOICES]]))[:_CHOICES]
        for texts, ranked in zip(questions, _rankings(questions, common), strict=True)
    ]


def _rankings(questions: Sequence[Sequence[str]], common: Mapping[str, float]) -> list[list[str]]:
    """Return the words of each field, those first that tell it from the others."""
    inside = [
        Counter(word for text in texts for word in dict.fromkeys(_named_by(text))) for texts in questions
    ]
    spread = Counter(word for counts in inside for word in counts)
    rankings = []
    for texts, counts in zip(questions, inside, strict=True):
        weights = {
            word: _weight(counts[word] / len(texts), spread[word] / len(inside), common, word)
            for word in counts
        }
        rankings.append(sorted(counts, key=lambda word: (-weights[word], word)))
    return rankings


def _weight(share: float, spread: float, common: Mapping[str, float], word: str) -> float:
    """Weigh a word: frequent in the field, in few fields, and rare in other sentences."""
    return (
        share
        * math.log(1 + 1 / spread)
        * (1 - min(1.0, 4 * common.get(word, 0.0)))
        * (1 if len(word) > 2 else 0.3)
    )


def _name_of(ranked: Sequence[str], texts: Sequence[str]) -> str:
    """Return the best word, with a second one that often stands beside it."""
    if not ranked:
        return "field"
    first = ranked[0]
    beside: Counter[tuple[str, str]] = Counter()
    total = 0
    for text in texts:
        said = words(text)
        total += first in said
        beside.update({pair for pair in itertools.pairwise(said) if first in pair})
    for second in ranked[1:4]:
        pair = max(((first, second), (second, first)), key=lambda one: (beside[one], one))
        if beside[pair] >= _SECOND_WORD * total and beside[pair] > 1:
            return "_".join(pair)
    return first


def _named_by(text: str) -> list[str]:
    return [word for word in words(text) if not word.isdigit() and (len(word) > 1 or is_unspaced(word))]


def unused_name(name: str, used: Set[str], ranked: Sequence[str]) -> str:
    """Return the name, or with another word or a number if it is used."""
    name = name[:_LONGEST_NAME]
    if name not in used:
        return name
    for word in ranked[1:4]:
        if word not in name and f"{name}_{word}" not in used:
            return f"{name}_{word}"
    return next(f"{name}_{number}" for number in range(2, len(used) + 3) if f"{name}_{number}" not in used)
