"""The human truth at decision points, and agreement of judges with people."""

from __future__ import annotations

import pytest
from learntoask.calibration.agreement import figures, pairs_with
from learntoask.calibration.revise.guards import faults_of
from learntoask.calibration.truth import human_points
from worlds.calibration import answered

NO = {"yes": False, "no": True}
YES = {"yes": True, "no": False}
GOAL = {"age": True, "duration": False, "allergies": True}


def test_points_are_stops_and_micro_goals_and_nothing_in_between():
    points = human_points(
        [
            answered("is_stop", 3, YES, split="anchor", inclusion=0.5, stratum="reserve, anchor, stop"),
            answered("is_stop", 0, NO, split="anchor", inclusion=0.25),
            answered("still_needed", 0, GOAL, split="anchor", inclusion=0.25),
            answered("is_stop", 1, NO, split="anchor"),
            answered("still_needed", 1, dict.fromkeys(GOAL, False), split="anchor"),
            answered("is_stop", 2, YES, split="show"),
        ]
    )
    assert [(one.turn, one.decision, one.target, one.inclusion) for one in points] == [
        (0, "continue", {"age", "allergies"}, 0.25),
        (3, "stop", frozenset(), 0.5),
    ]
    assert points[1].stratum == "anchor, stop"


def test_an_item_that_was_rarely_drawn_weighs_more():
    items = [
        answered("asks_for", 0, {"age": True}, session_id="a", inclusion=0.1),
        answered("asks_for", 0, {"age": False}, session_id="b", inclusion=1.0),
    ]
    tables = pairs_with(items, lambda key: frozenset({"age"})).tables()
    assert tables.sum(axis=0).tolist() == [[0, 0], [1, 10]]


def test_a_missing_finding_counts_as_one_that_finds_nothing_and_is_counted():
    items = [answered("asks_for", 0, {"age": True, "duration": False}, session_id=name) for name in "abcd"]
    found = figures(pairs_with(items, lambda key: None if key[0] == "a" else frozenset({"age"})))
    assert found["missing"] == 1
    assert found["kappa"] == pytest.approx(0.75)
    assert found["bound"] < found["kappa"]


@pytest.mark.parametrize(
    ("revised", "fault"),
    [
        ("Find what {{ x }} asks. " * 3, "times as long"),
        ("Find what it asks.", "template variables"),
        ("{{ x }}: do you take any medicines?", "repeats words"),
        ("Find all that {{ x }} asks.", None),
    ],
)
def test_a_rewritten_prompt_is_refused_with_the_reason(revised, fault):
    before = "Find what {{ x }} asks for, please."
    found = list(faults_of(revised, before, ["Do you take any medicines?"]))
    assert found == [] if fault is None else fault in found[0]
