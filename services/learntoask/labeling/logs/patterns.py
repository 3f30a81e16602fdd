"""Combine a pack's regular expressions into one search, because most callers only need to know whether any matches.

The searches read plain texts on one line (core.text), as graders do, so neither a curly apostrophe nor a line end makes
a difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import regex

from learntoask.core.text.characters import one_line, plain_text
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
    compiled = compile_pattern(pattern)

    def search(text: str) -> regex.Match[str] | None:
        found = compiled.search(one_line(text))
        if found is None and "\n" in text:  # the pattern may be about lines
            found = compiled.search(plain_text(text))
        return found

    return search
