"""Question marks, sentences and clauses in any script."""

from __future__ import annotations

import re

from learntoask.core.text.words import words

# ASCII, full-width, Arabic, Armenian, Ethiopic, Bamum, Vai, combined and emoji marks. Greek asks with a semicolon.
_MARK = (
    r"(?:[?\uff1f\ufe56\u061f\u055e\u1367\ua60f\ua6f7\u2047-\u2049\u203d\u2753\u2754\u2e2e]"
    r"|(?<=[\u0370-\u03ff\u1f00-\u1fff])[;\u037e])"
)
_MARKS = re.compile(f"{_MARK}+")
_CLOSING = r"[\"'”’)\]}*_\s»」』）】]*"
_ASKING_END = re.compile(f"{_MARK}{_CLOSING}$")
_SENTENCE_END = re.compile(
    r"(?<=[.!?？؟。！।॥۔։።፧\u1367])\s+|(?<=[。！？؟।॥۔։።፧])(?![。！？؟」』）\"'”’])"
    r"|(?<=[\u0370-\u03ff\u1f00-\u1fff][;\u037e])\s+|\n+"
)
_CLAUSE_END = re.compile(r"[,;:，、،؛；：]\s*")
_PART_END = re.compile(
    r"[.,;:!?，、。；：！？؟،؛।۔։።፧]+\s*(?:(?:and|also|but)\s+)?|\s+(?:and|also|plus|as well as|&)\s+|\n+",
    re.IGNORECASE,
)


def question_marks(text: str) -> int:
    """Return how often a text has question marks; several in a row count once."""
    return len(_MARKS.findall(text))


def has_question_mark(text: str) -> bool:
    return "?" in text or (not text.isascii() and _MARKS.search(text) is not None)


def ends_with_question_mark(text: str) -> bool:
    """Whether a text ends with a question mark, apart from quotes, brackets and white space."""
    return _ASKING_END.search(text) is not None


def sentences(text: str) -> list[str]:
    """Split a text into its sentences, without white space at their ends. Each is a part of `text`."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def clauses(sentence: str) -> list[str]:
    """Split a sentence at commas and colons into the clauses that hold a word."""
    return [clause for clause in _CLAUSE_END.split(sentence) if words(clause)]


def question_parts(text: str) -> list[str]:
    """Return the parts of a text that may each ask for a different thing, or the text itself if it has one part."""
    parts = [part.strip() for part in _PART_END.split(text)]
    kept = [part for part in parts if words(part)]
    return kept if len(kept) > 1 else [text.strip()]
