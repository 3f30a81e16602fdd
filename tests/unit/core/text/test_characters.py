"""Cleaned texts look the same to a reader, and plain texts compare equal when people mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.text.characters import clean_text, plain_text
from learntoask.core.text.patterns import bounded_search


@pytest.mark.parametrize(
    ("logged", "read"),
    [
        ("kind\u200b of\u00ad bike\ufeff", "kind of bike"),
        ("What\u00a0kind\u202fof\u3000bike ?", "What kind of bike ?"),
        ("\u202bכמה זמן?\u202c\u200f", "כמה זמן?"),
        ("one\r\ntwo\u2028three\x00", "one\ntwo\nthree"),
        ("２５歳、ｶﾞｽ？", "25歳、ガス？"),  # punctuation keeps its width
        ("5 m² ½ …", "5 m² ½ …"),
        ("cafe\u0301", "café"),
        ("می\u200cخواهم wh\u200cat", "می\u200cخواهم what"),  # Persian needs the joiner
        ("👨\u200d👩\u200d👧 ❤\ufe0f \ufe0f", "👨\u200d👩\u200d👧 ❤\ufe0f "),
        ("𝐖hich day", "Which day"),
        ("a\U000e0068\U000e0069b", "ab"),  # tags, which hide text
        ("\u200b\u2060\u200e\u00ad", ""),
        ("What’s up", "What’s up"),
    ],
)
def test_a_text_is_cleaned_of_what_nobody_sees(logged, read):
    assert clean_text(logged) == read


def test_a_plain_text_has_one_form_of_apostrophes_quotes_and_joiners():
    assert plain_text("I’m “here” `now` ｢ok｣") == "I'm \"here\" 'now' ｢ok｣"
    assert plain_text("می\u200cخواهم") == plain_text("میخواهم")
    assert plain_text("مـنذُ مَتى") == "منذ متى"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\bwhat’s up\b", "What's up?"),
        (r"\bwhat's up\b", "What’s up?"),
        (r"\bcan['’`]t\b", "I can`t"),
        ("می\u200cخواهم", "من میخواهم"),
        ("cafe\u0301", "Café"),
        ("多大？", "您多大？"),
        (r"\bकितनी\b", "उम्र कितनी है"),
    ],
)
def test_a_pattern_finds_what_it_describes_however_it_is_typed(pattern, text):
    assert bounded_search(pattern)(plain_text(text))


@given(st.text(max_size=60))
def test_cleaning_twice_changes_nothing(text):
    assert clean_text(clean_text(text)) == clean_text(text)
    assert plain_text(plain_text(text)) == plain_text(text)
    assert plain_text(clean_text(text)) == plain_text(text)
