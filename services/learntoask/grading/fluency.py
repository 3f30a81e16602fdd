"""The fluency guard: does a response ask anything, in words a user can be shown?

It decides before any grader looks for fields, because a grader that only looks for fields finds one in an apology
as well ("I don't have the ability to book flights"). What it refuses is graded 0, not missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from learntoask.core.pack import Pack
from learntoask.core.records import STOP
from learntoask.grading.cues import ENGLISH

_MARKS = ("?", "？", "؟", "\u037e")  # the last is the Greek one, which looks like a semicolon
_SENTENCE_END = re.compile(r"(?<=[.!?？؟。！])\s+|(?<=[。！？])|\n+")
_CLAUSE_END = re.compile(r"[,;:，、]\s*")
_WORD = re.compile(r"\w+(?:['’]\w+)?")
_CONTROL_TOKEN = re.compile(r"<\|[^>]*\|>|</?\w+\s*/?>|�")  # chat template leaks, markup, broken characters
_LOOP_WORDS = 6  # from here on one word must not make up more than the pack's share
_LOOP_PHRASE = 3  # words of a phrase that must not occur three times and fill half the text
_STUTTER = re.compile(r"(\S{1,12}?)(?:\s?\1){5,}")  # "??????", "ellellellellellell"
_STUTTER_SHARE = 1 / 3  # of the text, from which it is garbled
_LONGEST_WORD = 40  # letters; longer "words" are noise


class FluencyGuard:
    """Reads `pack.fluency`; sentences without a question mark are judged by its cues, or the English ones."""

    def __init__(self, pack: Pack) -> None:
        rules = pack.fluency
        cues = rules.questions or (ENGLISH if pack.language.lower().startswith("en") else ())
        roles = (
            pack.roles.user,
            pack.roles.expert,
            *pack.roles.user_aliases,
            *pack.roles.expert_aliases,
            "system",
        )
        self._rules = rules
        self._cues = _compile(cues)
        self._refusals = _compile(rules.refusals)
        self._forbidden = _compile(rules.forbidden)
        self._next_speaker = re.compile(rf"^\s*(?:{'|'.join(map(re.escape, roles))})\s*:", re.I | re.M)
        self._markers = tuple(marker for marker in (*pack.end_markers, STOP) if marker.strip())

    def asking(self, text: str) -> tuple[str, ...]:
        """The sentences of `text` that ask something; empty where the text is refused."""
        if not self._is_fluent(text):
            return ()
        return tuple(sentence for sentence in sentences(text) if self._asks(sentence))

    def _is_fluent(self, text: str) -> bool:
        words = [word.casefold() for word in _WORD.findall(text)]
        if (
            not self._rules.min_words <= len(words) <= self._rules.max_words
            or max(map(len, words)) > _LONGEST_WORD
        ):
            return False
        if _CONTROL_TOKEN.search(text) or self._next_speaker.search(text):
            return False
        if any(marker in text for marker in self._markers) or _found(self._forbidden, text):
            return False
        return not _loops(words, text, share=self._rules.max_repeated_word_share)

    def _asks(self, sentence: str) -> bool:
        if not sentence.rstrip("\"'”’)]}*_ ").endswith(_MARKS):
            if _found(self._refusals, sentence):
                return False
            return any(mark in sentence for mark in _MARKS) or _found(self._cues, sentence)
        # "I'm sorry, which city was that?" asks; "I can't book that, sorry?" does not: what follows the apology decides
        clauses = [clause for clause in _CLAUSE_END.split(sentence) if _WORD.search(clause)]
        if not clauses or _found(self._refusals, clauses[-1]):
            return False
        apologises = any(_found(self._refusals, clause) for clause in clauses)
        return not apologises or len(_WORD.findall(clauses[-1])) > 1


def fluency_guard(pack: Pack) -> Callable[[str], bool]:
    """Whether a text is a fluent question in the pack's sense, as a plain function."""
    guard = FluencyGuard(pack)
    return lambda text: bool(guard.asking(text))


def sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def _loops(words: list[str], text: str, *, share: float) -> bool:
    """Find garbled repetition: signs over and over, one word too often, a word or phrase three times, or a whole
    sentence twice."""
    if any(len(found[0]) >= _STUTTER_SHARE * len(text.strip()) for found in _STUTTER.finditer(text)):
        return True
    if len(words) >= _LOOP_WORDS and Counter(words).most_common(1)[0][1] > share * len(words):
        return True
    if any(a == b == c for a, b, c in zip(words, words[1:], words[2:], strict=False)):
        return True
    phrases = Counter(zip(*(words[start:] for start in range(_LOOP_PHRASE)), strict=False))
    most = phrases.most_common(1)[0][1] if phrases else 0
    if most >= 3 and 2 * most * _LOOP_PHRASE >= len(words):
        return True
    said = Counter(tuple(_WORD.findall(sentence.casefold())) for sentence in sentences(text))
    return any(count > 1 and len(sentence) >= _LOOP_PHRASE for sentence, count in said.items())


def _compile(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


def _found(patterns: tuple[re.Pattern[str], ...], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)
