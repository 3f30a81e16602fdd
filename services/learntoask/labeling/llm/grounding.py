"""Whether words that a model quotes were really said: verbatim, but for case, white space and typographic signs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_SIGNS = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "`": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-"}
)
# Scripts written without spaces, where a word may begin and end anywhere: South-East Asian, then East Asian.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """NFKC, case folded, typographic quotes and dashes plain, white space single and none at the ends."""
    folded = unicodedata.normalize("NFKC", text).translate(_SIGNS).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def contains_quote(text: str, words: str) -> bool:
    """Whether `words` occur in `text` as whole words: "no" is not in "I know". Words without a letter or digit say
    nothing."""
    text, words = normalise(text), normalise(words)
    if not any(sign.isalnum() for sign in words):
        return False
    begin = text.find(words)
    while begin >= 0:
        end = begin + len(words)
        if not _inside_a_word(text, begin) and not _inside_a_word(text, end):
            return True
        begin = text.find(words, begin + 1)
    return False


def first_containing(messages: Iterable[tuple[int, str]], words: str) -> int | None:
    """The index of the first of `messages` (index, content) that says `words`."""
    return next((index for index, text in messages if contains_quote(text, words)), None)


def _inside_a_word(text: str, position: int) -> bool:
    """Whether a cut at `position` would go through a word."""
    if not 0 < position < len(text):
        return False
    around = text[position - 1 : position + 1]
    return all(sign.isalnum() and not _UNSPACED.match(sign) for sign in around)
