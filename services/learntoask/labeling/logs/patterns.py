"""Combine a pack's regular expressions into one search, because most callers only need to know whether any matches.

The searches read plain texts on one line (core.text), as graders do, so neither a curly apostrophe nor a line end makes
a difference.
"""

from __future__ import annotations

import re
from functools import lru_cache

from learntoask.core.text.characters import one_line, plain_text
from learntoask.core.text.patterns import Match, Search, SlowPattern, bounded_search

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
    bounded = bounded_search(pattern)

    def search(text: str) -> Match | None:
        found = bounded(one_line(text))
        if found is None and "\n" in text:  # the pattern may be about lines
            found = bounded(plain_text(text))
        return found

    return search
