"""The values of a field are its few short answers, in scripts with and without spaces."""

from __future__ import annotations

import pytest
from learntoask.induction.patterns.answers import possible_values


@pytest.mark.parametrize(
    ("replies", "values"),
    [
        (["Yes.", "no", "yes!", "No"] * 3, ("no", "yes")),
        (["有。", "没有", "有", "没有！"] * 3, ("有", "没有")),
        (["我昨天晚上吃了很多海鲜然后肚子就开始疼了。"] * 12, ()),  # many words, although no space is in it
        (["yes"] * 6 + [f"it was on day {number} of my holidays" for number in range(6)], ()),
    ],
)
def test_values_are_few_short_answers(replies: list[str], values: tuple[str, ...]) -> None:
    assert possible_values(replies) == values
