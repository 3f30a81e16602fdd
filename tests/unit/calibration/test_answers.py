"""Answers of several people to the same items."""

from __future__ import annotations

import json

import pytest
from learntoask.calibration.answers import collect, read_answers
from learntoask.core.errors import InputError
from learntoask.review.records import ReviewAnswer
from worlds.calibration import review_item

ITEM = review_item("asks_for", 0)


def said(item, reviewer, *keys, blind=None, **more):
    return ReviewAnswer(
        item=item, reviewer=reviewer, answer=keys, blind=keys if blind is None else blind, **more
    )


def test_people_agree_on_each_choice_by_majority_and_on_nothing_in_a_tie():
    review = collect([ITEM], [said(ITEM.digest, "ada", "age"), said(ITEM.digest, "ben", "age", "duration")])
    (one,) = review.answered
    assert one.keys == {"age": True, "allergies": False}
    assert one.chosen is None


def test_an_adjudicator_decides():
    answers = [
        said(ITEM.digest, "ada", "age"),
        said(ITEM.digest, "ben", "duration"),
        said(ITEM.digest, "eve", "duration", adjudicated=True),
    ]
    (one,) = collect([ITEM], answers).answered
    assert one.chosen == {"duration"}
    assert set(one.by_reviewer) == {"ada", "ben"}


def test_cannot_say_is_an_answer_that_says_nothing():
    review = collect([ITEM], [said(ITEM.digest, "ada", "?")])
    assert review.cannot_say == 1
    assert not review.of("show")


def test_on_the_anchor_the_answer_before_the_votes_were_shown_counts():
    anchor = review_item("asks_for", 0, split="anchor")
    changed = {"blind": ("age",)}
    (sealed,) = collect([anchor], [said(anchor.digest, "ada", "duration", **changed)]).answered
    (open_,) = collect([ITEM], [said(ITEM.digest, "ada", "duration", **changed)]).answered
    assert (sealed.chosen, open_.chosen) == ({"age"}, {"duration"})


def test_known_and_repeated_items_only_count_for_the_reviewer():
    known = review_item("asks_for", 1, why="known", expected=("duration",))
    answers = [
        said(ITEM.digest, "ada", "age"),
        said("again", "ada", "allergies", repeats=ITEM.digest),
        said(known.digest, "ada", "duration"),
        said("gone", "ada", "age"),
    ]
    review = collect([ITEM, known], answers)
    assert (review.attention, review.repeated, review.unknown) == ({"ada": (1, 1)}, {"ada": (0, 1)}, 1)
    assert [one.item for one in review.answered] == [ITEM]


def test_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(said(ITEM.digest, "ada", "age").model_dump_json() + "\n" + json.dumps({"item": 1}) + "\n")
    with pytest.raises(InputError, match="line 2"):
        read_answers(path)


def test_the_order_of_the_file_does_not_matter(tmp_path):
    lines = [said(ITEM.digest, name, "age").model_dump_json() + "\n" for name in ("ben", "ada")]
    for number, order in enumerate((lines, lines[::-1])):
        (tmp_path / f"{number}.jsonl").write_text("".join(order))
    assert read_answers(tmp_path / "0.jsonl") == read_answers(tmp_path / "1.jsonl")
    assert read_answers(None) == []
