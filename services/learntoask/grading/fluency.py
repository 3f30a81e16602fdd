"""The fluency guard: decide whether a response asks anything, and in language that a user can be shown.

It runs before any grader looks for fields, because a grader that only looks for fields also finds one in an apology ("I
don't have the ability to book flights"). A response that it refuses is graded 0; its grade is not missing. The policy
server uses it too (serving.decider). It compares plain texts (core.text), so a curly apostrophe or an invisible
character makes no difference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from learntoask.core.languages.pack_phrases import PackPhrases
from learntoask.core.pack import Pack
from learntoask.core.records import STOP
from learntoask.core.text.characters import plain_text
from learntoask.core.text.patterns import Search, bounded_search
from learntoask.core.text.sentences import clauses, ends_with_question_mark, has_question_mark, sentences
from learntoask.core.text.words import morphemes, words
from learntoask.grading.cues import NO_CUES, LearnedCues

_CONTROL_TOKEN = re.compile(r"<\|[^>]*\|>|</?\w+\s*/?>|�")  # chat template leaks, markup, broken characters
_LOOP_WORDS = 6  # in texts of so many words, no word may exceed the pack's share of them
_LOOP_PHRASE = 3  # words of a phrase that may not occur three times and make up half the text
_STUTTER = re.compile(r"(\S{1,12}?)(?:\s?\1){5,}")  # "??????", "ellellellellellell"
_STUTTER_SHARE = 1 / 3  # share of the text from which a stutter makes it garbled
_LONGEST_WORD = 40  # letters; a longer word is noise


class Refusal(NamedTuple):
    """Why a text is refused, with the pack's key that decides, and what to change where experts' questions are."""

    reason: str
    remedy: str


NO_ASKING = Refusal(
    "no sentence asks (fluency.questions)",
    "if the experts ask without question marks, set language in the pack to that of the logs, or add patterns to "
    "fluency.questions",
)
_APOLOGY = Refusal(
    "an apology or a refusal (fluency.refusals)",
    "narrow fluency.refusals in the pack so that no question of the experts matches it",
)
_NOISE = Refusal(
    f"a word of more than {_LONGEST_WORD} letters",
    "if links or codes stand in the questions, remove them from the export; if the export lost the spaces, mend it",
)
_LEAK = Refusal(
    "a tag, an end marker or a broken character",
    "remove what is no text from the export, and name the markers of the expert's action under endMarkers in the pack",
)
_SPEAKER = Refusal(
    "a line that begins with the name of a speaker",
    "remove the names before the messages from the export, or the word from userAliases and expertAliases in the pack",
)
_FORBIDDEN = Refusal("a match of fluency.forbidden", "narrow fluency.forbidden in the pack")
_REPETITION = Refusal(
    "repetition (fluency.maxRepeatedWordShare)",
    "if the export holds a message twice, mend it; if one word really recurs so often, raise "
    "fluency.maxRepeatedWordShare in the pack",
)


class FluencyGuard:
    """The guard with the rules in `pack.fluency`.

    A sentence without a question mark asks something if one of the pack's cues matches, or of its language's if the
    pack has none, or one that the run learned from its experts.
    """

    def __init__(self, pack: Pack, learned: LearnedCues = NO_CUES) -> None:
        phrases = PackPhrases.of(pack)
        roles = (
            pack.roles.user,
            pack.roles.expert,
            *pack.roles.user_aliases,
            *pack.roles.expert_aliases,
            "system",
        )
        self._rules = pack.fluency
        self._cues = _compile(phrases.questions)
        self._learned = learned
        self._refusals = _compile(phrases.refusals)
        self._forbidden = _compile(pack.fluency.forbidden)
        self._next_speaker = re.compile(rf"^\s*(?:{'|'.join(map(re.escape, roles))})\s*[:：]", re.I | re.M)
        self._markers = tuple(marker for marker in (*pack.end_markers, STOP) if marker.strip())

    def asking(self, text: str) -> tuple[str, ...]:
        """Return the sentences of `text` that ask something; empty if the text is refused."""
        return () if self._garbled(plain_text(text)) else self._asking(text)

    def refusal(self, text: str) -> Refusal | None:
        """Return why `text` is refused; None for a question."""
        if garbled := self._garbled(plain_text(text)):
            return garbled
        if self._asking(text):
            return None
        apologises = _any_matches(self._refusals, plain_text(text))
        return _APOLOGY if apologises and self._would_ask(text) else NO_ASKING

    def _asking(self, text: str) -> tuple[str, ...]:
        return tuple(sentence for sentence in sentences(text) if self._asks(plain_text(sentence)))

    def _would_ask(self, text: str) -> bool:
        """Whether a sentence would ask if it were no apology."""
        return has_question_mark(text) or any(self._has_cue(plain_text(part)) for part in sentences(text))

    def _has_cue(self, sentence: str) -> bool:
        return _any_matches(self._cues, sentence) or self._learned.match(sentence)

    def _garbled(self, text: str) -> Refusal | None:
        """Return what is wrong with the form of a plain text, whatever it says."""
        said, rules = words(text), self._rules
        if max(len(said), morphemes(text)) < max(1, rules.min_words):
            return Refusal(
                f"fewer than {rules.min_words} words (fluency.minWords)",
                "set fluency.minWords in the pack to the length of the shortest question",
            )
        if len(said) > rules.max_words:
            return Refusal(
                f"more than {rules.max_words} words (fluency.maxWords)",
                "raise fluency.maxWords in the pack, or remove what surrounds the questions from the export",
            )
        if max(map(len, said)) > _LONGEST_WORD:
            return _NOISE
        if _CONTROL_TOKEN.search(text) or any(marker in text for marker in self._markers):
            return _LEAK
        if self._next_speaker.search(text):
            return _SPEAKER
        if _any_matches(self._forbidden, text):
            return _FORBIDDEN
        if _loops(said, text, share=rules.max_repeated_word_share):
            return _REPETITION
        return None

    def _asks(self, sentence: str) -> bool:
        if not ends_with_question_mark(sentence):
            if _any_matches(self._refusals, sentence):
                return False
            return has_question_mark(sentence) or self._has_cue(sentence)
        # "I'm sorry, which city was that?" asks and "I can't book that, sorry?" does not, so the last clause decides.
        parts = clauses(sentence)
        if not parts or _any_matches(self._refusals, parts[-1]):
            return False
        apologises = any(_any_matches(self._refusals, part) for part in parts)
        return not apologises or max(len(words(parts[-1])), morphemes(parts[-1])) > 1


def fluency_guard(pack: Pack) -> Callable[[str], bool]:
    """Return a function that says whether a text is a fluent question by the pack's rules."""
    guard = FluencyGuard(pack)
    return lambda text: bool(guard.asking(text))


def _loops(said: tuple[str, ...], text: str, *, share: float) -> bool:
    """Whether a text has garbled repetition.

    That is a stutter of characters, one word too often, a word three times in a row, a phrase three times, or a whole
    sentence twice.
    """
    if any(len(found[0]) >= _STUTTER_SHARE * len(text.strip()) for found in _STUTTER.finditer(text)):
        return True
    if len(said) >= _LOOP_WORDS and Counter(said).most_common(1)[0][1] > share * len(said):
        return True
    if any(a == b == c for a, b, c in zip(said, said[1:], said[2:], strict=False)):
        return True
    phrases = Counter(zip(*(said[start:] for start in range(_LOOP_PHRASE)), strict=False))
    most = phrases.most_common(1)[0][1] if phrases else 0
    if most >= 3 and 2 * most * _LOOP_PHRASE >= len(said):
        return True
    parts = Counter(words(sentence) for sentence in sentences(text))
    return any(count > 1 and len(part) >= _LOOP_PHRASE for part, count in parts.items())


def _compile(patterns: Iterable[str]) -> tuple[Search, ...]:
    return tuple(map(bounded_search, patterns))


def _any_matches(searches: tuple[Search, ...], text: str) -> bool:
    return any(search(text) for search in searches)
