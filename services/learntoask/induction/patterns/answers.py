"""Find how users give the value of a field: patterns with the value as group 1, or a few possible values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from learntoask.core.text.words import is_unspaced, words
from learntoask.induction.names import FUNCTION_WORDS
from learntoask.induction.patterns.mining import MessageIndex, Target, frame_words, mine
from learntoask.induction.patterns.tokens import Gram, grams

_MOST_WORDS = 3  # of a value
_AROUND = r"[^,.!?;\n]{0,60}"  # what stands with the words that tell, as in "since about three days"
_AROUND_OTHERS = r"[^,.!?;،؟।，、。！？\n]{0,60}"
_NUMBER = re.compile(r"\\b(?:(0+)|\\d\+)\\b")
_ZEROS = re.compile("0+")
_MOST_PATTERNS = 12
_FEWEST_REPLIES = 10
_LEAST_COVERAGE = 0.3  # share of the replies from which the patterns are worth having
_MOST_VALUES = 12
_VALUE_SHARE = 0.9  # share of the replies that a few short values must make up
_VALUE_WORDS = 4
_ENDS = " .!,。！，、।"


def answer_patterns(replies: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return for each field the patterns of its replies that hardly match replies about other fields.

    Digits stand for any number. A field whose replies have nothing in common has none.
    """
    masked = [[_masked(text) for text in texts] for texts in replies]
    index = MessageIndex(text for texts in masked for text in texts)
    frame = frame_words(masked)
    found: list[tuple[str, ...]] = []
    for field, texts in enumerate(masked):
        wanted = Counter(index.number[text] for text in texts)
        others = Counter(
            index.number[text] for other, of in enumerate(masked) if other != field for text in of
        )
        for text in wanted.keys() & others.keys():  # "yes" answers many fields
            if others[text] > wanted[text]:
                del wanted[text]
            else:
                del others[text]
        candidates = _candidates([index.texts[text] for text in wanted], index)
        patterns = mine(Target(wanted, others), candidates, frame=frame, most=_MOST_PATTERNS)
        hit = set().union(*(candidates[pattern.gram] for pattern in patterns))
        covered = sum(index.number[text] in hit for text in texts)
        enough = len(texts) >= _FEWEST_REPLIES and covered >= _LEAST_COVERAGE * len(texts)
        others_count = any("0" in index.texts[text] for text in others)
        expressions = dict.fromkeys(
            _with_group(pattern.expression, any_length=not others_count) for pattern in patterns
        )
        found.append(tuple(expressions) if enough else ())
    return found


def possible_values(replies: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a field with few short answers, the commonest first; empty for other fields."""
    counts = Counter(text.strip(_ENDS).lower() for text in replies)
    short = [
        (value, count)
        for value, count in counts.items()
        if count > 1 and value and len(words(value)) <= _VALUE_WORDS
    ]
    short.sort(key=lambda entry: (-entry[1], entry[0]))
    kept = short[:_MOST_VALUES]
    if len(replies) < _FEWEST_REPLIES or sum(count for _, count in kept) < _VALUE_SHARE * len(replies):
        return ()
    return tuple(value for value, _ in kept)


def _masked(text: str) -> str:
    return "".join("0" if character.isdigit() else character for character in text.lower())


def _candidates(texts: Sequence[str], index: MessageIndex) -> Mapping[Gram, set[int]]:
    wanted = {
        gram
        for text in texts
        for gram in grams(text)
        if len(gram.parts) == 1
        and not gram.asks
        and len(gram.words) <= _MOST_WORDS
        and any(word == "0" * len(word) or _tells(word) for word in gram.words)
    }
    return index.with_grams(wanted)


def _tells(word: str) -> bool:
    return is_unspaced(word) or (len(word) > 2 and word not in FUNCTION_WORDS)


def _with_group(expression: str, *, any_length: bool) -> str:
    """Return the expression with group 1 around the part of the sentence that it is in, which holds the value.

    Zeros become any number. Without `any_length` a number alone keeps its length, because fields may differ in nothing
    else: an account has eight digits and a model four.
    """
    around = _AROUND if expression.isascii() else _AROUND_OTHERS
    alone = _NUMBER.fullmatch(expression)
    if alone is None or any_length:
        number = _ZEROS.sub(r"\\d+", expression)
    else:
        length = len(alone[1] or "0")
        number = r"\b\d\b" if length == 1 else rf"\b\d{{{length}}}\b"
    return f"({around}{number}{around})"
