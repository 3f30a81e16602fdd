"""Combine a pack's regular expressions into one search, because most callers only need to know whether any matches.

The searches compare plain texts (core.text), so a curly apostrophe in a message or a pattern makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import regex

from learntoask.core.text.characters import plain_text
from learntoask.core.text.patterns import compile_pattern

Search = Callable[[str], "regex.Match[str] | None"]

_REFERENCES = re.compile(
    r"\\[1-9]|\(\?P|\(\?\(|\(\?[aiLmsux]+\)"
    # Constructs whose meaning changes inside an alternation: group numbers and names, conditions, global flags.
)


@lru_cache(maxsize=4096)
def any_of(patterns: tuple[str, ...]) -> Search:
    """Return a search for any of `patterns`, ignoring case. The groups of its match have no meaning."""
    if not patterns:
        return lambda text: None
    if not any(_REFERENCES.search(pattern) for pattern in patterns):
        return _search("|".join(f"(?:{pattern})" for pattern in patterns))
    return first_of(patterns)


@lru_cache(maxsize=4096)
def first_of(patterns: tuple[str, ...]) -> Search:
    """Return a search that tries `patterns` in their order and returns the first match, with that pattern's groups."""
    searches: Sequence[Search] = [_search(pattern) for pattern in patterns]
    if len(searches) == 1:
        return searches[0]

    def search(text: str) -> regex.Match[str] | None:
        return next((match for pattern in searches if (match := pattern(text))), None)

    return search


def _search(pattern: str) -> Search:
    search = compile_pattern(pattern).search
    return lambda text: search(plain_text(text))
