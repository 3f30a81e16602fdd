"""Words and clauses of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.grading.text import clauses, stems, words


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
    assert clauses(text) == parts


def test_words_lose_case_accents_and_apostrophes():
    assert words("What’s the Café’s étage, n° 7?") == ["whats", "the", "cafes", "etage", "n", "7"]
    assert stems("departure departing depart") == ["depar"] * 3


@given(st.text(max_size=80))
def test_clauses_keep_every_word_but_the_joints(text):
    joints = {"and", "also", "but", "plus", "as", "well"}
    kept = [word for part in clauses(text) for word in words(part) if word not in joints]
    assert kept == [word for word in words(text) if word not in joints]
