"""Divide a text into tokens, and name the pieces of it that a regular expression can find.

A token is a word; in scripts that put no spaces between words, and in Korean, whose words end in particles, it is a
character. A gram is a sequence of tokens, or two tokens with a gap between them. Its expression finds exactly the texts
that have the gram, which `grams` finds without a search. A zero stands for any number, because texts whose numbers
vary are compared with zeros in their place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import regex

from learntoask.core.text.characters import one_line
from learntoask.core.text.words import UNSPACED

LONGEST_GAP = 25  # characters between two tokens of a gram with a gap
_LONGEST = 4  # tokens of a gram without a gap
_LONGEST_UNSPACED = 6
_REACH = 7  # tokens up to the second one of a gram with a gap
_SINGLE = rf"[{UNSPACED}\uac00-\ud7a3]"
# The package `regex` counts the vowel signs of Indic scripts as parts of words, as the searches of patterns do.
_TOKEN = regex.compile(rf"{_SINGLE}|[^\W{UNSPACED}\uac00-\ud7a3]+")
_IS_SINGLE = re.compile(_SINGLE)
_WORD = regex.compile(r"\w")
_GLUE = frozenset(("", " ", "'", "-"))
_SENTENCE_END = re.compile(r"[.!?。！？؟।]")
_ZERO = re.compile(r"\b0\b")
_QUESTION_MARKS = frozenset("?？؟")
_TORN = re.compile(r"(?:t|s|d|m|ll|re|ve)(?: |$)")  # what follows the apostrophe of a contraction of English


class Gram(NamedTuple):
    """A piece of a text. `asks`: a question mark follows in the same sentence."""

    parts: tuple[str, ...]  # one part, or two with a gap between them
    asks: bool = False

    @property
    def expression(self) -> str:
        """The regular expression that finds the gram. It has no repetition within a repetition."""
        joined = f".{{1,{LONGEST_GAP}}}".join(_bounded(part) for part in self.parts)
        return joined + (r"[^.!?。！？؟।]*[?？؟]" if self.asks else "")

    @property
    def words(self) -> tuple[str, ...]:
        """The tokens, without what stands between them."""
        return tuple(token for part in self.parts for token in _TOKEN.findall(part))

    @property
    def is_torn(self) -> bool:
        """Whether a part begins within a contraction, as "t know" does in "don't know"."""
        return any(_TORN.match(part) for part in self.parts)


def tokens(text: str) -> list[str]:
    """Return the tokens of a text, in lower case."""
    return _TOKEN.findall(one_line(text).lower())


class _Token(NamedTuple):
    text: str
    start: int
    end: int


@lru_cache(maxsize=4096)
def grams(text: str) -> frozenset[Gram]:
    """Return all grams of a text, in lower case, each also with `asks` where a question mark follows."""
    plain = one_line(text).lower()
    placed = [_Token(found.group(), found.start(), found.end()) for found in _TOKEN.finditer(plain)]
    asking = _asking_places(plain)
    found: set[Gram] = set()
    for parts, end in _pieces(plain, placed):
        found.add(Gram(parts))
        if asking[end]:
            found.add(Gram(parts, asks=True))
    return frozenset(found)


def _asking_places(text: str) -> list[bool]:
    """Return for each place in the text whether the next mark that ends a sentence is a question mark."""
    places = [False] * (len(text) + 1)
    asks = False
    for place in range(len(text) - 1, -1, -1):
        if _SENTENCE_END.match(text[place]):
            asks = text[place] in _QUESTION_MARKS
        places[place] = asks
    return places


def _pieces(text: str, tokens: list[_Token]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the parts of each gram with the place in the text where it ends."""
    for first, begin in enumerate(tokens):
        single = _IS_SINGLE.match(begin.text) is not None
        if not single and not _stands_alone(text, begin, "before"):
            continue
        end = begin
        for last in range(first, min(first + (_LONGEST_UNSPACED if single else _LONGEST), len(tokens))):
            if last > first and text[end.end : tokens[last].start] not in _GLUE:
                break
            end = tokens[last]
            if (not single or last > first) and (
                _IS_SINGLE.match(end.text) or _stands_alone(text, end, "after")
            ):
                yield (text[begin.start : end.end],), end.end
        if single or not _stands_alone(text, begin, "after"):
            continue
        for token in tokens[first + 1 : first + _REACH]:
            gap = token.start - begin.end
            if gap > LONGEST_GAP:
                break
            alone = _stands_alone(text, token, "before") and _stands_alone(text, token, "after")
            if gap > 0 and alone and not _IS_SINGLE.match(token.text):
                yield (begin.text, token.text), token.end


def _stands_alone(text: str, token: _Token, side: Literal["before", "after"]) -> bool:
    """Whether no word touches the token on this side, as one of another script can, so that `\\b` matches there."""
    place = token.start - 1 if side == "before" else token.end
    return not 0 <= place < len(text) or _WORD.match(text[place]) is None


def _bounded(part: str) -> str:
    left = "" if _IS_SINGLE.match(part[0]) else r"\b"
    right = "" if _IS_SINGLE.match(part[-1]) else r"\b"
    written = re.escape(part).replace(r"\ ", " ").replace(r"\-", "-")
    return left + _ZERO.sub(r"\\d+", written) + right
