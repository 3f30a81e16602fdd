"""Makes characters visible that could hide or reorder what a reviewer reads."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

_JOINERS = "\u200c\u200d"  # they shape the letters of some scripts and join emoji
_WITHOUT_SHAPE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
)  # fillers, which count as letters or marks
_HIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Co", "Cs"))
_LAYOUT = frozenset("\n\t")


class Piece(NamedTuple):
    """A part of a text: shown as it is, or, if `name` is not empty, the code (`U+202E`) of a character so named."""

    text: str
    name: str = ""


def pieces(text: str) -> tuple[Piece, ...]:
    """Return the text in pieces: controls, marks of direction and characters without a shape are pieces by themselves.

    Joiners inside a word of a script that needs them, and inside an emoji, stay as they are.
    """
    text = text.replace("\r\n", "\n")
    if text.isascii() and all(sign.isprintable() or sign in _LAYOUT for sign in text):
        return (Piece(text),) if text else ()
    found: list[Piece] = []
    start = 0
    for at, sign in enumerate(text):
        if not _hidden(text, at):
            continue
        if at > start:
            found.append(Piece(text[start:at]))
        found.append(Piece(f"U+{ord(sign):04X}", unicodedata.name(sign, "control character").lower()))
        start = at + 1
    if start < len(text):
        found.append(Piece(text[start:]))
    return tuple(found)


def _hidden(text: str, at: int) -> bool:
    sign = text[at]
    if sign in _JOINERS:
        around = text[at - 1 : at] + text[at + 1 : at + 2]
        return len(around) < 2 or around[0].isascii() or around[1].isascii()
    if sign in _LAYOUT:
        return False
    return sign in _WITHOUT_SHAPE or unicodedata.category(sign) in _HIDDEN_CATEGORIES
