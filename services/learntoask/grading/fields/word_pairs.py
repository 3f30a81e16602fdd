"""The pairs of neighbouring words in the experts' questions, to find garbled text.

A text whose neighbouring words no expert puts next to each other is garbled, even if experts use each of its words.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from learntoask.core.text.words import stems
from learntoask.grading.examples import Example

_SEVERAL = None  # instead of a session if more than one session has the pair
_Pair = tuple[str, str]


class WordPairs:
    """The pairs of neighbouring stems of all examples, each with the session that has it. Ends count as neighbours."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._sessions: dict[_Pair, str | None] = {}
        for example in examples:
            session = example.session_id
            for pair in _pairs(example.text):
                self._sessions[pair] = session if self._sessions.get(pair, session) == session else _SEVERAL

    def new_share(self, text: str, *, without: str) -> float:
        """Return the share, 0…1, of the pairs of `text` that no question has, without those of session `without`."""
        pairs = _pairs(text)
        return sum(self._sessions.get(pair, without) == without for pair in pairs) / len(pairs)


def _pairs(text: str) -> list[_Pair]:
    """Return the pairs of a text; at least one, because the ends count as neighbours."""
    return list(pairwise(["^", *stems(text), "$"]))
