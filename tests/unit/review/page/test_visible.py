"""Characters that hide or reorder text become visible, and others stay as they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.review.page.visible import pieces


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain, with\nlines and\ttabs",
        "naïve — „Grüße“",
        "می‌خواهم",  # a joiner inside a Persian word
        "क्‍ष",
        "👩‍⚕️ and 👍🏽",
        "今日は",
    ],
)
def test_ordinary_text_is_one_piece(text: str) -> None:
    assert "".join(piece.text for piece in pieces(text)) == text
    assert all(not piece.name for piece in pieces(text))


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("a\u202eb", ["U+202E"]),
        ("pass\u200bword", ["U+200B"]),
        ("a\u200db", ["U+200D"]),
        ("\ufeffstart", ["U+FEFF"]),
        ("\x00\x1b[31m", ["U+0000", "U+001B"]),
        ("\ud800", ["U+D800"]),
        ("x\u3164y\u2800", ["U+3164", "U+2800"]),
        ("\U000e0041", ["U+E0041"]),
    ],
)
def test_hidden_characters_are_named(text: str, codes: list[str]) -> None:
    assert [piece.text for piece in pieces(text) if piece.name] == codes


@given(st.text())
def test_nothing_is_lost_and_nothing_invisible_is_left(text: str) -> None:
    found = pieces(text)
    plain = "".join(chr(int(piece.text[2:], 16)) if piece.name else piece.text for piece in found)
    assert plain == text.replace("\r\n", "\n")
    shown = "".join(piece.text for piece in found)
    assert not any(sign in shown for sign in "\u202e\u2066\u200b\ufeff\x00")
    shown.encode()
