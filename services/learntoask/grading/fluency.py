"""The fluency guard: decide whether a response asks anything, and in language that a user can be shown.

It runs before any grader looks for fields, because a grader that only looks for fields also finds one in an apology ("I
don't have the ability to book flights"). A response that it refuses is graded 0; its grade is not missing. The policy
server uses it too (serving.decider). The cues of English questions are at the end of the module.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from learntoask.core.answer import QUESTION_MARKS
from learntoask.core.pack import Pack
from learntoask.core.records import STOP

_SENTENCE_END = re.compile(r"(?<=[.!?？؟。！])\s+|(?<=[。！？])|\n+")
_CLAUSE_END = re.compile(r"[,;:，、]\s*")
_WORD = re.compile(r"\w+(?:['’]\w+)?")
_CONTROL_TOKEN = re.compile(r"<\|[^>]*\|>|</?\w+\s*/?>|�")  # chat template leaks, markup, broken characters
_LOOP_WORDS = 6  # in texts of so many words, no word may exceed the pack's share of them
_LOOP_PHRASE = 3  # words of a phrase that may not occur three times and make up half the text
_STUTTER = re.compile(r"(\S{1,12}?)(?:\s?\1){5,}")  # "??????", "ellellellellellell"
_STUTTER_SHARE = 1 / 3  # share of the text from which a stutter makes it garbled
_LONGEST_WORD = 40  # letters; a longer word is noise


class FluencyGuard:
    """The guard with the rules in `pack.fluency`.

    A sentence without a question mark asks something if one of the pack's cues matches. An English pack without cues
    uses the English ones.
    """

    def __init__(self, pack: Pack) -> None:
        rules = pack.fluency
        cues = rules.questions or (_ENGLISH_CUES if pack.language.lower().startswith("en") else ())
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
        """Return the sentences of `text` that ask something; empty if the text is refused."""
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
        if any(marker in text for marker in self._markers) or _any_matches(self._forbidden, text):
            return False
        return not _loops(words, text, share=self._rules.max_repeated_word_share)

    def _asks(self, sentence: str) -> bool:
        if not sentence.rstrip("\"'”’)]}*_ ").endswith(tuple(QUESTION_MARKS)):
            if _any_matches(self._refusals, sentence):
                return False
            return any(mark in sentence for mark in QUESTION_MARKS) or _any_matches(self._cues, sentence)
        # "I'm sorry, which city was that?" asks and "I can't book that, sorry?" does not, so the last clause decides.
        clauses = [clause for clause in _CLAUSE_END.split(sentence) if _WORD.search(clause)]
        if not clauses or _any_matches(self._refusals, clauses[-1]):
            return False
        apologises = any(_any_matches(self._refusals, clause) for clause in clauses)
        return not apologises or len(_WORD.findall(clauses[-1])) > 1


def fluency_guard(pack: Pack) -> Callable[[str], bool]:
    """Return a function that says whether a text is a fluent question by the pack's rules."""
    guard = FluencyGuard(pack)
    return lambda text: bool(guard.asking(text))


