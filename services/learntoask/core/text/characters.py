"""Clean a text for reading, and make it plain for comparison.

`clean_text` changes nothing that a reader could see. Logs are cleaned when they are imported and requests when they are
served, so a policy reads both in one form. `plain_text` also unifies what people type in several ways, such as
apostrophes. Patterns, graders and the fluency guard compare plain texts. `plain_pattern` does the same for a pattern.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\x0b\x0c"
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
# Characters without a shape: controls, soft hyphen, zero-width characters, marks of direction, fillers, byte order
# mark, interlinear annotations, and tags. Tags after a black flag are the flag of a region.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0019]"
    "|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]+"
)
# Joiners shape the letters of some scripts and join emoji. Elsewhere they are as invisible as the others.
_STRAY_JOINERS = re.compile(
    "(?<![\u0600-\u1fff\u2190-\ud7ff\uf900-\U0010ffff])[\u200c\u200d]+|[\u200c\u200d]+(?![\u0600-\u1fff\u2190-\ud7ff\uf900-\U0010ffff])"
)
# Variation selectors choose the shape of the character before them.
_STRAY_SELECTORS = re.compile("(?:(?<=\\s)|^)[\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
# Joiners, selectors, and what may be left out in writing: Arabic stretching and vowel signs, Hebrew points.
_OPTIONAL = re.compile(
    "[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef\u0640\u064b-\u0652\u0670\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"
)
# Letters and digits that NFKC maps to ordinary ones: full and half width, ligatures, Arabic presentation forms,
# mathematical alphabets. NFKC of everything would change punctuation, powers and fractions.
_COMPATIBILITY = re.compile(
    "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9f\ufb00-\ufb06\ufb13-\ufb17\ufb1d-\ufb28\ufb2a-\ufbb1\ufbd3-\ufc5d"
    "\ufc64-\ufd3d\ufd50-\ufdfb\ufe80-\ufefc\U0001d400-\U0001d7ff]+"
)
_ANY_SPACE = re.compile(f"[{_SPACES}]")
_UNCLEAN_ASCII = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_TYPED = {
    **dict.fromkeys("‘’‚‛ʼʻ`´′＇", "'"),
    **dict.fromkeys("“”„‟«»″＂", '"'),
    **dict.fromkeys("\u2010\u2011", "-"),
}
_TYPED_TABLE = str.maketrans(_TYPED)


def clean_text(text: str) -> str:
    """Return the text in NFC without invisible characters, with ordinary spaces, line ends, letters and digits."""
    if text.isascii() and not _UNCLEAN_ASCII.search(text):
        return text
    text = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))
    text = _COMPATIBILITY.sub(lambda run: unicodedata.normalize("NFKC", run.group()), text)
    text = unicodedata.normalize("NFC", _ANY_SPACE.sub(" ", text))
    return _STRAY_SELECTORS.sub("", _STRAY_JOINERS.sub("", text))


def plain_text(text: str) -> str:
    """Return the cleaned text with ASCII apostrophes, quotes and hyphens, without joiners and optional vowel signs."""
    if text.isascii():
        return clean_text(text).replace("`", "'")
    return unicodedata.normalize("NFC", _OPTIONAL.sub("", clean_text(text)).translate(_TYPED_TABLE))


def plain_pattern(pattern: str) -> str:
    """Return a regular expression that finds in plain texts what `pattern` describes."""
    if pattern.isascii():
        return pattern.replace("`", "'")
    typed = _ANY_SPACE.sub(" ", pattern).translate(_TYPED_TABLE)
    return unicodedata.normalize("NFC", _OPTIONAL.sub("", typed))


@lru_cache(maxsize=256)  # a message is searched for many patterns
def one_line(text: str) -> str:
    """Return the plain text on one line with single spaces, as patterns and graders read it."""
    return " ".join(plain_text(text).split())


def folded_line(text: str) -> str:
    """Return the text on one line without case: equal for texts that say the same thing word for word."""
    return one_line(text).casefold()
