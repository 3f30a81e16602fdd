"""Regular expressions that are searched in plain texts, whatever script they are in.

The package `regex` is used because Python's `re` does not count the vowel signs of Indic scripts as parts of words, so
that `\\bकितनी\\b` would find nothing.
"""

from __future__ import annotations

from functools import lru_cache

import regex

from learntoask.core.text.characters import plain_pattern


@lru_cache(maxsize=8192)
def compile_pattern(pattern: str) -> regex.Pattern[str]:
    """Return a pattern that ignores case. Search it in texts from `plain_text`."""
    return regex.compile(plain_pattern(pattern), regex.IGNORECASE)
