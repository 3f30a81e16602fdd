"""Regular expressions of packs, searched in plain texts of any script, with a bound on the time of one search.

A pattern with a repetition inside a repetition can take longer than anybody waits, on one message. The package `regex`
finds what `re` finds, can be told when to give up, and recognises many such patterns by itself. It also counts the
vowel signs of Indic scripts as parts of words, while Python's `re` would find nothing for `\\bकितनी\\b`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import regex

from learntoask.core.errors import InputError
from learntoask.core.text.characters import plain_pattern

Match = regex.Match[str]
Search = Callable[[str], Match | None]

LONGEST_SEARCH = 5.0  # seconds of processor time; ordinary patterns take microseconds


class SlowPattern(InputError):
    """The search for `pattern` took longer than LONGEST_SEARCH. `where` names the text that was searched."""

    def __init__(self, pattern: str, where: str = "") -> None:
        text = f" in {where}" if where else ""
        super().__init__(
            f"pattern {pattern!r} of the pack: the search{text} was given up after {LONGEST_SEARCH:g} s; "
            "a repetition inside a repetition, such as (a|a)+ or (\\w+\\s*)+, can try without end: write it with one "
            "repetition, or bound it, such as {0,5}"
        )
        self.pattern = pattern

    def at(self, where: str) -> SlowPattern:
        """Return the same error with the name of the text."""
        return SlowPattern(self.pattern, where)


@lru_cache(maxsize=8192)
def bounded_search(pattern: str) -> Search:
    """Return a search of texts from `plain_text` for `pattern`, ignoring case.

    The search raises SlowPattern when it would take too long.
    """
    compiled = regex.compile(plain_pattern(pattern), regex.IGNORECASE)

    def search(text: str) -> Match | None:
        try:
            return compiled.search(text, timeout=LONGEST_SEARCH)
        except TimeoutError:
            raise SlowPattern(pattern) from None

    return search
