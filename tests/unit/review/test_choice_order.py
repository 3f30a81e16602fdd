"""The order of choices on a reviewer's screen."""

from __future__ import annotations

from learntoask.review.choice_order import ordered_choices, position_of
from worlds.review import FIELDS, question, yes_or_no

REVIEWERS = ("ann", "zoë", "Noor", "dan", "eva")


def order(item, reviewer) -> list[str]:
    return [choice.key for choice in ordered_choices(item, reviewer)]


def test_the_same_fields_have_the_same_keys_in_both_questions_about_them() -> None:
    rest = question(2, mark=(1, 2)).model_copy(update={"kind": "still_needed"})
    orders = [order(question(1), name) for name in REVIEWERS]
    assert orders == [order(rest, name) for name in REVIEWERS]
    assert all(sorted(found) == sorted(FIELDS) for found in orders)
    assert len({tuple(found) for found in orders}) > 1


def test_answers_that_are_compared_have_an_order_in_each_question() -> None:
    items = [yes_or_no(n).model_copy(update={"kind": "better"}) for n in range(20)]
    assert len({tuple(order(item, "ann")) for item in items}) == 2
    assert len({tuple(order(yes_or_no(n), "ann")) for n in range(20)}) == 1


def test_a_place_on_the_screen_is_that_of_a_single_choice() -> None:
    item = question(1)
    first, second, *_ = order(item, "ann")
    assert [position_of(item, "ann", answer) for answer in ((first,), (second,), (first, second), ())] == [
        0,
        1,
        None,
        None,
    ]