def sentences(text: str) -> list[str]:
    """Split a text into its sentences, without white space at their ends."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def _loops(words: list[str], text: str, *, share: float) -> bool:
    """Whether a text has garbled repetition.

    That is a stutter of characters, one word too often, a word three times in a row, a phrase three times, or a whole
    sentence twice.
    """
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


def _any_matches(patterns: tuple[re.Pattern[str], ...], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


# Regular expressions that find a request in an English sentence without a question mark. They describe the language,
# not a domain: interrogatives, inverted auxiliaries, imperatives that want an answer ("tell me the date"), and needs to
# know ("I need your number").
_WH = r"(?:what|when|where|which|who|whom|whose|how|why)"
_AUXILIARY = r"(?:do|does|did|is|are|was|were|will|would|can|could|should|may|shall)"
_SUBJECT = r"(?:you|i|we|it|they|he|she|there|this|that|these|those|the|your|any|anyone)"
_CLAUSE_START = (
    r"(?:(?:^|[,;:]\s*)(?:(?:and|but|also|so|then|now|just|first|please|kindly|ok|okay|sure|yes)\s+){0,3}"
    r"|\b(?:please|kindly|need you to)\s+)"
)
_LEAD_IN = (
    r"(?:(?:about|around|at|by|for|from|in|of|on|or|since|till|to|until|with|well|hi|hello|great)\s+){0,2}"
)
_ASIDE = r"(?:['’](?:d|ll)|\s+(?:will|would|also|still|just|only|do|first|have))*"
_STATE = (
    r"(?:tell|provide|specify|state|indicate|share|enter|type|choose|select|pick|name|describe|mention|list"
    r"|confirm|clarify|verify|advise)"
)
_OBJECT = r"(?:me|us|your|the|a|an|if|whether|any|all|every|everything|one|either|" + _WH + r")\b"
_WAIT = r"(?!\s+(?:a|an|one|just a)\s+(?:moment|minute|second|sec|chance)\b)"
_OFFER = (
    r"(?!\s+(?:if (?:you(?:['’]d|\s+would|\s+have|\s+need|\s+want|\s+require)?\s+(?:like\s+)?"
    r"(?:any|anything|help|more|further|other|me|us|assistance|to)\b|there\b|i\b|we\b|that\b)"
    r"|how (?:i|we|it)\b|(?:when|once) you(?:['’]re| are) ready))"
)

_ENGLISH_CUES: tuple[str, ...] = (
    # "from which city", "and when"; not "what a day", "When you arrive, the car is ready.", "…, which is a Monday."
    _CLAUSE_START + _LEAD_IN + _WH + r"(?:['’]?s)?\b(?!\s+(?:a|an|great|nice|wonderful)\b)"
    r"(?!\s+(?:you|i|we|the|your|it)\b[^,]*,)(?!(?<=which|..who)\s+(?:is|are|was|were|has|had|can|will|means)\b)",
    # "Hello where would you like …"
    r"\b" + _WH + r"(?:\s+\w+){0,2}\s+" + _AUXILIARY + r"\s+" + _SUBJECT + r"\b",
    # inversion: "Is there a …", "Have you …"
    _CLAUSE_START + _AUXILIARY + r"\s+" + _SUBJECT + r"\b",
    _CLAUSE_START + r"(?:have|has)\s+(?:you|it|there|he|she|they|any)\b",
    r"\b(?:can|could|would|will|do|did|are) you\b",
    # imperatives that want an answer
    _CLAUSE_START + r"(?:tell|give|send|inform|show)\s+(?:me|us)\b" + _WAIT,
    _CLAUSE_START + _STATE + r"\s+" + _OBJECT,
    r"\bplease\s+(?:also\s+)?" + _STATE + r"\s",
    r"\blet (?:me|us) know\b" + _OFFER,
    # statements of a need to know
    r"\b(?:i|we)" + _ASIDE + r"\s+(?:need|require)\s+(?:(?:you )?to (?:know|ask)\b"
    r"|your\b(?!\s+(?:help|assistance|advice)\b)|the following\b"
    r"|(?:some|more|a few|a little|a bit|any)\b.{0,25}\b(?:information|info|details?|questions?|data)\b"
    r"|the\s+(?!\w+(?:\s+\w+)*\s+(?:from|till|until|on|at|by|for|in)\s+(?!which\b))[^\d]*$"
    r"|an?\s+(?:\w+\s+){1,4}?(?:from you|to (?:continue|proceed|start|search|look)\b))",
    r"\b(?:i|we)" + _ASIDE + r"\s+(?:like|want|need|have)\s+(?:you )?to (?:know|ask)\b",
    # "Your date of birth, please."
    r"^(?:(?:and|also|then)\s+)?(?:your|the|which|what|number|name)\b\D*\bplease\W*$",
)
