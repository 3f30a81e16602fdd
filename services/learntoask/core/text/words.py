"""Words and stems of texts in any script.

Chinese, Japanese, Thai and some other languages do not put spaces between words. ICU finds their words by dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from icu4py.breakers import WordBreaker

from learntoask.core.text.characters import plain_text

# Scripts in which words are written without spaces between them: South-East Asian, then East Asian without Hangul.
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u312f\u3190-\ua4cf\ua9e0-\ua9ff"
    r"\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_UNSPACED = re.compile(f"[{UNSPACED}]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_STEM_LETTERS = 5  # "departure", "departing", "depart" → "depar"; crude, but the same for most languages
_STEM_SYLLABLES = 2  # of Korean words, which end in particles
# Python's \w leaves out the vowel signs of Indic scripts, which are marks.
_MARKS = "".join(
    chr(code)
    for codes in (range(0x300, 0x3100), range(0xA66F, 0xABFF), range(0x11000, 0x11A00))
    for code in codes
    if unicodedata.category(chr(code)) in ("Mn", "Mc")
)
_RUN = re.compile(f"[^\\W_][{_MARKS}]*(?:[^\\W_][{_MARKS}]*)*")
_ASCII_RUN = re.compile(r"[a-z0-9]+")


@lru_cache(maxsize=16_384)
def words(text: str) -> tuple[str, ...]:
    """Return the case-folded words of a text, without accents and apostrophes."""
    folded = plain_text(text).replace("'", "").casefold()
    if folded.isascii():
        return tuple(_ASCII_RUN.findall(folded))
    return tuple(without_accents(word) for run in _RUN.findall(folded) for word in _words_of(run))


def stems(text: str) -> list[str]:
    """Return the first letters of each word of a text."""
    return [word[: _STEM_SYLLABLES if _HANGUL.match(word) else _STEM_LETTERS] for word in words(text)]


def is_unspaced(text: str) -> bool:
    """Whether the text holds a character of a script without spaces between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def morphemes(text: str) -> int:
    """Return about how many parts with a meaning the Chinese and Korean words of a text have.

    In Chinese each character is one, so that 多大 asks how old, and in Korean about every second syllable (나이-는요).
    """
    return 0 if text.isascii() else len(_HAN.findall(text)) + len(_HANGUL.findall(text)) // 2


def without_accents(word: str) -> str:
    """Return a word without accents, vowel points and hamzas, but with the marks that make another letter or sound."""
    if word.isascii():
        return word
    kept = (mark for mark in unicodedata.normalize("NFKD", word) if not _is_accent(mark))
    return unicodedata.normalize("NFKC", "".join(kept))


def _is_accent(character: str) -> bool:
    """Whether a character is an accent by its combining class.

    Classes 7 to 9 hold the marks of kana and Indic letters, and 103 to 132 those of Thai, Lao and Tibetan.
    """
    place = unicodedata.combining(character)
    return place >= 10 and not 103 <= place <= 132


def _words_of(run: str) -> Iterator[str]:
    if not is_unspaced(run):
        yield run
        return
    for part in WordBreaker(run, "en"):
        if any(character.isalnum() for character in part):
            yield part
