"""Which pairs of neighbouring words the experts' questions hold.

Words that no expert puts side by side show that a text is garbled, even where each of its words is an expert's.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from learntoask.grading.examples import Example
from learntoask.grading.text import stems

_SEVERAL = None  # in place of a session: more than one session has the pair
_Pair = tuple[str, str]


class WordPairs:
    """Pairs of neighbouring stems, the ends of a text included; each with the session that has it."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._sessions: dict[_Pair, str | None] = {}
        for example in examples:
            session = example.session_id
            for pair in _pairs(example.text):
                self._sessions[pair] = session if self._sessions.get(pair, session) == session else _SEVERAL

    def new_share(self, text: str, *, without: str) -> float:
        """The share, 0…1, of the pairs of `text` that no question has, those of session `without` left out."""
        pairs = _pairs(text)
        return sum(self._sessions.get(pair, without) == without for pair in pairs) / len(pairs)


def _pairs(text: str) -> list[_Pair]:
    """At least one pair, since the ends count as neighbours."""
    return list(pairwise(["^", *stems(text), "$"]))
