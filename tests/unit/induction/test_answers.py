"""The values of a field are its few short answers, in scripts with and without spaces."""

from __future__ import annotations

import pytest
import regex
from learntoask.induction.patterns.answers import answer_patterns, possible_values


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


def values(patterns: tuple[str, ...], text: str) -> list[str]:
    """Return what group 1 of each pattern finds in the text."""
    return [
        found[1].strip() for pattern in patterns if (found := regex.search(pattern, text, regex.IGNORECASE))
    ]


def test_the_value_of_an_answer_is_the_part_of_the_sentence_that_tells() -> None:
    since = [
        f"Hm, it has been like that since {day}. Sorry" for day in ("yesterday", "Monday", "last night")
    ] * 5
    where = [f"I am looking for one in {city}" for city in ("Boston", "New York", "San Diego")] * 5
    first, second = answer_patterns([since, where])

    assert set(values(first, "Well, since Tuesday evening, I think")) == {"since Tuesday evening"}
    assert set(values(second, "looking for one in Los Angeles!")) == {"looking for one in Los Angeles"}


def test_numbers_of_other_lengths_are_those_of_other_fields() -> None:
    account = [f"It is {10000000 + 7 * number}" for number in range(20)]
    model = [f"It is {1000 + 7 * number}" for number in range(20)]
    first, second = answer_patterns([account, model])

    assert values(first, "12345678")
    assert not values(first, "4711")
    assert values(second, "4711")
    assert not values(second, "12345678")


def test_numbers_that_no_other_field_has_may_have_any_length() -> None:
    days, other = [f"for {number} days" for number in range(2, 9)] * 3, ["in the left knee", "in the arm"] * 9
    (first, _) = answer_patterns([days, other])
    assert set(values(first, "about 12 days, maybe more")) == {"about 12 days"}
