"""Combine a pack's regular expressions into one search, because most callers only need to know whether any matches.

The searches compare plain texts (core.text), so a curly apostrophe in a message or a pattern makes no difference.
"""

from __future__ import annotations

import re
from functools import lru_cache

from learntoask.core.documents.patterns import Match, Search, SlowPattern, bounded_search
from learntoask.core.text.characters import plain_pattern, plain_text

_REFERENCES = re.compile(
    r"\\[1-9]|\(\?P|\(\?\(|\(\?[aiLmsux]+\)"
    # Constructs whose meaning changes inside an alternation: group numbers and names, conditions, global flags.
)


@lru_cache(maxsize=4096)
def any_of(patterns: tuple[str, ...]) -> Search:
    """Return a search for any of `patterns`, ignoring case. The groups of its match have no meaning.

    The search raises SlowPattern, with the pattern at fault, when it would take too long.
    """
    if not patterns:
        return lambda text: None
    if any(_REFERENCES.search(pattern) for pattern in patterns):
        return first_of(patterns)
    together = _search("|".join(f"(?:{pattern})" for pattern in patterns))

    def search(text: str) -> Match | None:
        try:
            return together(text)
        except SlowPattern:
            return first_of(patterns)(text)  # names the pattern at fault

    return search


@lru_cache(maxsize=4096)
def first_of(patterns: tuple[str, ...]) -> Search:
    """Return a search that tries `patterns` in their order and returns the first match, with that pattern's groups."""
    searches = [_search(pattern) for pattern in patterns]
    if len(searches) == 1:
        return searches[0]

    def search(text: str) -> Match | None:
        return next((match for pattern in searches if (match := pattern(text))), None)

    return search


def _search(pattern: str) -> Search:
    search = bounded_search(plain_pattern(pattern))
    return lambda text: search(plain_text(text))
