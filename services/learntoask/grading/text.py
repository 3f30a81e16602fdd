"""Split short texts of any language into words, stems and clauses."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_STEM_LETTERS = 5  # "departure", "departing", "depart" → "depar"; crude, but the same for every language
_CLAUSE_END = re.compile(
    r"[.,;:!?，、。；：！？؟]+\s*(?:(?:and|also|but)\s+)?|\s+(?:and|also|plus|as well as|&)\s+|\n+",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Return the case-folded words of a text, without diacritics and apostrophes."""
    plain = unicodedata.normalize("NFKD", text.replace("'", "").replace("’", "").casefold())
    return _WORD.findall("".join(character for character in plain if not unicodedata.combining(character)))


def stems(text: str) -> list[str]:
    """Return the first letters of each word of a text."""
    return [word[:_STEM_LETTERS] for word in words(text)]


def clauses(text: str) -> list[str]:
    """Return the parts of a text that may each ask for a different thing, or the text itself if it has one part."""
    parts = [part.strip() for part in _CLAUSE_END.split(text)]
    kept = [part for part in parts if words(part)]
    return kept if len(kept) > 1 else [text.strip()]
