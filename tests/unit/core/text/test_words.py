"""Words, stems and parts of texts in any script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.text.sentences import question_parts
from learntoask.core.text.words import stems, words


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Where are you leaving from?", ["Where are you leaving from?"]),
        ("Where to? And when?", ["Where to", "when"]),
        ("Which city, date and time?", ["Which city", "date", "time"]),
        (
            "How many seats, and in what area? Also by when",
            ["How many seats", "in what area", "by when"],
        ),
        ("Wohin? Wann?", ["Wohin", "Wann"]),
    ],
)
def test_a_text_falls_into_what_may_be_asked_apart(text, parts):
    assert question_parts(text) == parts


def test_words_lose_case_accents_and_apostrophes():
    assert words("What’s the Café’s étage, n° 7?") == ("whats", "the", "cafes", "etage", "n", "7")
    assert stems("departure departing depart") == ["depar"] * 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("请问您今年多大了？", ("请问", "您", "今年", "多大", "了")),
        ("薬を飲む", ("薬", "を", "飲む")),
        ("มีอาการมานานแค่ไหน", ("มี", "อาการ", "มา", "นาน", "แค่", "ไหน")),
        ("आपकी उम्र क्या है?", ("आपकी", "उम्र", "क्या", "है")),  # vowel signs belong to the word
        ("كَمْ عُمرُك؟ أين", ("كم", "عمرك", "اين")),
        ("몇 살이세요?", ("몇", "살이세요")),
        ("Сколько вам лет?", ("сколько", "вам", "лет")),
        ("我25岁 ok", ("我", "25", "岁", "ok")),
        ("kind\u200b of\u00a0bike", ("kind", "of", "bike")),
        ("👨‍👩‍👧 ❤️ …", ()),
    ],
)
def test_words_are_found_in_every_script(text, found):
    assert words(text) == found


def test_korean_particles_do_not_tell_stems_apart():
    assert stems("증상은 증상이") == ["증상", "증상"]


@given(st.text(max_size=80))
def test_clauses_keep_every_word_but_the_joints(text):
    joints = {"and", "also", "but", "plus", "as", "well"}
    kept = [word for part in question_parts(text) for word in words(part) if word not in joints]
    assert kept == [word for word in words(text) if word not in joints]
