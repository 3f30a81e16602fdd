"""A pack's regular expressions as one search: the first hit is all that most questions need."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

Search = Callable[[str], "re.Match[str] | None"]

_REFERENCES = re.compile(r"\\[1-9]|\(\?P|\(\?\(|\(\?[aiLmsux]+\)")  # what an alternation would break


@lru_cache(maxsize=4096)
def any_of(patterns: tuple[str, ...]) -> Search:
    """Searches for any of `patterns`, ignoring case; the match's groups are of no meaning."""
    if not patterns:
        return lambda text: None
    if not any(_REFERENCES.search(pattern) for pattern in patterns):
        return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE).search
    return first_of(patterns)


@lru_cache(maxsize=4096)
def first_of(patterns: tuple[str, ...]) -> Search:
    """Searches for the patterns in their order; the match is the first pattern's that hits, with its groups."""
    searches: Sequence[Search] = [re.compile(pattern, re.IGNORECASE).search for pattern in patterns]
    if len(searches) == 1:
        return searches[0]

    def search(text: str) -> re.Match[str] | None:
        return next((match for one in searches if (match := one(text))), None)

    return search
