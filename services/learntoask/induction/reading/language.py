"""Guess the language of texts by their script and, for Latin script, by their commonest words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from learntoask.core.text.words import words

_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("ja", r"[\u3040-\u30ff]"),  # before Chinese, whose characters Japanese also uses
    ("zh", r"[\u3400-\u9fff]"),
    ("ko", r"[\uac00-\ud7a3]"),
    ("th", r"[\u0e00-\u0e7f]"),
    ("hi", r"[\u0900-\u097f]"),
    ("bn", r"[\u0980-\u09ff]"),
    ("ur", r"[\u0679\u0688\u0691\u06ba\u06be\u06c1\u06d2]"),
    ("ar", r"[\u0600-\u06ff]"),
    ("ru", r"[\u0400-\u04ff]"),
    ("el", r"[\u0370-\u03ff]"),
    ("he", r"[\u0590-\u05ff]"),
)
_BY_SCRIPT = tuple((code, re.compile(pattern)) for code, pattern in _SCRIPTS)
_COMMON: Mapping[str, frozenset[str]] = {
    code: frozenset(common.split())
    for code, common in {
        "en": "the you is are what how do and to for your of have it i any would",
        "de": "der die das und ist sie ich nicht haben wie ein eine es mit seit bitte",
        "fr": "le les des est vous je et que pas un une pour avez quel votre depuis",
        "es": "el los que es usted y en una por para tiene su cual como desde no",
        "pt": "o os que voce e em uma por para tem seu qual como nao desde com",
        "it": "il gli che e lei di una per ha suo quale come non da sono mi",
        "nl": "de het een en is u ik niet heeft hoe van met voor sinds wat bent",
        "id": "yang dan di apa anda saya tidak ini itu untuk dengan berapa ada sudah dari",
    }.items()
}
ENOUGH = 0.1  # share of the sessions from which a second language matters


def language_of_text(text: str) -> str | None:
    """Return the ISO 639-1 code of a text's language, or None where nothing tells."""
    letters = sum(map(str.isalpha, text))
    for code, script in _BY_SCRIPT:
        found = len(script.findall(text))
        # A few letters of its own show Japanese or Urdu, since most of their letters are shared.
        if found and found >= (0.08 if code in ("ja", "ur") else 0.4) * letters:
            return code
    said = Counter(words(text))
    scores = {code: sum(said[word] for word in common) for code, common in _COMMON.items()}
    best = max(scores, key=lambda code: scores[code])
    return best if scores[best] else None


def languages(texts: Iterable[str]) -> dict[str, float]:
    """Return the share of each language among the texts that show one, the commonest first."""
    found = Counter(code for text in texts if (code := language_of_text(text)))
    total = max(1, found.total())
    return {code: count / total for code, count in found.most_common()}
