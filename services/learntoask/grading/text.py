"""Words, stems and clauses of short texts, without knowing their language."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_STEM_LETTERS = 5  # "departure", "departing", "depart" → "depar": crude, but it needs no language
_CLAUSE_END = re.compile(
    r"[.,;:!?，、。；：！？؟]+\s*(?:(?:and|also|but)\s+)?|\s+(?:and|also|plus|as well as|&)\s+|\n+",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Case-folded words without diacritics and apostrophes."""
    plain = unicodedata.normalize("NFKD", text.replace("'", "").replace("’", "").casefold())
    return _WORD.findall("".join(sign for sign in plain if not unicodedata.combining(sign)))


def stems(text: str) -> list[str]:
    return [word[:_STEM_LETTERS] for word in words(text)]


def clauses(text: str) -> list[str]:
    """The parts of a text that may each ask for something of their own; the text itself when it has one part."""
    parts = [part.strip() for part in _CLAUSE_END.split(text)]
    kept = [part for part in parts if words(part)]
    return kept if len(kept) > 1 else [text.strip()]
