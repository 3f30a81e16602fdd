"""Check that a text contains a quote verbatim, except for case, white space and typographic characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from learntoask.core.text.characters import plain_text
from learntoask.core.text.words import is_unspaced

_DASHES = str.maketrans({"–": "-", "—": "-"})


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """Return the text in NFKC and case-folded, with ASCII quotes and dashes and single spaces."""
    folded = unicodedata.normalize("NFKC", plain_text(text)).translate(_DASHES).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def contains_quote(text: str, quote: str) -> bool:
    """Whether `quote` occurs in `text` as whole words: "no" is not in "I know".

    False for a quote without a letter or digit.
    """
    text, quote = normalise(text), normalise(quote)
    if not any(character.isalnum() for character in quote):
        return False
    begin = text.find(quote)
    while begin >= 0:
        end = begin + len(quote)
        if not _inside_a_word(text, begin) and not _inside_a_word(text, end):
            return True
        begin = text.find(quote, begin + 1)
    return False


def first_containing(messages: Iterable[tuple[int, str]], quote: str) -> int | None:
    """Return the index of the first of `messages`, which are (index, content), that contains `quote`."""
    return next((index for index, text in messages if contains_quote(text, quote)), None)


def _inside_a_word(text: str, position: int) -> bool:
    """Whether `position` is inside a word."""
    if not 0 < position < len(text):
        return False
    around = text[position - 1 : position + 1]
    return all(character.isalnum() and not is_unspaced(character) for character in around)
