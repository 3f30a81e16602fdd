"""A pattern finds what it describes, however a message is typed."""

from __future__ import annotations

import pytest
from learntoask.labeling.logs.patterns import any_of, first_of


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"\bhow old are you\b", "How old\nare  you?"),
        (r"\bwhat's the day\b", "What’s the day?"),
        (r"(?m)^day:", "Hello.\nDay: Monday"),
        (r"\bकब से\b", "यह कब से है"),
        (r"منذ متى", "مـنذُ متى"),
        (r"アレルギー", "ｱﾚﾙｷﾞｰはありますか"),
    ],
)
def test_a_pattern_finds_what_it_describes(pattern, message):
    assert any_of((pattern, "never"))(message)
    assert first_of((pattern,))(message)


def test_the_groups_of_a_match_are_of_the_plain_text():
    match = first_of((r"i’m (\w+)",))("I'm\nthirty")
    assert match is not None
    assert match.group(1) == "thirty"
